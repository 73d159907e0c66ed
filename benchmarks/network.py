# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Time and memory of PanopticSegmenter, from image to prediction: the stages apart and all of them together.

    python benchmarks/network.py --checkpoints demo --threads 1
    python benchmarks/network.py --checkpoints seed19 --sizes 512x1024 1024x2048 --instances 0 10 30 100 --backends ncnn

Every back end of `backends.BACKENDS` that is installed is measured, in every precision that it supports on the device,
each in a process of its own. `seed19` is the published network with the random weights of test/data; `seeded` is the
same for any preset (`seeded:demo`). int8 is calibrated on the images of the benchmark.

The ratio to the original: the original EfficientPS needs 730 GFLOP of work for 512×1024 px and 3600 GFLOP for 1024×2048
px (6.4 and 31.6 CPU seconds at 114 GFLOP/s). Its CPU seconds on this machine are that work at the speed of the
convolution that was measured in the same process. With two threads, its 3.65 and 18.0 s at 200 GFLOP/s are scaled in
the same way.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import harness
import numpy as np
from harness import Row

ORIGINAL_GFLOP = {"512x1024": 730.0, "1024x2048": 3600.0}
ORIGINAL_TWO_THREADS_S = {"512x1024": 3.65, "1024x2048": 18.0}
ORIGINAL_TWO_THREADS_GFLOPS = 200.0
ORIGINAL_POST_TWO_THREADS_S = {"1024x2048": 7.3}  # all but the dense part, 100 detections
DENSE = ("backbone", "neck", "rpn", "semantic_head", "dense_part")
"""Stages of the dense part: the first four apart in torch, all in one elsewhere."""
DEMO_SIZE = "256x512"
TESTS = harness.ROOT / "test"


