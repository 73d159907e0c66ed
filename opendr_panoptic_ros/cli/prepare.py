# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic prepare`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from opendr_panoptic_ros.cli import engines
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.datasets import DATASETS, DatasetRow
from opendr_panoptic_ros.fleet.engine_name import EngineName


def _row(name: str) -> DatasetRow:
    if name not in DATASETS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(DATASETS)}.")
    return DATASETS[name]


def prepare(
    kind: Annotated[
        DatasetRow,
        typer.Argument(
            parser=_row,
            metavar="|".join(DATASETS),
            help="The downloaded data: " + ", ".join(f"{name} ({row.title})" for name, row in DATASETS.items()) + ".",
        ),
    ],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder with the unpacked download.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the prepared dataset, with train and val.")],
    train_truth: Annotated[
        bool, typer.Option("--train-truth", help="Also make panoptic_gt of train, to evaluate on it.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Images prepared at a time.", show_default="one for each processor")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Split to prepare, train or val. May be repeated.", metavar="SPLIT", show_default="both"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier preparation in OUT.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link images instead of copying them.")] = False,
    engine: engines.Engine = EngineName.LOCAL,
    address: engines.Address = None,
    cores: engines.Cores = 1,
) -> None:
    """Convert downloaded panoptic data for training and evaluation.

    Exit status 1: some files were missing or unreadable; all are listed. Repair them and repeat with --resume.
    """
    with user_errors():
        from opendr_panoptic_ros.datasets import PanopticDataset
        from opendr_panoptic_ros.datasets.preparation import prepare_dataset
        from opendr_panoptic_ros.datasets.raw_dataset import SPLITS

        out = out.expanduser()
        with engines.ray_workers(engine, address, cores, workers) or nullcontext() as workers_on_ray:
            prepare_dataset(
                kind.load(kind.reader),
                source.expanduser().absolute(),
                out.absolute(),
                train_truth=train_truth,
                num_workers=workers,
                splits=split or SPLITS,
                resume=resume,
                link_images=link,
                executor=workers_on_ray,
            )
        for name in SPLITS:
            if (out / name).is_dir():
                typer.echo(f"{name}: {len(PanopticDataset(out / name))} images in {out / name}")
