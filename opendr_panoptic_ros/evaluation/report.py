# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The figures of an evaluation as a table."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult
from opendr_panoptic_ros.formats.panoptic_quality import MeanQuality


def result_table(result: EvaluationResult) -> Table:
    """Make a table of the figures in percent: each class, then stuff, things and all.

    Args:
        result: The figures.

    Returns:
        The table. A dash marks a class that does not occur.
    """
    images = "1 image" if result.num_images == 1 else f"{result.num_images} images"
    table = Table(title=f"Panoptic segmentation, {images}, in %", title_justify="left")
    table.add_column("class")
    for name in ("PQ", "SQ", "RQ", "IoU", "AP", "AP50"):
        table.add_column(name, justify="right", min_width=5)
    for name, quality in result.panoptic.per_class.items():
        figures = (quality.pq, quality.sq, quality.rq) if quality.occurs else (math.nan,) * 3
        rest = (result.iou[name], result.ap.get(name, math.nan), result.ap50.get(name, math.nan))
        table.add_row(name, *map(_percent, (*figures, *rest)))
    table.add_section()
    table.add_row(*_mean_row("stuff", result.panoptic.stuff))
    table.add_row(*_mean_row("things", result.panoptic.things, math.nan, result.mean_ap, result.mean_ap50))
    table.add_row(*_mean_row("all", result.panoptic.all, result.mean_iou), style="bold")
    return table


def print_result(result: EvaluationResult, *, console: Console | None = None) -> None:
    """Print the table of the figures.

    Args:
        result: The figures.
        console: Where to print; None = standard output.
    """
    (console or Console()).print(result_table(result))


def _mean_row(name: str, mean: MeanQuality, *rest: float) -> list[str]:
    figures = (mean.pq, mean.sq, mean.rq) if mean.n else (math.nan,) * 3
    return [f"{name} ({mean.n})", *map(_percent, (*figures, *rest, *(math.nan,) * (3 - len(rest))))]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"
