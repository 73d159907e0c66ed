# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Decompression with a limit: a few bytes of a hostile file can claim to be gigabytes, or become them."""

from __future__ import annotations

import bz2
import io
from typing import IO

import lz4.frame  # a dependency of rosbags
import zstandard

MAX_BYTES = 2**30
"""Largest size of one chunk or message after decompression. Recorders close a chunk after about a megabyte."""
_SMALL_BYTES = 2**27
_MAX_RATIO = 100
"""Largest ratio of content to compressed bytes, for content above `_SMALL_BYTES`."""


def decompressed(data: bytes, compression: str, *, limit_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a compressed chunk or message.

    Args:
        data: The compressed bytes.
        compression: "zstd", "lz4" or "bz2"; "none" or empty for bytes that are not compressed.
        limit_bytes: Largest size of the content.

    Returns:
        The content.

    Raises:
        ValueError: The content is larger than `limit_bytes` or `MAX_BYTES`, or much larger than `data`, or the
            compression is unknown.
        Exception: The data are damaged; each library has errors of its own.
    """
    # zstd reserves memory for the size that its own header claims; -1 stands for an unknown one.
    claimed_bytes = zstandard.frame_content_size(data) if compression == "zstd" else len(data)
    limit_bytes = min(limit_bytes, MAX_BYTES)
    if compression not in {"none", ""}:
        limit_bytes = min(limit_bytes, max(_SMALL_BYTES, _MAX_RATIO * len(data)))
    if claimed_bytes > limit_bytes and compression in {"zstd", "none", ""}:
        raise ValueError(f"it claims {claimed_bytes} bytes, and the limit is {limit_bytes}")
    if compression in {"none", ""}:
        return data
    content = _opened(io.BytesIO(data), compression).read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"it becomes more than the limit of {limit_bytes} bytes")
    return content


def _opened(source: io.BytesIO, compression: str) -> IO[bytes]:
    if compression == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    if compression == "lz4":
        return lz4.frame.LZ4FrameFile(source)
    if compression == "bz2":
        return bz2.BZ2File(source)
    raise ValueError(f"its compression {compression[:20]!r} is not supported")
