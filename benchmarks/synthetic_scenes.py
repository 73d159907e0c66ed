# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""How fast synthetic scenes are drawn: one process, then one per core. `python benchmarks/synthetic_scenes.py`."""

from __future__ import annotations

import argparse
import multiprocessing
import time

import cv2

from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes


def draw(seeds: list[int], height: int, width: int) -> int:
    """Draw these scenes on one thread."""
    cv2.setNumThreads(1)
    scenes = SyntheticScenes(seeds, height=height, width=width)
    return sum(1 for i in range(len(scenes)) if scenes[i][1].segments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-images", type=int, default=60, help="images per line and process")
    parser.add_argument("--num-processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{'what':<16}{'size':>11}{'processes':>11}{'images/s':>10}{'CPU ms/image':>14}")
    draw(list(range(4)), 256, 512)  # shared noise tiles
    for height, width in ((256, 512), (512, 1024)):
        seeds = list(range(1000, 1000 + options.num_images))
        wall, cpu = time.perf_counter(), time.process_time()
        draw(seeds, height, width)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        _row("scenes", height, width, 1, len(seeds) / wall, 1000 * cpu / len(seeds))
    processes = options.num_processes
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(draw, [(list(range(4)), 256, 512)] * processes, chunksize=1)
        shares = [
            (list(range(2000 + 1000 * k, 2000 + 1000 * k + options.num_images)), 256, 512) for k in range(processes)
        ]
        wall = time.perf_counter()
        pool.starmap(draw, shares, chunksize=1)
        wall = time.perf_counter() - wall
    _row("scenes", 256, 512, processes, processes * options.num_images / wall, None)
    cv2.setNumThreads(1)
    drive = SyntheticDrive(3, num_frames=options.num_images)
    wall, cpu = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in drive)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    _row("drive", 256, 512, 1, frames / wall, 1000 * cpu / frames)


def _row(what: str, height: int, width: int, processes: int, rate: float, cpu_ms: float | None) -> None:
    size, cpu = f"{height}×{width}", "" if cpu_ms is None else f"{cpu_ms:.0f}"
    print(f"{what:<16}{size:>11}{processes:>11}{rate:>10.1f}{cpu:>14}")


if __name__ == "__main__":
    main()
