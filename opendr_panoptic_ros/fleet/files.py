# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Segmenting image and video files, in this process or in parts on several workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.bags.options import NetworkOptions
from opendr_panoptic_ros.errors import ConfigError, quoted, reason
from opendr_panoptic_ros.fleet.ray_workers import RayWorkers
from opendr_panoptic_ros.formats.image_inputs import read_images
from opendr_panoptic_ros.formats.result_format import ResultFormat
from opendr_panoptic_ros.formats.results import ResultFolder, write_list
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.media import is_video
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.postprocess import read_ego_mask
from opendr_panoptic_ros.rotation import rotations_of

_IMAGES_OF_A_TASK = 16


@dataclass(frozen=True)
class FileOptions:
    """What determines the results of files. Paths are valid on each machine that works on them.

    Attributes:
        network: The network.
        folder: Folder for the results.
        formats: What to write.
        overwrite: Whether existing results are replaced.
        track_ids: Whether instances keep their ids over the frames of a video, and over the images.
        label_map: A YAML file or the name of a label map; None for the classes of the network.
        classes: Names of the classes to keep; all when empty.
        ego_mask: Image file with the ego mask; None for none.
        rotation_deg: Degrees clockwise that make the images upright.
    """

    network: NetworkOptions
    folder: Path
    formats: tuple[ResultFormat, ...]
    overwrite: bool = False
    track_ids: bool = False
    label_map: str | None = None
    classes: tuple[str, ...] = ()
    ego_mask: Path | None = None
    rotation_deg: int = 0


@dataclass(frozen=True)
class FileReport:
    """What was done with some files.

    Attributes:
        count: Number of images and frames that were segmented.
        problems: One line for each that could not be read or segmented.
        entries: Their entries in the list of results of the format cityscapes.
    """

    count: int
    problems: tuple[str, ...]
    entries: tuple[dict[str, Any], ...]


def segment_files(
    options: FileOptions,
    names: Mapping[Path, str],
    *,
    writes_list: bool = True,
    on_image: Callable[[str], None] = lambda _name: None,
) -> FileReport:
    """Segment files and write their results.

    Args:
        options: What to write.
        names: The files, and the name that the results of each file begin with.
        writes_list: Whether to write the list of results, which the format cityscapes has.
        on_image: Called with the name of each image before it is segmented.

    Returns:
        What was done.

    Raises:
        PanopticError: An option is not legal, the network cannot be used, or a result exists already.
    """
    results = ResultFolder(options.folder, options.formats, overwrite=options.overwrite, writes_list=writes_list)
    mask = None if options.ego_mask is None else read_ego_mask(str(options.ego_mask))
    segmenter = options.network.segmenter()
    cameras = ["", *names.values()]
    labels = LabelMap.load(options.label_map, segmenter.config.classes) if options.label_map else None
    pipeline = FramePipeline(
        segmenter,
        ego_masks={} if mask is None else dict.fromkeys(cameras, mask),
        track_ids=options.track_ids,
        label_map=labels,
        rotations=rotations_of([options.rotation_deg] * len(cameras), cameras, "--image-rotation"),
    )
    unknown = [name for name in options.classes if name not in pipeline.classes.names]
    if unknown:
        known = ", ".join(pipeline.classes.names)
        raise ConfigError(f"--classes has {', '.join(map(quoted, unknown))}; expected some of {known}.")
    count = 0
    problems: list[str] = []
    with results:
        for image in read_images(names, problems):
            on_image(image.image_id)
            frame = Frame(image.pixels, camera=image.video, time_s=image.time_s)
            (result,) = pipeline.process([frame], keep_classes=options.classes)
            if result.prediction is None:
                problems.append(f"{image.image_id}: {reason(result.error)}")
                continue
            results.write(image, result.prediction)
            count += 1
    return FileReport(count, tuple(problems), tuple(results.entries))


def segment_files_on(
    workers: RayWorkers, options: FileOptions, names: Mapping[Path, str], *, on_files: Callable[[int], None]
) -> FileReport:
    """Segment files on workers: each video is a task, and so are some images.

    Args:
        workers: The workers, which reach the files and the folder of the results by the same paths.
        options: As in `segment_files`. Results of a task whose worker was lost are replaced.
        names: As in `segment_files`.
        on_files: Called after each task with its number of files.

    Returns:
        What was done, in the order of the files.

    Raises:
        PanopticError: As in `segment_files`, or a task was lost with its worker too often.
    """
    if not options.overwrite and options.folder.is_dir() and any(options.folder.iterdir()):
        raise ConfigError(f"{options.folder} is not empty; choose another folder with --out, or pass --overwrite.")
    images = [path for path in names if not is_video(path)]
    length = max(len(images), 1) if options.track_ids else _IMAGES_OF_A_TASK  # tracks go on from image to image
    parts = [images[start : start + length] for start in range(0, len(images), length)]
    parts += [[path] for path in names if is_video(path)]
    repeatable = replace(options, overwrite=True)
    reports = []
    for part, report in zip(
        parts,
        workers.map_in_order(
            functools.partial(_segment_part, repeatable), [{path: names[path] for path in part} for part in parts]
        ),
        strict=True,
    ):
        reports.append(report)
        on_files(len(part))
    entries = tuple(entry for report in reports for entry in report.entries)
    if ResultFormat.CITYSCAPES in options.formats:
        write_list(options.folder, entries)
    return FileReport(
        sum(report.count for report in reports),
        tuple(problem for report in reports for problem in report.problems),
        entries,
    )


def _segment_part(options: FileOptions, names: Mapping[Path, str]) -> FileReport:
    return segment_files(options, names, writes_list=False)