class StageClock:
    """Adds up wall and CPU time of functions, without the time of other timed functions that they call."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._stack: list[list[float]] = []

    def watch(self, name: str, owner: Any, attribute: str) -> None:
        """Replace a method or a callable of an object by one that is timed.

        Args:
            name: Name of the stage.
            owner: The object.
            attribute: Name of the attribute.

        Raises:
            AttributeError: The object has no such attribute; the stages of this benchmark are then out of date.
        """
        function: Callable[..., Any] = getattr(owner, attribute)

        def timed(*values: Any, **options: Any) -> Any:
            harness.synchronize()
            start = (time.perf_counter(), time.process_time())
            self._stack.append([0.0, 0.0])
            try:
                return function(*values, **options)
            finally:
                harness.synchronize()
                inner = self._stack.pop()
                for index, clock in enumerate((time.perf_counter, time.process_time)):
                    whole = clock() - start[index]
                    self.spent[name][index] += whole - inner[index]
                    if self._stack:
                        self._stack[-1][index] += whole

        setattr(owner, attribute, timed)


def watch_stages(clock: StageClock, segmenter: Any) -> None:
    """Time the stages of a segmenter from now on.

    Args:
        clock: The clock.
        segmenter: A PanopticSegmenter.
    """
    network = segmenter._network
    clock.watch("whole", segmenter, "_predict")
    clock.watch("input", segmenter, "_input")
    clock.watch("dense_part", segmenter, "_dense_part")
    if segmenter.backend == "torch":
        from opendr_panoptic_ros.backends import stripes

        for name in ("backbone", "neck", "rpn"):
            clock.watch(name, getattr(network, name), "forward")
            clock.watch(name, stripes, f"{name}_in_stripes")  # on CPUs
        clock.watch("semantic_head", network.semantic_head, "stride4")
    clock.watch("proposals", network.rpn, "proposals")
    clock.watch("roi_heads", network.roi_heads, "forward")
    clock.watch("fusion", network.fusion, "forward")


def stages(segmenter: Any, image: np.ndarray, thresholds: Any, repeat: int) -> Row:
    """Return the median wall and CPU seconds of each stage, by name; `output` is what no other stage counts.

    Args:
        segmenter: A PanopticSegmenter; it stays timed.
        image: `(H, W, 3)` uint8 RGB.
        thresholds: Thresholds of the call.
        repeat: Number of calls.
    """
    clock = StageClock()
    watch_stages(clock, segmenter)
    calls: dict[str, list[list[float]]] = defaultdict(list)
    for _ in range(repeat):
        clock.spent.clear()
        segmenter(image, thresholds=thresholds)
        for name, spent in clock.spent.items():
            calls["output" if name == "whole" else name].append(spent)
    return {
        name: {"wall_s": median(spent[0] for spent in found), "cpu_s": median(spent[1] for spent in found)}
        for name, found in calls.items()
    }


def measure(
    *,
    checkpoint: str,
    source: str,
    size: str,
    backend: str,
    precision: str,
    device: str,
    instances: list[int | None],
    repeat: int,
    limit_s: float,
    with_stages: bool,
) -> Row:
    """Measure one back end in one precision at one size. Runs in a process of its own.

    Args:
        checkpoint: Name of the weights, which selects the image.
        source: What PanopticSegmenter loads.
        size: Height x width of the image and of the network's input in px.
        backend: Name of the back end.
        precision: Number format.
        device: "cpu" or "cuda".
        instances: Numbers of detections; None leaves the threshold of the configuration.
        repeat: Largest number of measured calls.
        limit_s: Time for the calls of one number of detections.
        with_stages: Whether to measure the stages, too.

    Returns:
        The measurements, one for each number of detections, in `rows`; and `peaks`.
    """
    import torch

    from opendr_panoptic_ros.config import Thresholds
    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.ros.memory import keep_freed_memory

    keep_freed_memory()  # as the node does; this module needs no ROS
    start_s = time.perf_counter()
    is_build = Path(source).is_dir()
    segmenter = PanopticSegmenter(
        source,
        device=device,
        backend="torch" if is_build else backend,  # a build brings its own
        precision="auto" if is_build else precision,
        inference_size="native",
        contain_instances=False if checkpoint == "seed19" else None,
    )
    image = image_for(checkpoint, size)
    harness.reset_peak_rss()
    segmenter(image)
    first_s = time.perf_counter() - start_s
    peaks = harness.Peaks(segmenter.device.type)
    scores = _scores(segmenter, image)
    chosen = [segmenter.config.test.score_threshold if n is None else _threshold(scores, n) for n in instances]
    rows = []
    for number, threshold in zip(instances, chosen, strict=True):
        thresholds = Thresholds(score_threshold=threshold)
        peaks.sample()
        harness.reset_peak_rss()
        if segmenter.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        spent = harness.measure(
            lambda given=thresholds: segmenter(image, thresholds=given),
            warm_up=0 if len(instances) == 1 else 1,  # the first call has warmed up
            repeat=repeat,
            limit_s=limit_s,
        )
        row: Row = {
            "instances": number,
            "detections": sum(score > threshold for score in scores),
            **spent,
            "peak_rss_mb": harness.peak_rss_mb(),
            "gpu_mb": harness.gpu_peak_mb(),
        }
        peaks.sample()
        rows.append(row)
    if with_stages:  # afterwards: on a GPU, the clock waits for each stage
        for row, threshold in zip(rows, chosen, strict=True):
            thresholds = Thresholds(score_threshold=threshold)
            row["stages"] = stages(segmenter, image, thresholds, max(1, repeat // 2))
    return {"rows": rows, "peaks": peaks.result(), "start_to_first_s": first_s, "device_type": segmenter.device.type}


def _scores(segmenter: Any, image: np.ndarray) -> list[float]:
    """Return the scores of the detections from the highest, whatever the threshold."""
    from dataclasses import replace

    from opendr_panoptic_ros.config import Thresholds

    config = segmenter.config
    segmenter.config = replace(config, test=config.test.with_thresholds(Thresholds(score_threshold=0.0)))
    try:
        _, detections = segmenter.head_outputs(image)
    finally:
        segmenter.config = config
    return sorted((float(score) for score in detections.scores), reverse=True)


def _threshold(scores: list[float], number: int) -> float:
    """Return the threshold that keeps a number of detections, or all where there are fewer."""
    if number == 0:
        return 1.0
    last = scores[min(number, len(scores)) - 1]
    following = scores[number] if number < len(scores) else last * 0.999
    return (last + following) / 2


def image_for(checkpoint: str, size: str) -> np.ndarray:
    """Return the image of the benchmark.

    Args:
        checkpoint: Name of the weights.
        size: Height x width in px.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    height, width = map(int, size.split("x"))
    if checkpoint == "seed19":
        image: np.ndarray = _checkpoint_recipe().make_image(19, height, width)
        return image
    from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes

    return SyntheticScenes([EVALUATION_SEEDS_FROM], height=height, width=width)[0][0].convert("channels_last")


