# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling of bags: overlap of the stages, memory, and many bags with one command.

    python benchmarks/bags.py [--only overlap memory many] [--frames 60] [--many 40]

Overlap: frames per second of one process, with reading, segmentation and writing one after the other, as before, and
at the same time; and the CPU seconds of each stage, which depend less on what else the machine does. Memory: resident
memory over the course of a bag, and of one ten times as long, with a tiny network. Many: bags of three kinds with one
command, of which two are damaged and one has no images; then the same again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import cv2
import harness
import numpy as np
from harness import Row
from typing_extensions import Self

sys.path.insert(0, str(harness.ROOT / "test"))

PARTS = ("overlap", "memory", "many")
_KINDS = ("mcap", "sqlite3", "ros1")


def write_drive(path: Path, frames: int, height: int, width: int) -> Path:
    """Write a bag with JPEG images of a synthetic drive and, for each, a cloud of 100 kB.

    Args:
        path: The bag.
        frames: Number of frames. After 100, they repeat.
        height: Height of the images in px.
        width: Width of the images in px.
    """
    from support.bags import STEP_NS, write_bag

    from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes

    scenes = SyntheticScenes(range(10), height=height, width=width)
    pictures = [np.moveaxis(scenes[i][0].data, 0, 2) for i in range(10)]
    rng = np.random.default_rng(0)
    sent: list[Any] = []
    for i in range(frames):
        data = cv2.imencode(".jpg", np.roll(pictures[i % 10], i * 3, axis=1)[:, :, ::-1])[1].tobytes()
        sent += [("/cam/compressed", i * STEP_NS, data), ("/words", i * STEP_NS + 1, rng.bytes(50_000).hex())]
    return write_bag(path, "mcap", sent)


