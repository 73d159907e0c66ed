# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic prepare`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from opendr_panoptic_ros.cli.common import user_errors


class Kind(str, Enum):
    """The datasets that can be prepared."""

    CITYSCAPES = "cityscapes"
    KITTI = "kitti"
    COCO = "coco"


def prepare(
    kind: Annotated[Kind, typer.Argument(help="What was downloaded.")],
    source: Annotated[Path, typer.Argument(help="Its folder, unpacked.")],
    out: Annotated[Path, typer.Argument(help="Folder for the prepared dataset: train and val.")],
    train_truth: Annotated[
        bool, typer.Option("--train-truth", help="Also make panoptic_gt of train, to evaluate on it.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Images at a time; one for each processor.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier preparation in OUT.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link images instead of copying them.")] = False,
) -> None:
    """Convert Cityscapes, KITTI panoptic or COCO panoptic data for training and evaluation.

    Status 1: something was missing or unreadable, all of it listed; repair it and call again with --resume.
    """
    with user_errors():
        from opendr_panoptic_ros import datasets

        classes: dict[Kind, type[datasets.CityscapesDataset | datasets.KittiDataset | datasets.CocoPanopticDataset]] = {
            Kind.CITYSCAPES: datasets.CityscapesDataset,
            Kind.KITTI: datasets.KittiDataset,
            Kind.COCO: datasets.CocoPanopticDataset,
        }
        classes[kind].prepare_data(source, out, train_truth, workers, resume=resume, link_images=link)
        for split in ("train", "val"):
            if (out.expanduser() / split).is_dir():
                typer.echo(f"{split}: {len(classes[kind](out / split))} images in {out / split}")