def source_of(checkpoint: str) -> str:
    """Return what PanopticSegmenter loads for a name, after making the file where the weights are random.

    Args:
        checkpoint: "seed19", "seeded:PRESET", "tiny", or anything that `load_checkpoint` accepts.
    """
    made = harness.WORK / f"{checkpoint.replace(':', '-')}.safetensors"
    if checkpoint == "seed19" and not made.exists():
        import torch

        from opendr_panoptic_ros.checkpoint import load_checkpoint, save_checkpoint

        recipe = _checkpoint_recipe()
        harness.WORK.mkdir(parents=True, exist_ok=True)
        weights = harness.WORK / "seed19.pth"
        torch.save(recipe.build_checkpoint(19), weights)
        save_checkpoint(load_checkpoint(weights), made)
        weights.unlink()
    if (checkpoint == "tiny" or checkpoint.startswith("seeded:")) and not made.exists():
        sys.path.append(str(TESTS))
        from support.random_weights import seed_weights_
        from support.tiny_network import tiny_network

        from opendr_panoptic_ros.checkpoint import save_checkpoint
        from opendr_panoptic_ros.config import Config
        from opendr_panoptic_ros.network import EfficientPS

        harness.WORK.mkdir(parents=True, exist_ok=True)
        if checkpoint == "tiny":
            network = tiny_network()
        else:
            network = EfficientPS.from_config(Config.load(checkpoint.removeprefix("seeded:")))
            seed_weights_(network, 7)
        save_checkpoint(network, made)
    return str(made) if made.exists() else checkpoint


def prepare(*, checkpoint: str, size: str, backend: str, precision: str, device: str) -> Row:
    """Make the checkpoint and, for int8, the build. Runs in a process of its own, whose memory does not count.

    Args:
        checkpoint: Name of the weights.
        size: Height x width of the network's input in px.
        backend: Name of the back end.
        precision: Number format.
        device: "cpu" or "cuda".

    Returns:
        `source`, what PanopticSegmenter loads, and `build_s`, the time that the build took.
    """
    from opendr_panoptic_ros.inference import PanopticSegmenter

    source = source_of(checkpoint)
    start_s = time.perf_counter()
    if precision == "int8":
        source = str(_int8_build(checkpoint, source, size, backend, device))
    elif backend != "torch":
        image = image_for(checkpoint, size)
        segmenter = PanopticSegmenter(
            source, device=device, backend=backend, precision=precision, inference_size="native"
        )
        segmenter(image)
    return {"source": source, "build_s": time.perf_counter() - start_s}


