# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic infer`: segment image and video files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import DatasetError, PanopticError, reason
from opendr_panoptic_ros.formats.result_format import ResultFormat

if TYPE_CHECKING:
    from opendr_panoptic_ros.formats.results import NamedImage

_DEFAULT_RATE_HZ = 10.0  # of videos that do not give theirs, and of a sequence of images


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
    size: options.Size = None,
    score_threshold: options.ScoreThreshold = None,
    overlap_threshold: options.OverlapThreshold = None,
    min_stuff_area: options.MinStuffArea = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")] = False,
) -> None:
    """Segment images and videos, and write the results as files.

    With --track-ids, the frames of a video are consecutive, and so are the images, in the order given.
    Exit status 1: an input could not be read or segmented; the others are done.
    """
    with user_errors():
        from opendr_panoptic_ros.formats.results import ResultFolder
        from opendr_panoptic_ros.inference import PanopticSegmenter
        from opendr_panoptic_ros.pipeline import Frame, FramePipeline
        from opendr_panoptic_ros.postprocess import read_ego_mask
        from opendr_panoptic_ros.rotation import rotations_of

        if label_map and ResultFormat.CITYSCAPES in (formats or ()):
            raise PanopticError("--format cityscapes is for the network's own classes; leave out --label-map.")
        problems: list[str] = []
        files = find_inputs(inputs, problems)
        if not files:
            raise PanopticError("; ".join(problems) or "There is nothing to segment.")
        results = ResultFolder(out.expanduser(), formats or [ResultFormat.OVERLAY], overwrite=overwrite)
        mask = None if ego_mask is None else read_ego_mask(str(ego_mask))
        segmenter = PanopticSegmenter(
            checkpoint,
            config=config,
            device=device,
            backend=backend,
            inference_size=size,
            score_threshold=score_threshold,
            overlap_threshold=overlap_threshold,
            min_stuff_area=min_stuff_area,
        )
        names = {"", *_names(files).values()}
        masks = {} if mask is None else dict.fromkeys(names, mask)
        rotations = rotations_of([image_rotation] * len(names), list(names), "--image-rotation")
        labels = options.label_map(label_map, segmenter.config.classes)
        pipeline = FramePipeline(segmenter, ego_masks=masks, track_ids=track_ids, label_map=labels, rotations=rotations)
        keep_classes = options.class_names(classes, pipeline.classes.names)
        console = Console(stderr=True)
        count = 0
        with console.status("Segmenting") as status, results:
            for image in read_images(files, problems):
                status.update(f"Segmenting {image.image_id}")
                frame = Frame(image.pixels, camera=image.video, time_s=image.time_s)
                (result,) = pipeline.process([frame], keep_classes=keep_classes)
                if result.prediction is None:
                    problems.append(f"{image.image_id}: {reason(result.error)}")
                    continue
                results.write(image, result.prediction)
                count += 1
        typer.echo(f"{count} images segmented, results in {out}")
        if problems:
            raise PanopticError("not segmented: " + "; ".join(problems))


def find_inputs(inputs: Sequence[str], problems: list[str]) -> list[Path]:
    """Return the files that names of images, folders, globs and videos stand for, each once.

    Args:
        inputs: The names. A folder stands for the images and videos in it.
        problems: One line is added for each name that stands for nothing.

    Returns:
        The files, in the order of the names; those of a folder or glob are sorted.
    """
    import glob

    from opendr_panoptic_ros.media import is_image, is_video, printable

    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if is_image(p) or is_video(p))
        elif path.is_file():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
        if not found:
            problems.append(f"{printable(Path(name))}: no image or video there")
        files += found
    return list(dict.fromkeys(files))


def read_images(files: Sequence[Path], problems: list[str]) -> Iterator[NamedImage]:
    """Yield every image and every frame of every video.

    Args:
        files: The files.
        problems: One line is added for each file that cannot be read, or not to its end.

    Yields:
        The images. Files of the same name in several folders get different ids.
    """
    from opendr_panoptic_ros.formats.results import NamedImage
    from opendr_panoptic_ros.media import is_video, open_video, read_image

    names = _names(files)
    count = 0
    for path in files:
        name = names[path]
        try:
            if not is_video(path):
                yield NamedImage(name, read_image(path), time_s=count / _DEFAULT_RATE_HZ)
                count += 1
                continue
            video = open_video(path)
            rate_hz = video.rate_hz or _DEFAULT_RATE_HZ
            for number, pixels in enumerate(video.frames):
                yield NamedImage(f"{name}_{number:06d}", pixels, name, rate_hz, number / rate_hz)
        except DatasetError as error:
            problems.append(str(error))


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """Return a different name for each file, made of its stem."""
    from opendr_panoptic_ros.media import printable

    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        stem = printable(Path(path.stem))
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        names[path] = next(name for name in candidates if name not in taken)
        taken.add(names[path])
    return names
