# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Draws the plots of docs/performance.md from the JSON files of a folder, all of one date.

python benchmarks/plots.py --results benchmarks/results --date 2026-11-25 --out docs/images
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

Row = dict[str, Any]

STAGES = {
    "input": "input",
    "dense_part": "dense part",
    "backbone": "dense part",
    "neck": "dense part",
    "rpn": "dense part",
    "semantic_head": "dense part",
    "proposals": "proposals",
    "roi_heads": "RoI heads",
    "fusion": "fusion",
    "output": "output",
}
COLORS = {
    "input": "#b8c4d0",
    "dense part": "#33658a",
    "proposals": "#86bbd8",
    "RoI heads": "#f6ae2d",
    "fusion": "#f26419",
    "output": "#6b4e71",
}


def rows_of(folder: Path, date: str, name: str) -> list[Row]:
    """Return the rows of all reports of a benchmark.

    Args:
        folder: Folder with the reports.
        date: Date of the reports.
        name: Name of the benchmark.
    """
    rows: list[Row] = []
    for path in sorted(folder.glob(f"{date}-{name}*.json")):
        rows += [row for row in json.loads(path.read_text(encoding="utf-8"))["rows"] if "error" not in row]
    return rows


def save(figure: Any, path: Path) -> None:
    """Write a figure as a small PNG.

    Args:
        figure: The figure, which is closed.
        path: The file.
    """
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)
    print(path)


def plot_stages(rows: Sequence[Row], path: Path) -> None:
    """Draw where the time goes: one bar for each back end and precision, one panel for each size.

    Args:
        rows: Rows of the benchmark `network`.
        path: The file.
    """
    panels: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["threads"] == 1 and "stages" in row:
            panels[row["checkpoint"], row["size"]].append(row)
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.8), squeeze=False)
    for axis, ((checkpoint, size), found) in zip(axes[0], sorted(panels.items()), strict=True):
        best: dict[str, Row] = {}
        for row in found:  # of each back end, the row with the most detections
            key = f"{row['backend']}\n{row['precision']}"
            if key not in best or row["detections"] > best[key]["detections"]:
                best[key] = row
        best = dict(sorted(best.items(), key=lambda item: -item[1]["cpu_s"]["median"]))
        for place, row in enumerate(best.values()):
            spent: dict[str, float] = defaultdict(float)
            for stage, seconds in row["stages"].items():
                spent[STAGES[stage]] += seconds["cpu_s"]
            bottom = 0.0
            for stage, color in COLORS.items():
                axis.bar(place, spent[stage], 0.7, bottom=bottom, color=color, label=stage if place == 0 else None)
                bottom += spent[stage]
            axis.text(place, bottom, f"{bottom:.3g}", ha="center", va="bottom", fontsize=8)
        axis.set_xticks(range(len(best)), best, fontsize=7, rotation=45)
        detections = max(row["detections"] for row in found)
        axis.set_title(f"{checkpoint}, {size.replace('x', '×')} px, {detections} detections", fontsize=9)
        axis.set_ylabel("CPU s, one thread")
        axis.margins(y=0.12)
    axes[0][-1].legend(fontsize=7)
    save(figure, path)


def plot_post_processing(rows: Sequence[Row], path: Path) -> None:
    """Draw how the time of everything but the dense part grows with the number of instances and the size.

    Args:
        rows: Rows of the benchmark `network`.
        path: The file.
    """
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        kind = (row["checkpoint"], row["backend"], row["precision"], row["threads"])
        if kind == ("seed19", "ncnn", "float32", 1) and row["instances"] is not None:
            lines[row["size"]].append((row["detections"], row["post_cpu_s"]))
    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    for size, points in lines.items():
        axis.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{size.replace('x', '×')} px")
    axis.set_xlabel("detections")
    axis.set_ylabel("CPU s, one thread")
    axis.set_title("All but the dense part", fontsize=10)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    save(figure, path)


def plot_peers(rows: Sequence[Row], path: Path) -> None:
    """Draw the CPU time of this package's back ends and of other networks.

    Args:
        rows: Rows of the benchmarks `network` and `peers`.
        path: The file.
    """
    ours = ("seed19", "512x1024", 100)
    chosen = [
        row
        for row in rows
        if row["threads"] == 1 and ("network" in row or (row["checkpoint"], row["size"], row["instances"]) == ours)
    ]
    bars = [
        (
            f"this package, {row['backend']} {row['precision']}" if "backend" in row else row["network"],
            row["cpu_s"]["median"],
            "backend" in row,
        )
        for row in chosen
    ]
    bars.sort(key=lambda bar: -bar[1])
    figure, axis = plt.subplots(figsize=(6.4, 0.32 * len(bars) + 0.9))
    colors = ["#33658a" if ours else "#b8c4d0" for _, _, ours in bars]
    drawn = axis.barh([name for name, _, _ in bars], [seconds for _, seconds, _ in bars], color=colors)
    axis.bar_label(drawn, fmt="%.3g", fontsize=8, padding=2)
    axis.set_xlabel("CPU s for one image of 512×1024 px, one thread")
    axis.tick_params(axis="y", labelsize=8)
    axis.margins(x=0.12)
    save(figure, path)


def plot_start(rows: Sequence[Row], path: Path) -> None:
    """Draw the steps of the node's start.

    Args:
        rows: Rows of the benchmark `startup`.
        path: The file.
    """
    backends = list(dict.fromkeys(row["backend"] for row in rows if row["what"].startswith("phase: ")))
    figure, axis = plt.subplots(figsize=(6.8, 0.5 * len(backends) + 1.6))
    colors = ["#b8c4d0", "#33658a", "#86bbd8", "#2f4858", "#f6ae2d", "#f26419", "#6b4e71"]
    for place, backend in enumerate(backends):
        left = 0.0
        steps = [row for row in rows if row["backend"] == backend and row["what"].startswith("phase: ")]
        for row, color in zip([step for step in steps if "second" not in step["what"]], colors, strict=True):
            seconds = row["cpu_s"]["median"]
            label = row["what"].removeprefix("phase: ") if place == 0 else None
            axis.barh(place, seconds, 0.6, left=left, color=color, label=label)
            left += seconds
        axis.text(left, place, f" {left:.2f}", va="center", fontsize=8)
    axis.set_yticks(range(len(backends)), backends)
    axis.set_xlabel("CPU s from the start of the process")
    axis.margins(x=0.1)
    axis.legend(fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.02))
    save(figure, path)


def main() -> None:
    """Draw the plots from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="folder with the JSON files")
    parser.add_argument("--date", required=True, help="date of the files")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the plots")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    network = rows_of(options.results, options.date, "network")
    plot_stages(network, options.out / "performance_stages.png")
    plot_post_processing(network, options.out / "performance_post.png")
    plot_peers(network + rows_of(options.results, options.date, "peers"), options.out / "performance_peers.png")
    plot_start(rows_of(options.results, options.date, "startup"), options.out / "performance_start.png")


if __name__ == "__main__":
    main()