class _Inline:
    """An executor that does the work when it is submitted: the stages follow each other.

    Args:
        _workers: Number of threads of the executor that this one replaces.
        name: Name of the stage.

    Attributes:
        cpu_s: CPU seconds by stage, of all executors.
    """

    cpu_s: ClassVar[Counter[str]] = Counter()

    def __init__(self, _workers: int, name: str) -> None:
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call the function now."""
        future: Future[Any] = Future()
        before_s = time.thread_time()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - as an executor
            future.set_exception(error)
        self.cpu_s[self._name] += time.thread_time() - before_s
        return future


def overlap(*, source: str, checkpoint: str, is_overlapping: bool, batch: int) -> Row:
    """Label a bag. Runs in a process of its own.

    Args:
        source: The bag.
        checkpoint: The weights.
        is_overlapping: Whether the stages work at the same time.
        batch: Frames in a batch.
    """
    from opendr_panoptic_ros.bags import labeller
    from opendr_panoptic_ros.bags.options import LabelOptions, NetworkOptions
    from opendr_panoptic_ros.bags.segments import label_bag, plan_segments

    options = LabelOptions(NetworkOptions(checkpoint), batch=batch)
    plan = plan_segments(Path(source), options)
    image = np.zeros((256, 512, 3), np.uint8)
    options.network.segmenter()(image)  # warms up
    with tempfile.TemporaryDirectory() as folder:
        executor = ThreadPoolExecutor if is_overlapping else _Inline
        with mock.patch.object(labeller, "ThreadPoolExecutor", executor):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            report = label_bag(plan, options, Path(folder) / "out")
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {"frames": report.frames, "wall_s": wall_s, "cpu_s": cpu_s, "stages_cpu_s": dict(_Inline.cpu_s)}


def memory(*, source: str, checkpoint: str) -> Row:
    """Label a bag and note the resident memory four times a second. Runs in a process of its own.

    Args:
        source: The bag.
        checkpoint: The weights.
    """
    from opendr_panoptic_ros.bags.options import LabelOptions, NetworkOptions
    from opendr_panoptic_ros.bags.segments import label_bag, plan_segments

    options = LabelOptions(NetworkOptions(checkpoint, backend="torch"))
    plan = plan_segments(Path(source), options)
    state = {"frames": 0, "is_over": 0}
    samples: list[tuple[int, float]] = []

    def watch() -> None:
        while not state["is_over"]:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            samples.append((state["frames"], pages * resource.getpagesize() / 2**20))
            time.sleep(0.25)

    watcher = threading.Thread(target=watch)
    with tempfile.TemporaryDirectory() as folder:
        watcher.start()
        report = label_bag(
            plan, options, Path(folder) / "out", on_progress=lambda _time_ns, frames: state.update(frames=frames)
        )
        state["is_over"] = 1
        watcher.join()
        size_mb = sum(file.stat().st_size for file in (Path(folder) / "out").iterdir()) / 2**20
    return {"frames": report.frames, "result_mb": round(size_mb), "peak_mb": harness.peak_rss_mb(), "samples": samples}


@contextmanager
def many_bags(count: int) -> Iterator[Path]:
    """Yield a folder with bags of three kinds: two are damaged, one has no images.

    Args:
        count: Number of bags.
    """
    from support.bags import drive, write_bag

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for number in range(count - 2):
            write_bag(folder / f"drive{number:02}", _KINDS[number % 3], drive(6))
        write_bag(folder / "words", "mcap", [("/chatter", 0, "hello")])
        (folder / "text.mcap").write_text("no bag")
        (file,) = write_bag(folder / "spoilt", "sqlite3", drive(20)).glob("*.db3")
        data = bytearray(file.read_bytes())
        place = len(data) * 7 // 10
        data[place : place + 8192] = bytes(8192)
        file.write_bytes(data)
        yield folder


def many(*, checkpoint: str, count: int) -> Row:
    """Label many bags twice with the command. Runs in a process of its own.

    Args:
        checkpoint: The weights.
        count: Number of bags.
    """
    from opendr_panoptic_ros.cli.main import main

    rows: list[Row] = []
    with many_bags(count - 1) as folder:
        report = folder.parent / "report.json"
        for _ in range(2):
            command = ["bag", str(folder), "--out-dir", str(folder.parent / "out"), "--report", str(report)]
            sys.argv = ["opendr-panoptic", *command, "--checkpoint", checkpoint]
            begin_s = time.perf_counter()
            try:
                main()
            except SystemExit as stop:
                status = int(stop.code or 0)
            bags = json.loads(report.read_text(encoding="utf-8"))["bags"]
            statuses = [bag["status"] for bag in bags]
            counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
            row = {"bags": len(bags), "statuses": counts, "skipped": sum(bag["skipped"] for bag in bags)}
            rows.append({**row, "exit_status": status, "wall_s": time.perf_counter() - begin_s})
    return {"runs": rows}


def plot(rows: list[Row], path: Path) -> None:
    """Draw the memory over the frames.

    Args:
        rows: Rows of `memory`.
        path: The PNG file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3))
    for row in rows:
        frames, memory_mb = zip(*row["samples"], strict=True)
        axes.plot(frames, memory_mb, label=f"{row['frames']} frames, result of {row['result_mb']} MB")
    axes.set(xlabel="frames labelled", ylabel="resident memory in MB")
    axes.set_ylim(0, 1.2 * max(row["peak_mb"] for row in rows))
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.
    """
    from support.tiny_network import write_tiny_checkpoint

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = str(write_tiny_checkpoint(folder))
        if "overlap" in options.only:
            source = str(write_drive(folder / "drive", options.frames, 256, 512))
            found: dict[bool, list[Row]] = {False: [], True: []}
            for _ in range(options.repeat):
                for is_overlapping, results in found.items():
                    harness.progress(f"overlap: {is_overlapping}")
                    task = {"source": source, "checkpoint": "demo", "is_overlapping": is_overlapping, "batch": 4}
                    results.append(harness.run_child(__file__, task, threads=1))
            for is_overlapping, results in found.items():
                what = "stages at the same time" if is_overlapping else "stages one after the other"
                rows.append({"part": "overlap", "what": what, **_summary(results)})
        if "memory" in options.only:
            memories = []
            for frames in (options.memory_frames, 10 * options.memory_frames):
                harness.progress(f"memory: {frames} frames")
                source = str(write_drive(folder / f"drive{frames}", frames, 240, 320))
                task = {"source": source, "checkpoint": tiny}
                memories.append(harness.run_child(__file__, task, threads=1, timeout_s=3600))
            good = [row for row in memories if "error" not in row]
            if options.out and good:
                options.out.mkdir(parents=True, exist_ok=True)
                plot(good, options.out / "bags-memory.png")
            rows += [{"part": "memory", "what": f"{row.get('frames', '')} frames", **row} for row in memories]
        if "many" in options.only:
            harness.progress(f"many: {options.many} bags")
            found_many = harness.run_child(
                __file__, {"checkpoint": tiny, "count": options.many}, threads=1, timeout_s=3600
            )
            runs = found_many.get("runs", [found_many])
            rows += [{"part": "many", "what": what, **row} for what, row in zip(("first", "again"), runs, strict=False)]
    return [{key: value for key, value in row.items() if key != "samples"} for row in rows]


def _summary(results: list[Row]) -> Row:
    failed = [row for row in results if "error" in row]
    if failed:
        return failed[0]
    stages = [row["stages_cpu_s"] for row in results]
    return {
        "frames": results[0]["frames"],
        "read_cpu_s": harness.summary([row.get("read", 0.0) for row in stages]),
        "write_cpu_s": harness.summary([row.get("write", 0.0) for row in stages]),
        "frames_per_s": harness.summary([row["frames"] / row["wall_s"] for row in results]),
        "cpu_s": harness.summary([row["cpu_s"] for row in results]),
    }


def task(**arguments: Any) -> Row:
    """Run one measurement.

    Args:
        arguments: Those of `overlap`, `memory` or `many`, which tell them apart.
    """
    if "is_overlapping" in arguments:
        return overlap(**arguments)
    return memory(**arguments) if "source" in arguments else many(**arguments)


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "part": lambda row: row["part"],
    "what": lambda row: row["what"],
    "frames": lambda row: row["frames"],
    "frames/s": lambda row: row["frames_per_s"]["median"],
    "frames/s, 5 % to 95 %": lambda row: f"{row['frames_per_s']['p5']:.2f} to {row['frames_per_s']['p95']:.2f}",
    "CPU s": lambda row: row["cpu_s"]["median"],
    "of which reading": lambda row: row["read_cpu_s"]["median"] or None,
    "and writing": lambda row: row["write_cpu_s"]["median"] or None,
    "result MB": lambda row: row["result_mb"],
    "peak memory MB": lambda row: row["peak_mb"],
    "bags": lambda row: row["bags"],
    "statuses": lambda row: ", ".join(f"{count} {status}" for status, count in row["statuses"].items()),
    "skipped": lambda row: row["skipped"],
    "exit status": lambda row: row["exit_status"],
    "s": lambda row: row["wall_s"],
}


def main() -> None:
    """Run the benchmark."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--frames", type=int, default=60, help="frames of the bag for the overlap")
    parser.add_argument("--repeat", type=int, default=3, help="runs for the overlap")
    parser.add_argument("--memory-frames", type=int, default=150, help="frames of the shorter bag for the memory")
    parser.add_argument("--many", type=int, default=40, help="number of bags")
    options = parser.parse_args()
    if options.task:
        harness.child_main(task, options.task)
        return
    harness.report("bags", "Labelling of bags", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
