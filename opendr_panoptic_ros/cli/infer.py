# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic infer`: segment image and video files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from opendr_panoptic_ros.cli import engines, options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.fleet.engine_name import EngineName
from opendr_panoptic_ros.formats.result_format import ResultFormat


def infer(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Images, folders, globs ('*.png') or videos.")],
    checkpoint: options.Checkpoint = "demo",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results"),
    formats: Annotated[
        list[ResultFormat] | None,
        typer.Option(
            "--format",
            help="overlay: pictures and videos; labels: PNGs of train ids and of instances; json: the segments; "
            "cityscapes: the benchmark's submission. May be repeated.",
            show_default="overlay",
        ),
    ] = None,
    track_ids: options.TrackIds = False,
    label_map: options.LabelMapFile = None,
    classes: options.Classes = None,
    ego_mask: options.EgoMaskFile = None,
    image_rotation: options.ImageRotation = 0,
    config: options.Configuration = None,
    device: options.Device = "auto",
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    size: options.Size = None,
    scales: options.Scales = "1",
    flip: options.Flip = False,
    score_threshold: options.ScoreThreshold = None,
    overlap_threshold: options.OverlapThreshold = None,
    min_stuff_area: options.MinStuffArea = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")] = False,
    engine: engines.Engine = EngineName.LOCAL,
    address: engines.Address = None,
    cores: engines.Cores = 1,
    workers: engines.Workers = None,
) -> None:
    """Segment images and videos, and write the results as files.

    With --track-ids, the frames of a video are consecutive, and so are the images, in the order given.
    Exit status 1: an input could not be read or segmented; the others are done.
    """
    with user_errors():
        from opendr_panoptic_ros.bags.options import NetworkOptions
        from opendr_panoptic_ros.fleet.files import FileOptions, segment_files, segment_files_on
        from opendr_panoptic_ros.fleet.paths import with_absolute_paths
        from opendr_panoptic_ros.formats.image_inputs import find_inputs, names_of

        if label_map and ResultFormat.CITYSCAPES in (formats or ()):
            raise PanopticError("--format cityscapes is for the network's own classes; leave out --label-map.")
        problems: list[str] = []
        files = find_inputs(inputs, problems)
        if not files:
            raise PanopticError("; ".join(problems) or "There is nothing to segment.")
        file_options = FileOptions(
            NetworkOptions(
                checkpoint=checkpoint,
                config=config,
                device=device,
                backend=backend,
                precision=precision,
                size=size,
                score_threshold=score_threshold,
                overlap_threshold=overlap_threshold,
                min_stuff_area=min_stuff_area,
                scales=options.scales(scales),
                flip=flip,
            ),
            out.expanduser(),
            tuple(formats or [ResultFormat.OVERLAY]),
            overwrite=overwrite,
            track_ids=track_ids,
            label_map=label_map,
            classes=options.split(classes),
            ego_mask=ego_mask,
            rotation_deg=image_rotation,
        )
        workers_on_ray = engines.ray_workers(engine, address, cores, workers)
        console = Console(stderr=True)
        if workers_on_ray is None:
            file_options.network.segmenter()  # loaded before the line of progress, which an error would break
            with console.status("Segmenting") as status:
                report = segment_files(
                    file_options, names_of(files), on_image=lambda name: status.update(f"Segmenting {name}")
                )
        else:
            with workers_on_ray, Progress(console=console, transient=True) as progress:
                task = progress.add_task("Segmenting", total=len(files))
                report = segment_files_on(
                    workers_on_ray,
                    with_absolute_paths(file_options),
                    {path.absolute(): name for path, name in names_of(files).items()},
                    on_files=lambda count: progress.advance(task, count),
                )
        problems += report.problems
        typer.echo(f"{report.count} images segmented, results in {out}")
        if problems:
            raise PanopticError("not segmented: " + "; ".join(problems))
