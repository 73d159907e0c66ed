# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag`: label the images of a bag. No ROS installation is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import INTERRUPTED, Interruption, user_errors
from opendr_panoptic_ros.errors import ConfigError, PanopticError

if TYPE_CHECKING:
    from opendr_panoptic_ros.bags.segments import LabelReport

_DAMAGE_LINES = 10  # damaged places of a bag that are printed


def bag(
    source: Annotated[Path, typer.Argument(metavar="IN", help="ROS 1 .bag; rosbag2 folder, .mcap or .db3.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New rosbag2 folder, or a new .mcap file.")],
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
    """Segment the images of a bag and write them with the results to a new MCAP bag.

    The input is not changed. Ctrl-C completes the bag with the frames done so far and prints how to continue; after a
    kill, only OUT.partial is left. Damaged parts of an MCAP file are left out. Status 1: some frames could not be read
    or segmented, or nothing was written.
    """
    with user_errors():
        from opendr_panoptic_ros.bags.options import CloudOptions, LabelOptions, NetworkOptions
        from opendr_panoptic_ros.bags.results import COLORS, LABELS, output_names
        from opendr_panoptic_ros.bags.segments import label_bag, plan_segments
        from opendr_panoptic_ros.bags.writer import BagWriter
        from opendr_panoptic_ros.outputs import VISUALIZATION

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
        source, out = source.expanduser(), out.expanduser()
        BagWriter.check_free(out)
        if source.resolve() in out.resolve().parents:
            raise PanopticError(f"{out} is inside the input, which is not to be changed; choose another place.")
        plan = plan_segments(source, label_options)
        for warning in plan.warnings:
            typer.echo(warning, err=True)
        with Interruption() as interruption, _progress() as progress:
            task = progress.add_task("", total=plan.end_ns - plan.start_ns, frames=0)
            report = label_bag(
                plan,
                label_options,
                out,
                stop=interruption,
                on_progress=lambda time_ns, frames: progress.update(
                    task, completed=time_ns - plan.start_ns, frames=frames
                ),
            )
            if report.is_complete:
                progress.update(task, completed=plan.end_ns - plan.start_ns)
        if report.missing_clouds:
            typer.echo(
                f"{report.missing_clouds} frames have no depth image with their stamp on {depth_topic}", err=True
            )
        _print_report(report, plan.bag_start_ns)


def _progress() -> Progress:
    columns = "Segmenting", BarColumn(), "{task.percentage:>3.0f} %", "{task.fields[frames]} frames", "time left"
    shown = [TextColumn(column) if isinstance(column, str) else column for column in columns]
    return Progress(*shown, TimeRemainingColumn(), console=Console(stderr=True))


def _print_report(report: LabelReport, bag_start_ns: int) -> None:
    """Print what was done.

    Raises PanopticError when a frame could not be read or segmented, an error ended the work or nothing was written,
    and `typer.Exit` after an interruption.
    """
    place = f"results in {report.path}" if report.messages else "nothing was written"
    typer.echo(f"{report.frames} frames segmented, {place}")
    go_on = ""
    if report.stopped_at_ns is not None:
        go_on = f"Continue into another bag with --start {(report.stopped_at_ns - bag_start_ns) / 1e9:.9f}"
    lines = []
    if report.problems:
        more = f" ({len(report.problems)} such frames)" if len(report.problems) > 1 else ""
        lines.append(f"not segmented: {report.problems[0]}{more}")
    lines += report.damage[:_DAMAGE_LINES]
    if len(report.damage) > _DAMAGE_LINES:
        lines.append(f"{len(report.damage)} such places")
    unread = "\n".join(lines)
    if report.error:
        raise PanopticError(f"{report.error}\n{go_on}\n{unread}".rstrip())
    if go_on:
        typer.echo(f"Stopped. {go_on}")
        typer.echo(unread, err=True, nl=bool(unread))
        raise typer.Exit(INTERRUPTED)
    if unread:
        raise PanopticError(unread)
    if not report.messages:
        raise PanopticError("There are no frames in this time range.")
