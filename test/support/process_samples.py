# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Samples of what a process holds: memory by kind, threads, descriptors, shared memory segments, children."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ARENA_BYTES = 64 * 2**20
"""Size and alignment of the heaps of glibc's arenas (HEAP_MAX_SIZE) on 64 bit machines."""

_MAPPING = re.compile(r"^([0-9a-f]+)-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")


def memory_mb(pid: int) -> dict[str, float]:
    """Return the resident memory of a process in MiB.

    `rss` and `pss` as the kernel counts them; of `rss`, `anonymous`, `file` and `shared` (POSIX shared memory, so that
    of DDS); of `anonymous`, `heap` (of the main thread), `arenas` (malloc's heaps of the other threads) and `mapped`
    (large blocks, stacks, Python's own arenas).
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    values = {
        "rss": _kib(status["VmRSS"]),
        "pss": _kib(rollup["Pss"]),
        "anonymous": _kib(status["RssAnon"]),
        "file": _kib(status["RssFile"]),
        "shared": _kib(status["RssShmem"]),
    }
    kinds = dict.fromkeys(("heap", "arenas", "mapped"), 0.0)
    kind = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if mapping := _MAPPING.match(line):
            start, name = int(mapping[1], 16), mapping[2]
            is_arena = not name and start % _ARENA_BYTES == 0
            kind = "heap" if name == "[heap]" else "arenas" if is_arena else "" if name.startswith("/") else "mapped"
        elif kind and line.startswith("Anonymous:"):
            kinds[kind] += _kib(line.split(":", 1)[1])
    return {name: value / 1024 for name, value in {**values, **kinds}.items()}


def handles(pid: int) -> dict[str, int]:
    """Return numbers of threads, descriptors, mapped segments of shared memory and their size in MiB, and children."""
    proc = Path(f"/proc/{pid}")
    segments = shared_segments(pid)
    children = [child for task in (proc / "task").iterdir() for child in (task / "children").read_text().split()]
    return {
        "threads": len(list((proc / "task").iterdir())),
        "descriptors": len(list((proc / "fd").iterdir())),
        "segments": len(segments),
        "segments_mb": sum(segments.values()) // 2**20,
        "children": len(children),
    }


def cpu_s(pid: int) -> float:
    """Return the user and system time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shared_segments(pid: int) -> dict[str, int]:
    """Return the sizes in bytes of the files in /dev/shm that a process has mapped, by path."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/dev/shm/"):
            start, end = (int(bound, 16) for bound in fields[0].split("-"))
            sizes[fields[5]] = sizes.get(fields[5], 0) + end - start
    return sizes


def own_segments(pid: int) -> list[str]:
    """Return the paths of the segments that a process has created; it locks a file beside each."""
    segments = []
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("/dev/shm/") and target.endswith("_el"):
                segments.append(target.removesuffix("_el"))
    except OSError:  # the process has ended
        return segments
    return segments


def _kib(text: str) -> float:
    return float(text.split(maxsplit=1)[0])
