# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import dataset_at, user_errors

if TYPE_CHECKING:
    from rich.table import Table

    from opendr_panoptic_ros.training.inspection import DatasetReport


def inspect(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Split of a prepared dataset, such as cityscapes/train.")
    ],
    config: Annotated[str, typer.Option(help="Configuration to train with: a name or a YAML file.")] = "cityscapes",
    set_: options.Changes = None,
    out: Annotated[Path, typer.Option(help="Folder for report.json and truth.png.")] = Path("inspection"),
    images: Annotated[int, typer.Option(min=0, max=200, help="Number of images in truth.png.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random crops and colours in truth.png.")] = 0,
) -> None:
    """Report what a dataset holds before a training: classes, counts, sizes, and what is too small to be learnt.

    OUT/truth.png shows images and truth as the training sees them: scaled, cropped, flipped, in changed colours.
    """
    with user_errors():
        from rich.progress import Progress

        from opendr_panoptic_ros.config import Config
        from opendr_panoptic_ros.files import check_writable_folder, write_json, write_png
        from opendr_panoptic_ros.training.inspection import inspect_dataset, picture_of_truth

        dataset = dataset_at(data)
        settings = Config.load(config).with_changes(set_ or [])
        check_writable_folder(out)
        console = Console(stderr=True)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Reading", total=len(dataset))
            report = inspect_dataset(dataset, settings, on_image=lambda: progress.advance(task))
        Console().print(_table(report))
        for warning in report.warnings:
            typer.echo(f"Warning: {warning}")
        write_json(out / "report.json", report.to_dict())
        if images:
            write_png(out / "truth.png", picture_of_truth(dataset, settings, count=images, seed=seed))
        console.print(f"Written to {out}", highlight=False)


def _table(report: DatasetReport) -> Table:
    from rich.table import Table

    sizes = ", ".join(f"{size} ({count})" for size, count in list(report.sizes.items())[:3])
    seen = ", ".join(f"{size} ({count})" for size, count in list(report.network_sizes.items())[:3])
    table = Table(
        title=f"{report.images} images of {sizes}{' and others' if len(report.sizes) > 3 else ''}; the network sees "
        f"{seen}; {100 * report.void_share:.1f} % void; {report.without_things} without things",
        title_justify="left",
    )
    table.add_column("class")
    for name in ("images", "segments", "crowds", "pixels, %", "median side, px", "too small, %"):
        table.add_column(name, justify="right")
    for name, found in sorted(report.classes.items(), key=lambda pair: pair[1].is_thing):
        small = f"{100 * found.too_small / found.segments:.0f}" if found.segments else "–"
        side = "–" if found.median_side_px is None else f"{found.median_side_px:.0f}"
        share = f"{100 * found.pixels / report.pixels:.2f}"
        table.add_row(name, str(found.images), str(found.segments), str(found.crowds), share, side, small)
    return table
