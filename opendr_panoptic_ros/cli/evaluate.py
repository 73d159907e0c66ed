# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import dataset_at, user_errors
from opendr_panoptic_ros.errors import ConfigError


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="The network: a file, an OpenDR directory, or a name.")
    ],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Split of a prepared dataset, such as cityscapes/val.")
    ] = None,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Number of synthetic street scenes to evaluate on instead of DATA.")
    ] = 0,
    config: options.Configuration = None,
    device: options.Device = "auto",
    backend: options.Backend = "auto",
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Print panoptic quality, IoU and AP of a network on images with ground truth."""
    with user_errors():
        from rich.progress import Progress

        from opendr_panoptic_ros.annotation import LabelledImages
        from opendr_panoptic_ros.evaluation import print_result
        from opendr_panoptic_ros.evaluation.run import evaluate as evaluate_network
        from opendr_panoptic_ros.files import write_json
        from opendr_panoptic_ros.inference import PanopticSegmenter

        if (data is None) == (synthetic == 0):
            raise ConfigError("Give either a split of a prepared dataset or --synthetic N.")
        segmenter = PanopticSegmenter(checkpoint, config=config, device=device, backend=backend)
        images: LabelledImages
        if data is not None:
            images = dataset_at(data)
        else:
            from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes

            test = segmenter.config.test
            seeds = range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + synthetic)
            images = SyntheticScenes(seeds, height=test.short_side_px, width=test.long_side_px)
        console = Console(stderr=True)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Evaluating", total=len(images))
            result = evaluate_network(segmenter, images, on_image=lambda *_: progress.advance(task))
        print_result(result)
        if json is not None:
            write_json(json, result.to_dict())
