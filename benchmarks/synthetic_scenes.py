# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Measures how fast synthetic scenes and drives are drawn. Prints a table; `--out` writes files.

python benchmarks/synthetic_scenes.py --num-images 60 --num-processes 2
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import cv2
import harness
from harness import Row

from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes

SIZES_PX = ((256, 512), (512, 1024))


@dataclass(frozen=True)
class Rate:
    """How fast images are drawn.

    Attributes:
        images: "scenes" or "drive".
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        processes: Number of processes, each with one thread.
        images_per_s: Images per second of all processes together.
        cpu_ms: Processor time per image in milliseconds; None where it was not measured.
    """

    images: str
    height: int
    width: int
    processes: int
    images_per_s: float
    cpu_ms: float | None = None


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "images": lambda row: row["images"],
    "size": lambda row: f"{row['height']}x{row['width']}",
    "processes": lambda row: row["processes"],
    "images/s": lambda row: row["images_per_s"],
    "CPU ms/image": lambda row: row["cpu_ms"],
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--num-images", type=int, default=60, help="images per row and process")
    parser.add_argument("--num-processes", type=int, default=2, help="processes of the parallel row")
    options = parser.parse_args()
    rows = [asdict(rate) for rate in measure(options.num_images, options.num_processes)]
    harness.report("synthetic_scenes", "Drawing synthetic scenes", rows, COLUMNS, options)


def measure(num_images: int, num_processes: int) -> list[Rate]:
    """Draw scenes in one process, scenes in several processes, and a drive.

    Args:
        num_images: Images per row and process.
        num_processes: Number of processes of the parallel row.
    """
    draw_scenes(range(4), *SIZES_PX[0])  # draws the noise that all scenes share
    rates = []
    for height, width in SIZES_PX:
        wall_s, cpu_s = _timed(partial(draw_scenes, range(1000, 1000 + num_images), height, width))
        rates.append(Rate("scenes", height, width, 1, num_images / wall_s, 1e3 * cpu_s / num_images))
    height, width = SIZES_PX[0]
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        pool.starmap(draw_scenes, [(range(4), height, width)] * num_processes, chunksize=1)
        starts = [2000 + 1000 * k for k in range(num_processes)]
        shares = [(range(start, start + num_images), height, width) for start in starts]
        wall_s, _ = _timed(lambda: pool.starmap(draw_scenes, shares, chunksize=1))
    rates.append(Rate("scenes", height, width, num_processes, num_processes * num_images / wall_s))
    drive = SyntheticDrive(3, num_frames=num_images, height=height, width=width)
    wall_s, cpu_s = _timed(lambda: sum(1 for _ in drive))
    rates.append(Rate("drive", height, width, 1, num_images / wall_s, 1e3 * cpu_s / num_images))
    return rates


def draw_scenes(seeds: range, height: int, width: int) -> None:
    """Draw scenes on one thread.

    Args:
        seeds: Seeds of the scenes.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
    """
    cv2.setNumThreads(1)
    scenes = SyntheticScenes(seeds, height=height, width=width)
    for index in range(len(scenes)):
        scenes[index]


def _timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return wall time and processor time of a call in seconds."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


if __name__ == "__main__":
    main()
