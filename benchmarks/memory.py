# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Resident memory and processor time of the network under several settings of glibc's malloc.

    python benchmarks/memory.py [--backend torch] [--rounds 6]

In a child process for each setting, a thread segments images of several sizes in turn, some of each, as a worker does
whose cameras are replaced; then the network is loaded again. "Kept" and "returned" are what the node does (see
opendr_panoptic_ros/ros/memory.py).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))

from support.process_samples import memory_mb  # noqa: E402

SIZES = ((480, 640), (256, 512), (333, 777), (600, 400))
SETTINGS: dict[str, tuple[dict[str, str], bool, bool]] = {
    "glibc's own": ({}, False, False),
    "kept": ({}, True, False),
    "kept, and returned with new sizes": ({}, True, True),
    "blocks above 1 MiB never kept": ({"MALLOC_MMAP_THRESHOLD_": "1048576"}, False, False),
    "one arena": ({"MALLOC_ARENA_MAX": "1"}, False, False),
}
"""By description: environment, whether memory is kept, whether it is returned when the size changes."""


def run(backend: str, rounds: int, *, keeps: bool, returns: bool) -> dict[str, float]:
    """Return the figures of one setting, in this process.

    Args:
        backend: As for PanopticSegmenter.
        rounds: How often all sizes come.
        keeps: Whether freed memory is kept.
        returns: Whether it is returned when the size changes and when the network is freed.
    """
    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.ros.memory import keep_freed_memory, return_freed_memory
    from opendr_panoptic_ros.synthetic.drive import SyntheticDrive

    if keeps:
        keep_freed_memory()
    picture = SyntheticDrive(0, num_frames=30).sample(10)[0]
    figures: dict[str, float] = {}
    resident: list[float] = []
    cpu: list[float] = []

    def work(segmenter: PanopticSegmenter) -> None:
        import cv2

        for number in range(rounds * len(SIZES)):
            height, width = SIZES[number % len(SIZES)]
            image = cv2.resize(picture, (width, height)).astype(np.uint8)
            for _ in range(2):
                start = time.thread_time()
                segmenter([image] * (1 + number % 2))
                cpu.append((time.thread_time() - start) / (1 + number % 2))
            resident.append(memory_mb(os.getpid())["anonymous"])
            if returns:
                return_freed_memory()

    for _ in range(2):
        segmenter = PanopticSegmenter("demo", backend=backend)
        figures.setdefault("loaded", memory_mb(os.getpid())["anonymous"])
        thread = threading.Thread(target=work, args=(segmenter,))
        thread.start()
        thread.join()
        del segmenter
        gc.collect()
        if returns:
            return_freed_memory()
    figures |= {"median": float(np.median(resident)), "most": max(resident), "last": resident[-1]}
    figures["freed"] = memory_mb(os.getpid())["anonymous"]
    figures["cpu_ms"] = 1000 * float(np.median(cpu))
    return figures


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="torch", help="as for PanopticSegmenter")
    parser.add_argument("--rounds", type=int, default=2, help="how often all sizes come")
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)  # runs one, in this process
    arguments = parser.parse_args()
    if arguments.setting:
        _, keeps, returns = SETTINGS[arguments.setting]
        print(json.dumps(run(arguments.backend, arguments.rounds, keeps=keeps, returns=returns)))
        return
    print("| malloc | loaded | at work, median | most | network freed | CPU time of an image |")
    print("|---|---|---|---|---|---|")
    for name, (environment, _, _) in SETTINGS.items():
        command = [sys.executable, __file__, "--setting", name]
        command += ["--backend", arguments.backend, "--rounds", str(arguments.rounds)]
        done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        memory = " | ".join(f"{figures[key]:.0f} MiB" for key in ("loaded", "median", "most", "freed"))
        print(f"| {name} | {memory} | {figures['cpu_ms']:.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
