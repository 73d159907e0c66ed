# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""How long each part of PanopticSegmenter takes, and how much memory: prints a table, writes JSON on request.

python benchmarks/segmenter.py --checkpoint demo --size 576x768
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from support.random_weights import seed_weights_

from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import EfficientPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="demo", help="a path or name; 'seeded:NAME' seeds a preset's network")
    parser.add_argument("--size", default="576x768", help="height x width of the image")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()

    segmenter = PanopticSegmenter(_seeded(arguments.checkpoint), device=arguments.device, precision=arguments.precision)
    height, width = map(int, arguments.size.split("x"))
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width])

    times_ms = measure(segmenter, image, arguments.repeat)
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


def measure(segmenter: PanopticSegmenter, image: np.ndarray, repeat: int) -> dict[str, float]:
    """Median milliseconds of each module of the network, of the network, and from image to prediction."""
    network = segmenter._network
    spent: dict[str, list[float]] = {}

    def clock() -> float:
        if segmenter.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = clock()
            result = function(*args, **options)
            spent.setdefault(name, []).append((clock() - start) * 1e3)
            return result

        return call

    for name in ("backbone", "neck", "semantic_head", "rpn", "roi_heads", "fusion"):
        module = getattr(network, name)
        module.forward = timed(name, module.forward)
    network.rpn.proposals = timed("proposals", network.rpn.proposals)  # type: ignore[method-assign]
    network.predict = timed("network with fusion", network.predict)  # type: ignore[method-assign]
    for _ in range(2):
        segmenter(image)
    spent.clear()
    run = timed("image to prediction", segmenter)
    for _ in range(repeat):
        run(image)
    return {name: round(median(values), 2) for name, values in spent.items()}


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"{report['checkpoint']}, image {report['image']}, {report['device']}, {report['precision']}")
    table.add_column("part")
    table.add_column("median ms", justify="right")
    for name, value in report["median_ms"].items():
        table.add_row(name, f"{value:.1f}")
    memory = ", ".join(f"{key} {report[key]}" for key in ("peak_rss_mb", "peak_gpu_mb") if key in report)
    table.caption = f"torch {report['torch']}, {report['threads']} threads, {memory}"
    Console().print(table)


def _seeded(checkpoint: str) -> str | EfficientPS:
    """A preset's network with seeded weights where `seeded:NAME` asks for it: as fast as a trained one."""
    if not checkpoint.startswith("seeded:"):
        return checkpoint
    network = EfficientPS.from_config(Config.load(checkpoint.removeprefix("seeded:"))).eval()
    seed_weights_(network, 7)
    return network


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
