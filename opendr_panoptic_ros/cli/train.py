# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import (
    INTERRUPTED,
    Interruption,
    dataset_at,
    splits_at,
    user_errors,
)
from opendr_panoptic_ros.errors import ConfigError


def train(
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Prepared dataset (with train and val), or one split of it.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, networks and curves.")] = Path("training"),
    val: Annotated[Path | None, typer.Option(help="Split to validate on instead of DATA/val.")] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="cityscapes, kitti, coco, demo, or a YAML file; by default cityscapes. A training that is resumed "
            "keeps the configuration in OUT/run.yaml."
        ),
    ] = None,
    set_: options.Changes = None,
    start: Annotated[
        str | None, typer.Option(help="Weights to start from: a checkpoint, or an EfficientNet state dict.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in OUT.")] = False,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Number of synthetic street scenes to train on instead of DATA.")
    ] = 0,
    device: options.Device = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that load images; 0 loads between steps.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print warnings and the result only.")] = False,
) -> None:
    """Train a network. OUT/best.safetensors is the best network by PQ, OUT/last.safetensors the newest.

    Ctrl-C stops after the current step, and --resume continues from there; after a kill, from the latest epoch.

    The settings are the sections schedule and data of the configuration. On several GPUs or machines:
    torchrun --nproc_per_node=4 -m -- opendr_panoptic_ros train DATA
    """
    with user_errors():
        from opendr_panoptic_ros.annotation import LabelledImages
        from opendr_panoptic_ros.config import Config
        from opendr_panoptic_ros.inference import resolve_device
        from opendr_panoptic_ros.training.data import CachedImages
        from opendr_panoptic_ros.training.initialisation import network_for, start_from_
        from opendr_panoptic_ros.training.loop import TrainingStopped
        from opendr_panoptic_ros.training.run_record import read_run_config
        from opendr_panoptic_ros.training.runner import train as train_network
        from opendr_panoptic_ros.training.states import latest_training_checkpoint

        console = Console(quiet=os.environ.get("RANK", "0") != "0")  # only the first process of torchrun prints
        if (data is None) == (synthetic == 0):
            raise ConfigError("Give either a prepared dataset or --synthetic N.")
        resume_from = latest_training_checkpoint(out) if resume else None
        if resume and resume_from is None:
            raise ConfigError(f"{out} holds no training to resume; leave out --resume to start a new one.")
        own = read_run_config(out) if resume else None
        settings = (own or Config.load(config or "cityscapes")).with_changes(set_ or [])
        resolve_device(device)
        images: LabelledImages
        val_images: LabelledImages | None
        if data is not None:
            images, val_images = splits_at(data)
        else:
            from opendr_panoptic_ros.synthetic.scenes import VALIDATION_SEEDS_FROM, SyntheticScenes

            size = {"height": settings.test.short_side_px, "width": settings.test.long_side_px}
            first = VALIDATION_SEEDS_FROM
            images = CachedImages(SyntheticScenes(range(synthetic), **size))
            val_images = CachedImages(SyntheticScenes(range(first, first + max(8, synthetic // 20)), **size))
        if val is not None:
            val_images = dataset_at(val)
        network = network_for(settings, getattr(images, "classes", settings.classes), start=None, seed=seed)
        if start is not None:
            console.print(f"Taken from {start}: {start_from_(network, start)}.", highlight=False)
        try:
            # Under torchrun each process gets Ctrl-C twice: from the terminal and from torchrun itself.
            with Interruption(held="WORLD_SIZE" in os.environ) as interruption:
                history = train_network(
                    network,
                    images,
                    val_images,
                    work_dir=out,
                    seed=seed,
                    device=device,
                    num_workers=workers,
                    resume_from=resume_from,
                    should_stop=lambda: interruption.came,
                    silent=quiet,
                )
        except TrainingStopped as stopped:
            console.print(f"{stopped} Continue with the same command and --resume.", highlight=False)
            raise typer.Exit(INTERRUPTED) from None
        scored = [(pq, row["epoch"]) for row in history["val"] if (pq := row["pq"]) is not None]
        if scored:
            pq, epoch = max(scored, key=lambda pair: pair[0])
            console.print(f"Best: PQ {100 * pq:.1f} after epoch {epoch}: {out / 'best.safetensors'}")
        else:
            console.print(f"Trained: {out / 'last.safetensors'}")