def _int8_build(checkpoint: str, source: str, size: str, backend: str, device: str) -> Path:
    """Return the folder of the int8 build of a checkpoint, which is made by `opendr-panoptic optimize`."""
    import subprocess

    from opendr_panoptic_ros.backends import BACKENDS
    from opendr_panoptic_ros.files import write_png

    is_sized = getattr(BACKENDS[backend].load(), "fixed_size", False)
    folder = harness.WORK / f"{checkpoint.replace(':', '-')}-{backend}-int8{'-' + size if is_sized else ''}"
    if folder.is_dir():
        return folder
    images = harness.WORK / f"{checkpoint.replace(':', '-')}-images-{size}"
    images.mkdir(parents=True, exist_ok=True)
    height, width = map(int, size.split("x"))
    for number in range(8):
        if checkpoint == "seed19":
            image = _checkpoint_recipe().make_image(19 + number, height, width)
        else:
            from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes

            image = SyntheticScenes([number], height=height, width=width)[0][0].convert("channels_last")
        write_png(images / f"{number}.png", image)
    command = [sys.executable, "-m", "opendr_panoptic_ros", "optimize", source, "--backend", backend]
    command += ["--precision", "int8", "--size", size, "--device", device]
    command += ["--calibration", str(images), "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def _checkpoint_recipe() -> Any:
    """Return the module test/data/make_checkpoint.py."""
    spec = importlib.util.spec_from_file_location("make_checkpoint", TESTS / "data" / "make_checkpoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configurations(device: str, backends: list[str], precisions: list[str]) -> list[tuple[str, str]]:
    """Return the back ends that can run here, each with each precision that it supports.

    torch's float16 on the CPU, ten times slower than float32, is left out unless it is named.

    Args:
        device: "cpu" or "cuda".
        backends: Names to keep; empty keeps all.
        precisions: Precisions to keep; empty keeps all.
    """
    from opendr_panoptic_ros.backends import BACKENDS

    return [
        (name, precision)
        for name, row in BACKENDS.items()
        if row.is_installed() and (not backends or name in backends)
        for precision in row.precisions.get(device, ())
        if precision in precisions or not (precisions or (device, precision) == ("cpu", "float16"))
    ]


def run(options: argparse.Namespace) -> list[Row]:
    """Measure everything that the command line names.

    Args:
        options: The command line.

    Returns:
        The measurements.
    """
    rows: list[Row] = []
    for checkpoint in options.checkpoints:
        for size in options.sizes or ([DEMO_SIZE] if checkpoint == "demo" else ["512x1024"]):
            for backend, precision in configurations(options.device, options.backends, options.precisions):
                name = {"checkpoint": checkpoint, "size": size, "backend": backend, "precision": precision}
                task = {**name, "device": options.device}
                made = harness.run_child(__file__, {"step": "prepare", **task}, threads=2, timeout_s=options.timeout_s)
                if "error" in made:
                    rows.append({**name, **made})
                    continue
                for threads in options.threads:
                    print(
                        f"{checkpoint} {size} {backend} {precision}, {threads} thread(s)", file=sys.stderr, flush=True
                    )
                    found = harness.run_child(
                        __file__,
                        {
                            "step": "measure",
                            **task,
                            "source": made["source"],
                            "instances": [None if number < 0 else number for number in options.instances],
                            "repeat": options.repeat,
                            "limit_s": options.limit_s,
                            "with_stages": not options.no_stages,
                        },
                        threads=threads,
                        timeout_s=options.timeout_s,
                    )
                    name["threads"] = threads
                    if "error" in found:
                        rows.append({**name, **found})
                        continue
                    common = {"build_s": made["build_s"], "start_to_first_s": found["start_to_first_s"]}
                    common["peaks"] = found["peaks"]
                    rows += [with_ratios({**name, **common, **row}) for row in found["rows"]]
    return rows


def with_ratios(row: Row) -> Row:
    """Return a measurement with the ratios to the original, where its work at this size is known.

    Args:
        row: The measurement.
    """
    size, peaks = row["size"], row["peaks"]
    if "stages" in row:
        for clock in ("wall_s", "cpu_s"):
            row[f"post_{clock}"] = sum(
                spent[clock] for stage, spent in row["stages"].items() if stage not in (*DENSE, "input")
            )
    if row["checkpoint"] != "seed19" or size not in ORIGINAL_GFLOP:
        return row
    if row["threads"] == 1:
        original_s = ORIGINAL_GFLOP[size] / peaks["conv_gflops_per_cpu_s"]
        row["original_cpu_s"], row["ratio"] = original_s, original_s / row["cpu_s"]["median"]
    if row["threads"] == 2:
        scale = ORIGINAL_TWO_THREADS_GFLOPS / peaks["conv_gflops"]
        row["original_wall_s"] = ORIGINAL_TWO_THREADS_S[size] * scale
        row["ratio"] = row["original_wall_s"] / row["wall_s"]["median"]
        if size in ORIGINAL_POST_TWO_THREADS_S and "post_wall_s" in row:
            row["post_ratio"] = ORIGINAL_POST_TWO_THREADS_S[size] * scale / row["post_wall_s"]
    return row


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "weights": lambda row: row["checkpoint"],
    "size": lambda row: row["size"],
    "back end": lambda row: row["backend"],
    "precision": lambda row: row["precision"],
    "threads": lambda row: row["threads"],
    "detections": lambda row: row["detections"],
    "CPU s": lambda row: row["cpu_s"]["median"],
    "p5–p95": lambda row: f"{row['cpu_s']['p5']:.3g}–{row['cpu_s']['p95']:.3g}",
    "wall s": lambda row: row["wall_s"]["median"],
    "× original": lambda row: row["ratio"],
    "dense CPU s": lambda row: sum(spent["cpu_s"] for name, spent in row["stages"].items() if name in DENSE),
    "post CPU s": lambda row: row["post_cpu_s"],
    "RSS MB": lambda row: row["peak_rss_mb"],
    "GPU MB": lambda row: row["gpu_mb"],
    "GFLOP per CPU s": lambda row: row["peaks"]["conv_gflops_per_cpu_s"],
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = harness.arguments(__doc__ or "")
    options.add_argument("--checkpoints", nargs="+", default=["demo"], help="seed19, seeded:PRESET, or a checkpoint")
    options.add_argument("--sizes", nargs="+", default=[], help="height x width in px; default: that of the weights")
    options.add_argument("--backends", nargs="+", default=[], help="back ends; default: all that are installed")
    options.add_argument("--precisions", nargs="+", default=[], help="precisions; default: all that are supported")
    options.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options.add_argument("--threads", nargs="+", type=int, default=[1], help="numbers of threads")
    options.add_argument("--instances", nargs="+", type=int, default=[-1], help="numbers of detections; -1: any")
    options.add_argument("--repeat", type=int, default=5, help="largest number of measured calls")
    options.add_argument("--limit-s", type=float, default=60.0, help="time for the calls of one row in seconds")
    options.add_argument("--timeout-s", type=float, default=900.0, help="longest time of one process in seconds")
    options.add_argument("--no-stages", action="store_true", help="measure the whole only")
    return options


def task(*, step: str, **values: Any) -> Row:
    """Run one step in this process.

    Args:
        step: "prepare" or "measure".
        values: Arguments of the step.
    """
    return {"prepare": prepare, "measure": measure}[step](**values)


def main() -> None:
    """Run the benchmark from the command line."""
    options = parser().parse_args()
    if options.task:
        harness.child_main(task, options.task)
        return
    import torch

    torch.set_num_threads(1)
    harness.report("network", "Network: image to prediction", run(options), COLUMNS, options)


if __name__ == "__main__":
    main()
