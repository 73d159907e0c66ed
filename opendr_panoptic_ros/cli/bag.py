# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag`: label the images of a bag. No ROS installation is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendr_panoptic_ros.cli import engines, options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.fleet.engine_name import EngineName


def bag(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IN... [OUT]",
            help="ROS 1 .bag; rosbag2 folder, .mcap or .db3; with --out-dir also folders of bags and glob patterns. "
            "OUT: new rosbag2 folder, or a new .mcap file.",
        ),
    ],
    out_dir: Annotated[
        str | None,
        typer.Option(
            help="Label every IN into this folder. Bags that are done are skipped. With the extra fleet, IN and DIR "
            "may be addresses such as s3://bucket/drives.",
            metavar="DIR",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write what became of each bag to this JSON file.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results in --out-dir that were made with other options.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that label segments of time of a bag side by side.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of each process.", show_default="all cores, divided by --jobs"),
    ] = None,
    shard: engines.ShardOption = None,
    engine: engines.Engine = EngineName.LOCAL,
    address: engines.Address = None,
    cores: engines.Cores = 1,
    workers: engines.Workers = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Image topic, raw or compressed. May be repeated. Needed if the bag has several."),
    ] = None,
    start: Annotated[float, typer.Option(min=0, max=1e9, help="Begin this many seconds after the bag's start.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="End this many seconds after the bag's start.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every n-th frame of a topic.")] = 1,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            help="Write exactly these results: names of topics below panoptic/, separated by commas. May be repeated.",
            show_default="all but mask, confidence and packed",
        ),
    ] = None,
    colors: Annotated[bool, typer.Option(help="Write colour maps of classes and instances.")] = True,
    overlay: Annotated[bool, typer.Option(help="Write the images with the class colours drawn over them.")] = True,
    only: Annotated[
        bool, typer.Option("--only", help="Copy the segmented images alone, not the other topics of the bag.")
    ] = False,
    results_only: Annotated[
        bool, typer.Option("--results-only", help="Copy nothing: write the results alone.")
    ] = False,
    compression: Annotated[str, typer.Option(help="Compression of the new bag: zstd or none.")] = "zstd",
    points: Annotated[
        bool, typer.Option("--points", help="Write labelled clouds, made of the depth images of --depth-topic.")
    ] = False,
    depth_topic: Annotated[
        str, typer.Option(help="Depth images of the same view, 16UC1 in mm or 32FC1 in m.")
    ] = "/depth/image_rect",
    depth_info_topic: Annotated[str, typer.Option(help="Their CameraInfo.")] = "/depth/camera_info",
    depth_is_rectified: Annotated[
        bool, typer.Option(help="Whether they are rectified; if not, the distortion in their CameraInfo is undone.")
    ] = True,
    track_ids: options.TrackIds = False,
    label_map: options.LabelMapFile = None,
    classes: options.Classes = None,
    ego_mask: options.EgoMaskFiles = None,
    image_rotation: options.ImageRotations = None,
    batch: Annotated[int, typer.Option(min=1, help="Frames of one size that are segmented together.")] = 4,
    checkpoint: options.Checkpoint = "demo",
    config: options.Configuration = None,
    device: options.Device = "auto",
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    size: options.Size = None,
    score_threshold: options.ScoreThreshold = None,
    overlap_threshold: options.OverlapThreshold = None,
    min_stuff_area: options.MinStuffArea = None,
) -> None:
    """Segment the images of bags and write them with the results to new MCAP bags.

    Give one bag and a new one, or any number of bags and --out-dir. The input is not changed. Ctrl-C completes the bag
    OUT with the frames done so far and prints how to continue; after a kill, only OUT.partial is left. With --out-dir,
    the same command continues. Damaged parts of a bag are left out. Status 1: some frames could not be read or
    segmented, or nothing was written; 75, with --out-dir: repeating the command may help.
    """
    with user_errors():
        from opendr_panoptic_ros.bags.options import CloudOptions, LabelOptions, NetworkOptions
        from opendr_panoptic_ros.bags.results import COLORS, LABELS, output_names
        from opendr_panoptic_ros.cli.bag_runs import label_many, label_one
        from opendr_panoptic_ros.fleet.shards import Shard
        from opendr_panoptic_ros.outputs import VISUALIZATION

        if out_dir is None and len(paths) != 2:
            raise typer.BadParameter("give IN and OUT, or any number of bags and --out-dir.")
        if out_dir is None and (overwrite or report or shard or engine is not EngineName.LOCAL):
            raise typer.BadParameter("--overwrite, --report, --shard and --engine need --out-dir.")

        if only and results_only:
            raise ConfigError("--only and --results-only exclude each other.")
        chosen = output_names(outputs or ()) or [
            *LABELS,
            *(COLORS if colors else ()),
            *([VISUALIZATION] if overlay else []),
        ]
        label_options = LabelOptions(
            network=NetworkOptions(
                checkpoint,
                config=config,
                device=device,
                backend=backend,
                precision=precision,
                size=size,
                score_threshold=score_threshold,
                overlap_threshold=overlap_threshold,
                min_stuff_area=min_stuff_area,
                threads=threads,
            ),
            topics=tuple(topic or ()),
            outputs=tuple(chosen),
            copied="frames" if only else "none" if results_only else "all",
            start_s=start,
            end_s=end,
            every=every,
            batch=batch,
            track_ids=track_ids,
            label_map=label_map,
            classes=options.split(classes),
            ego_masks=tuple(map(str, ego_mask or ())),
            rotations=tuple(image_rotation or ()),
            clouds=CloudOptions(depth_topic, depth_info_topic, depth_is_rectified) if points else None,
            compression=compression,
        )
        if out_dir is None:
            label_one(Path(paths[0]).expanduser(), Path(paths[1]).expanduser(), label_options, jobs=jobs)
        else:
            label_many(
                paths,
                out_dir,
                label_options,
                jobs=jobs,
                engine=engines.EngineOptions(engine, address, cores, workers),
                shard=None if shard is None else Shard.parse(shard),
                overwrite=overwrite,
                report=report,
            )
