# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Freed memory: kept from one frame to the next, and returned to the system when the next frames will differ.

The feature maps of a frame are freed with its result. glibc returns large blocks at once, so that the next frame takes
them again page by page: 15 % of the processor time of a small network. The memory that it keeps is laid out for the
sizes of the last images, and stays resident when other sizes follow. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_TRIM_BYTES = 2**29
_MMAP_BYTES = 2**25  # the largest value that glibc accepts
_LIBC: Any = ctypes.CDLL(None)
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let malloc keep up to 512 MiB of freed memory, unless the environment configures malloc."""
    if hasattr(_LIBC, "malloc_trim") and not any(name in os.environ for name in _USER_SETTINGS):
        _LIBC.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        _LIBC.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def return_freed_memory() -> None:
    """Return freed memory to the system. Takes some 10 ms."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
