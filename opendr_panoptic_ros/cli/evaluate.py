# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import engines, options
from opendr_panoptic_ros.cli.common import dataset_at, user_errors
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.fleet.engine_name import EngineName

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from opendr_panoptic_ros.annotation import LabelledImages
    from opendr_panoptic_ros.bags.options import NetworkOptions
    from opendr_panoptic_ros.config import TestConfig
    from opendr_panoptic_ros.evaluation import EvaluationResult
    from opendr_panoptic_ros.evaluation.run import EvaluatedImage
    from opendr_panoptic_ros.fleet.ray_workers import RayWorkers


def evaluate(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="The network: a file, an OpenDR directory, or a name. With --predictions it is left out.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Split of a prepared dataset, such as cityscapes/val.")
    ] = None,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Number of synthetic street scenes to evaluate on instead of DATA.")
    ] = 0,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Evaluate the predictions in this folder instead of a network's: what `infer --format labels` or "
            "`--format cityscapes` wrote, named as the images of DATA."
        ),
    ] = None,
    config: options.Configuration = None,
    set_: options.Changes = None,
    device: options.Device = "auto",
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    size: options.Size = None,
    scales: options.Scales = "1",
    flip: options.Flip = False,
    score_threshold: options.ScoreThreshold = None,
    overlap_threshold: options.OverlapThreshold = None,
    min_stuff_area: options.MinStuffArea = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the figures of each image (CSV), the confusion matrix (CSV, PNG) and pictures of the "
            "worst images."
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, max=1000, help="Number of worst images that --report draws.")] = 10,
    engine: engines.Engine = EngineName.LOCAL,
    address: engines.Address = None,
    cores: engines.Cores = 1,
    workers: engines.Workers = None,
) -> None:
    """Print panoptic quality, IoU and AP of a network, or of predictions in files, on images with ground truth."""
    with user_errors():
        from rich.progress import Progress

        from opendr_panoptic_ros.bags.options import NetworkOptions
        from opendr_panoptic_ros.config import Config
        from opendr_panoptic_ros.evaluation import print_result
        from opendr_panoptic_ros.evaluation.report_folder import ReportFolder
        from opendr_panoptic_ros.evaluation.run import evaluate_stored
        from opendr_panoptic_ros.files import write_json
        from opendr_panoptic_ros.formats.stored_predictions import StoredPredictions

        if predictions is not None and data is None:
            data, checkpoint = Path(checkpoint), ""
        if predictions is not None and checkpoint:
            raise ConfigError(f"Give either the checkpoint {checkpoint} or --predictions, not both.")
        if (data is None) == (synthetic == 0):
            raise ConfigError("Give either a split of a prepared dataset or --synthetic N.")
        on_ray = engines.ray_workers(
            engine,
            address,
            cores,
            workers,
            without={"--predictions": predictions, "--report": report},
        )
        folder = None if report is None else ReportFolder(report.expanduser(), worst=worst)
        network = NetworkOptions(
            checkpoint=checkpoint,
            config=config,
            device=device,
            backend=backend,
            precision=precision,
            size=size,
            score_threshold=score_threshold,
            overlap_threshold=overlap_threshold,
            min_stuff_area=min_stuff_area,
            changes=tuple(set_ or ()),
            scales=options.scales(scales),
            flip=flip,
        )
        # Loaded before the bar of progress, which an error would break.
        settings = Config.load("demo") if predictions is not None else network.segmenter().config
        images = _images(data, synthetic, settings.test)
        console = Console(stderr=True)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Evaluating", total=len(images))

            def on_image(image: EvaluatedImage) -> None:
                progress.advance(task)
                if folder is not None:
                    folder.add(image)

            if predictions is not None:
                result = evaluate_stored(StoredPredictions(predictions), images, on_image=on_image)
            else:
                result = _evaluate_network(on_ray, network, images, on_image, progress)
        print_result(result)
        if json is not None:
            write_json(json, result.to_dict())
        if folder is not None:
            folder.write(result)
            console.print(f"Report: {report}", highlight=False)


def _evaluate_network(
    workers: RayWorkers | None,
    network: NetworkOptions,
    images: LabelledImages,
    on_image: Callable[[EvaluatedImage], None],
    progress: Progress,
) -> EvaluationResult:
    from opendr_panoptic_ros.evaluation.run import evaluate as evaluate_network
    from opendr_panoptic_ros.fleet.evaluation import evaluate_on
    from opendr_panoptic_ros.fleet.paths import with_absolute_paths

    if workers is None:
        return evaluate_network(network.segmenter(), images, on_image=on_image)
    (task,) = progress.task_ids
    with workers:
        return evaluate_on(
            workers, with_absolute_paths(network), images, on_images=lambda count: progress.advance(task, count)
        )


def _images(data: Path | None, synthetic: int, test: TestConfig) -> LabelledImages:
    """Return the split at `data`, or synthetic scenes of the size at which the network sees images."""
    if data is not None:
        return dataset_at(data)
    from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, SyntheticScenes

    seeds = range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + synthetic)
    return SyntheticScenes(seeds, height=test.short_side_px, width=test.long_side_px)
