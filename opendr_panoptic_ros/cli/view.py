# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic view`: results in the viewer Rerun."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import PanopticError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opendr_panoptic_ros.bags.recorded import Recorded
    from opendr_panoptic_ros.formats.rerun_recording import RerunRecording

_BAG_SUFFIXES = {".bag", ".mcap", ".db3"}


def view(
    source: Annotated[str, typer.Argument(help="A bag with results, an image, a folder of images, or a video.")],
    save: Annotated[
        Path | None, typer.Option(help="Write a recording, FILE.rrd, instead of opening the viewer.", metavar="FILE")
    ] = None,
    checkpoint: options.Checkpoint = "demo",
    config: options.Configuration = None,
    device: options.Device = "auto",
    backend: options.Backend = "auto",
    precision: options.Precision = "auto",
    size: options.Size = None,
    label_map: options.LabelMapFile = None,
    classes: options.Classes = None,
    ego_mask: options.EgoMaskFile = None,
    image_rotation: options.ImageRotation = 0,
    track_ids: options.TrackIds = False,
    score_threshold: options.ScoreThreshold = None,
    overlap_threshold: options.OverlapThreshold = None,
    min_stuff_area: options.MinStuffArea = None,
) -> None:
    """Show frames and results over time in Rerun, without ROS.

    A bag is shown as it is; it must hold results of the node or of `opendr-panoptic bag`. Images and videos are
    segmented first; the options are for them. Needs the extra `view` of this package, that is rerun-sdk.
    """
    with user_errors():
        from opendr_panoptic_ros.formats.rerun_recording import RerunRecording

        path = Path(source).expanduser()
        problems: list[str] = []
        if is_bag(path):
            recording = RerunRecording(path.name)
            _record(recording, save, lambda: _log_bag(recording, path, problems))
        else:
            from opendr_panoptic_ros.formats.image_inputs import find_inputs, names_of, read_images
            from opendr_panoptic_ros.inference import PanopticSegmenter
            from opendr_panoptic_ros.pipeline import Frame, FramePipeline
            from opendr_panoptic_ros.postprocess import read_ego_mask
            from opendr_panoptic_ros.rotation import rotations_of

            files = find_inputs([source], problems)
            if not files:
                raise PanopticError("; ".join(problems))
            masks = {} if ego_mask is None else {"": read_ego_mask(str(ego_mask))}
            rotations = rotations_of([image_rotation], [""], "--image-rotation")
            segmenter = PanopticSegmenter(
                checkpoint,
                config=config,
                device=device,
                backend=backend,
                precision=precision,
                inference_size=size,
                score_threshold=score_threshold,
                overlap_threshold=overlap_threshold,
                min_stuff_area=min_stuff_area,
            )
            labels = options.label_map(label_map, segmenter.config.classes)
            pipeline = FramePipeline(
                segmenter, ego_masks=masks, track_ids=track_ids, label_map=labels, rotations=rotations
            )
            keep_classes = options.class_names(classes, pipeline.classes.names)
            recording = RerunRecording(path.name, pipeline.classes)

            def log_files() -> int:
                count = 0
                for image in read_images(names_of(files), problems):
                    start_s = time.perf_counter()
                    (result,) = pipeline.process([Frame(image.pixels, time_s=image.time_s)], keep_classes=keep_classes)
                    duration_ms = 1000 * (time.perf_counter() - start_s)
                    time_ns = round((image.time_s or 0) * 1e9)
                    recording.log_frame("", time_ns, image.pixels)
                    if result.prediction is None:
                        problems.append(f"{image.image_id}: {result.error}")
                        continue
                    recording.log_segments("", time_ns, result.prediction.segment_map, result.prediction.segments)
                    recording.log_duration("", time_ns, "processing_time_ms", duration_ms)
                    count += 1
                return count

            _record(recording, save, log_files)
        if problems:
            raise PanopticError("not shown: " + "; ".join(problems[:20]))


def is_bag(path: Path) -> bool:
    """Return whether a path is a bag: a file of such a suffix, or a folder that holds one.

    Args:
        path: The path.
    """
    if path.is_dir():
        return any(
            file.name == "metadata.yaml" or file.name.removesuffix(".zstd").endswith((".mcap", ".db3"))
            for file in path.iterdir()
        )
    return path.suffix in _BAG_SUFFIXES


def _record(recording: RerunRecording, save: Path | None, log: Callable[[], int]) -> None:
    """Log into a file or the viewer."""
    from opendr_panoptic_ros.files import write_whole

    if save is None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise PanopticError("There is no display; write a recording with --save FILE.rrd, and open it elsewhere.")
        recording.spawn()
        count = log()
        recording.close()
        typer.echo(f"{count} frames with results in the viewer")
        return
    path = save.expanduser()
    if path.exists():
        raise PanopticError(f"{path} exists; choose another name, or remove it.")

    def write(partial: Path) -> None:
        recording.save(partial)
        try:
            counts.append(log())
        finally:
            recording.close()

    counts: list[int] = []
    write_whole(path, write)
    typer.echo(f"{counts[0]} frames with results in {path}; open it with: rerun {path}")


def _log_bag(recording: RerunRecording, path: Path, problems: list[str]) -> int:
    from opendr_panoptic_ros.bags.reader import BagReader
    from opendr_panoptic_ros.bags.recorded import RecordedSegments, read_results

    count = 0
    with BagReader(path) as reader:
        for item in read_results(reader, problems):
            _log(recording, item)
            count += isinstance(item, RecordedSegments)
        for warning in reader.warnings:
            typer.echo(warning, err=True)
    return count


def _log(recording: RerunRecording, item: Recorded) -> None:
    from opendr_panoptic_ros.bags import recorded

    if isinstance(item, recorded.RecordedFrame):
        recording.log_frame(item.camera, item.time_ns, item.image_rgb)
    elif isinstance(item, recorded.RecordedSegments):
        recording.log_segments(item.camera, item.time_ns, item.segment_map, item.segments)
    elif isinstance(item, recorded.RecordedCloud):
        recording.log_points(item.camera, item.time_ns, item.points, item.colors, item.labels)
    elif isinstance(item, recorded.RecordedBoxes):
        recording.log_boxes_3d(item.camera, item.time_ns, item.centers_m, item.sizes_m, item.labels)
    else:
        recording.log_duration(item.camera, item.time_ns, item.name, item.value_ms)
