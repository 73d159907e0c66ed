# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Speed of what reads and writes data: preparing, training, evaluating, and labelling bags.

    python benchmarks/data.py [--checkpoint demo] [--images 8] [--steps 3] [--threads 1]

All data are synthetic scenes at the test size of the checkpoint. Training and evaluation need the extra [train].
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness import Row

TESTS = harness.ROOT / "test"
Spent = tuple[float, float]


def _clock() -> Spent:
    """Return wall time, and CPU time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def _row(start: Spent, count: int, unit: str) -> Row:
    wall_s, cpu_s = (now - then for now, then in zip(_clock(), start, strict=True))
    return {
        "count": count,
        "unit": unit,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "per_s": count / wall_s,
        "cpu_s_each": cpu_s / count,
        "peak_rss_mb": harness.peak_rss_mb(),
    }


def prepare(checkpoint: str, count: int) -> Row:
    """Measure the preparation of a Cityscapes dataset with one worker.

    Args:
        checkpoint: Not used.
        count: Number of images.
    """
    del checkpoint
    from opendr_panoptic_ros.datasets import DATASETS
    from opendr_panoptic_ros.datasets.preparation import prepare_dataset
    from opendr_panoptic_ros.synthetic.writer import write_cityscapes

    row = DATASETS["cityscapes"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        write_cityscapes(source, {"train": [], "val": range(count + 1)}, height=512, width=1024)
        reader = row.load(row.reader)
        start = _clock()
        prepare_dataset(reader, source, Path(folder) / "out", num_workers=1, splits=("val",))
        return _row(start, count + 1, "image of 512x1024 px")


def train(checkpoint: str, count: int) -> Row:
    """Measure training steps, from loading the images to the update of the weights.

    Args:
        checkpoint: A preset, the configuration of the training.
        count: Number of steps.
    """
    from opendr_panoptic_ros.config import Config
    from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes
    from opendr_panoptic_ros.training.data import CachedImages
    from opendr_panoptic_ros.training.initialisation import network_for
    from opendr_panoptic_ros.training.loop import TrainingStopped
    from opendr_panoptic_ros.training.runner import train as train_network

    config = Config.load(checkpoint)
    batch = config.schedule.batch_size
    test = config.test
    images = CachedImages(
        SyntheticScenes(range(batch * (count + 1)), height=test.short_side_px, width=test.long_side_px)
    )
    times: list[Spent] = []

    def stop() -> bool:
        times.append(_clock())
        return len(times) > count

    with tempfile.TemporaryDirectory() as folder:
        network = network_for(config, config.classes, start=None, seed=0)
        with contextlib.suppress(TrainingStopped):
            train_network(network, images, work_dir=folder, device="cpu", should_stop=stop, silent=True)
    steps = len(times) - 1  # the first one warms up
    row = _row(times[0], steps, f"step of {batch} images of {test.short_side_px}x{test.long_side_px} px")
    wall_s, cpu_s = times[-1][0] - times[0][0], times[-1][1] - times[0][1]
    return {**row, "wall_s": wall_s, "cpu_s": cpu_s, "per_s": steps / wall_s, "cpu_s_each": cpu_s / steps}


def evaluate(checkpoint: str, count: int) -> Row:
    """Measure the evaluation: prediction, PQ, IoU and AP.

    Args:
        checkpoint: The weights.
        count: Number of images.
    """
    from opendr_panoptic_ros.evaluation.run import evaluate as evaluate_network
    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes
    from opendr_panoptic_ros.training.data import CachedImages

    segmenter = PanopticSegmenter(checkpoint, backend="auto")
    test = segmenter.config.test
    seeds = range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + count)
    images = CachedImages(SyntheticScenes(seeds, height=test.short_side_px, width=test.long_side_px))
    for number in range(count):
        images.sample(number)
    segmenter.warm_up(test.short_side_px, test.long_side_px)
    start = _clock()
    evaluate_network(segmenter, images)
    return {**_row(start, count, f"image of {test.short_side_px}x{test.long_side_px} px"), "backend": segmenter.backend}


def bag(checkpoint: str, count: int) -> Row:
    """Measure `opendr-panoptic bag` from the difference of a long and a short bag, without its start.

    Args:
        checkpoint: The weights.
        count: Number of images.
    """
    sys.path.append(str(TESTS))
    from support.bags import STEP_NS, write_bag

    from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes

    scenes = SyntheticScenes(range(4), height=256, width=512)
    images = [scenes[number][0].convert("channels_last") for number in range(4)]
    spent: list[Spent] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, length in enumerate((1, 2, 2 + count)):  # the first one warms up
            sent = [("/camera/image_raw", index * STEP_NS, images[index % 4]) for index in range(length)]
            source = write_bag(Path(folder) / f"in{number}", "mcap", sent)
            command = [sys.executable, "-m", "opendr_panoptic_ros", "bag", str(source)]
            command += [f"{folder}/out{number}", "--checkpoint", checkpoint]
            start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, capture_output=True)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            spent.append((time.perf_counter() - start, cpu_s))
    wall_s, cpu_s = (long - short for long, short in zip(spent[2], spent[1], strict=True))
    return {
        "count": count,
        "unit": "frame of 256x512 px",
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "per_s": count / wall_s,
        "cpu_s_each": cpu_s / count,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }


PARTS: dict[str, Callable[[str, int], Row]] = {"prepare": prepare, "train": train, "evaluate": evaluate, "bag": bag}


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.
    """
    rows = []
    for part in options.parts:
        harness.progress(part)
        count = options.steps if part == "train" else options.images
        task = {"part": part, "checkpoint": options.checkpoint, "count": count}
        rows.append({"part": part, **harness.run_child(__file__, task, threads=options.threads)})
    return rows


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "part": lambda row: row["part"],
    "unit": lambda row: row["unit"],
    "units": lambda row: row["count"],
    "per second": lambda row: row["per_s"],
    "CPU s each": lambda row: row["cpu_s_each"],
    "RSS MB": lambda row: row["peak_rss_mb"],
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = harness.arguments(__doc__ or "")
    options.add_argument("--checkpoint", default="demo", help="weights and configuration; a preset")
    options.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    options.add_argument("--images", type=int, default=8, help="number of images or frames")
    options.add_argument("--steps", type=int, default=3, help="number of training steps")
    options.add_argument("--threads", type=int, default=1, help="number of threads")
    return options


def task(*, part: str, **values: Any) -> Row:
    """Run one part in this process.

    Args:
        part: A key of `PARTS`.
        values: Arguments of the part.
    """
    return PARTS[part](**values)


def main() -> None:
    """Run the benchmark from the command line."""
    options = parser().parse_args()
    if options.task:
        harness.child_main(task, options.task)
        return
    harness.report("data", "Data: prepare, train, evaluate, label bags", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
