# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Freed memory is kept by malloc and returned on request. In a child process, whose settings and heap are its own."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys

import pytest
from support.paths import ROOT

CODE = """
import ctypes, json, os, sys
sys.path[:0] = [{root!r}, {root!r} + "/test"]
from opendr_panoptic_ros.ros.memory import keep_freed_memory, return_freed_memory
from support.process_samples import memory_mb

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
keep_freed_memory()
anonymous = lambda: memory_mb(os.getpid())["anonymous"]
before = anonymous()
blocks = [ctypes.c_void_p(libc.malloc(2**20)) for _ in range(200)]
for block in blocks:
    ctypes.memset(block, 1, 2**20)
for block in blocks:
    libc.free(block)
kept = anonymous()
return_freed_memory()
print(json.dumps([kept - before, anonymous() - before]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_freed_memory() -> None:
    code = CODE.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept_mb, left_mb = json.loads(done.stdout)
    assert kept_mb > 150, "200 blocks of 1 MiB are kept"
    assert left_mb < 20
