# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Measures the time of each part of PanopticSegmenter and its memory. Prints a table; `--json` writes a file.

python benchmarks/segmenter.py --checkpoint demo --size 576x768
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS

TESTS = Path(__file__).resolve().parents[1] / "test"
WARM_UP_CALLS = 2
DENSE_PART = "dense part"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--checkpoint",
        default="demo",
        help="path or name; 'seeded:NAME' is a preset with random weights",
    )
    parser.add_argument("--size", default="576x768", help="height x width of the image in pixels")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", default="auto", help="auto, float32, float16 or bfloat16")
    parser.add_argument("--repeat", type=int, default=10, help="number of measured calls")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()

    network = _network(arguments.checkpoint)
    clock = ModuleClock()
    clock.watch(DENSE_PART, network)
    for name, module in network.named_children():
        clock.watch(name, module)
    segmenter = PanopticSegmenter(network, device=arguments.device, precision=arguments.precision, backend="torch")
    height, width = map(int, arguments.size.split("x"))
    times_ms = measure(segmenter, clock, _image(height, width), arguments.repeat)
    report: dict[str, Any] = {
        "checkpoint": arguments.checkpoint,
        "image": arguments.size,
        "device": _device_name(segmenter.device),
        "precision": segmenter.precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "median_ms": times_ms,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if segmenter.device.type == "cuda":
        report["peak_gpu_mb"] = torch.cuda.max_memory_allocated() // 2**20
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


class ModuleClock:
    """Adds up the time that modules take, in `spent_ms` by name, by means of forward hooks.

    The segmenter works on a copy of the network; the copy keeps the hooks.
    """

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = defaultdict(float)
        self._start_s: dict[str, float] = {}

    def watch(self, name: str, module: nn.Module) -> None:
        """Time every call of a module.

        Args:
            name: Name of the module in `spent_ms`.
            module: The module.
        """

        def before(_module: nn.Module, _inputs: Any) -> None:
            self._start_s[name] = now_s()

        def after(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            self.spent_ms[name] += 1e3 * (now_s() - self._start_s[name])

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)


def now_s() -> float:
    """Return the time when all work on the GPU is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(segmenter: PanopticSegmenter, clock: ModuleClock, image: np.ndarray, repeat: int) -> dict[str, float]:
    """Return median times in milliseconds: each module of the network, the rest, and the whole call.

    Args:
        segmenter: The segmenter.
        clock: Times the modules of its network.
        image: `(H, W, 3)` uint8 RGB.
        repeat: Number of measured calls.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for call in range(WARM_UP_CALLS + repeat):
        clock.spent_ms.clear()
        start_s = now_s()
        segmenter(image)
        total_ms = 1e3 * (now_s() - start_s)
        if call >= WARM_UP_CALLS:
            spent_ms = dict(clock.spent_ms)
            # The dense part calls the semantic head without its enlargement, past the hooks.
            dense_ms = spent_ms.pop(DENSE_PART)
            spent_ms["semantic_head"] = dense_ms - sum(spent_ms[name] for name in ("backbone", "neck", "rpn"))
            for name, value in spent_ms.items():
                times[name].append(value)
            times["input, proposals, output"].append(total_ms - sum(spent_ms.values()))
            times["image to prediction"].append(total_ms)
    return {name: round(median(values), 2) for name, values in times.items()}


def show(report: dict[str, Any]) -> None:
    """Print a report as a table.

    Args:
        report: As written by `--json`.
    """
    table = Table(title=f"{report['checkpoint']}, image {report['image']}, {report['device']}, {report['precision']}")
    table.add_column("part")
    table.add_column("median ms", justify="right")
    for name, value in report["median_ms"].items():
        table.add_row(name, f"{value:.1f}")
    memory = ", ".join(f"{key} {report[key]}" for key in ("peak_rss_mb", "peak_gpu_mb") if key in report)
    table.caption = f"torch {report['torch']}, {report['threads']} threads, {memory}"
    Console().print(table)


def _network(checkpoint: str) -> EfficientPS:
    """Return the network of a checkpoint, or of a preset with random weights, which is as fast as a trained one."""
    if not checkpoint.startswith("seeded:"):
        return load_checkpoint(checkpoint)
    sys.path.append(str(TESTS))
    from support.random_weights import seed_weights_

    network = EfficientPS.from_config(Config.load(checkpoint.removeprefix("seeded:"))).eval()
    seed_weights_(network, 7)
    return network


def _image(height: int, width: int) -> np.ndarray:
    """Return coarse noise, `(height, width, 3)` uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if platform.system() == "Linux" else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"CPU {model}"


if __name__ == "__main__":
    main()
