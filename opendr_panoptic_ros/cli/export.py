# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic export`: labelled bags as datasets for people and tools."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.export.dataset_format import DatasetFormat

if TYPE_CHECKING:
    from opendr_panoptic_ros.export.dataset import DatasetFolder
    from opendr_panoptic_ros.labels import ClassTable

_SUMMARIES = "summaries"
_SHOWN_CLASSES = 8  # in the printed line of a bag
_SHOWN_PROBLEMS = 10


def export(
    bags: Annotated[list[Path], typer.Argument(metavar="BAG", help="Labelled bags: folders, .mcap, .db3.")],
    out_dir: Annotated[Path, typer.Option("--out-dir", help="Folder of the results.", metavar="DIR")],
    dataset_format: Annotated[
        DatasetFormat | None,
        typer.Option(
            "--format",
            help="Write DIR/dataset. coco-panoptic: also COCO instances; cityscapes: gtFine; images: images and masks.",
        ),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Write DIR/summaries: a contact sheet and class statistics of each bag.")
    ] = False,
    topic: Annotated[
        list[str] | None, typer.Option(help="Image topic. May be repeated.", show_default="all with segmentations")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every n-th segmented frame of a topic.")] = 1,
    split: Annotated[str, typer.Option(help="Split of the dataset: train or val.")] = "train",
    config: Annotated[str, typer.Option(help="Configuration with the network's classes: a name or a YAML file.")] = (
        "cityscapes"
    ),
    label_map: options.LabelMapFile = None,
) -> None:
    """Write frames of labelled bags as a dataset, and summarize the bags. No network is needed.

    The bags hold results of `opendr-panoptic bag` or of the node. Class statistics count all frames.
    Exit status 1: some frames could not be exported, or nothing was written.
    """
    with user_errors():
        from rich.progress import Progress

        from opendr_panoptic_ros.config import Config
        from opendr_panoptic_ros.export.dataset import DATASET_FOLDERS

        if dataset_format is None and not summary:
            raise ConfigError("There is nothing to write; give --format, --summary or both.")
        if split not in {"train", "val"}:
            raise ConfigError(f"--split is {split!r}; expected train or val.")
        classes = Config.load(config).classes
        labels = options.label_map(label_map, classes)
        classes = classes if labels is None else labels.classes
        out_dir = out_dir.expanduser()
        problems: list[str] = []
        dataset: Any = nullcontext()
        if dataset_format is not None:
            dataset = DATASET_FOLDERS[dataset_format](out_dir / "dataset", classes, split)
        with dataset as folder, Progress(console=Console(stderr=True), transient=True) as progress:
            for name, path in _names(bags).items():
                bag_progress = progress.add_task(name, total=1.0)
                _export(
                    name,
                    path,
                    folder,
                    classes,
                    topics=topic or [],
                    every=every,
                    summaries=out_dir / _SUMMARIES if summary else None,
                    problems=problems,
                    on_share=lambda share, task=bag_progress: progress.update(task, completed=share),
                )
            count = 0 if folder is None else folder.count
        if dataset_format is not None:
            typer.echo(f"{count} frames in {out_dir / 'dataset'}" if count else "No frame was exported.")
        if problems:
            more = f"\n({len(problems)} problems)" if len(problems) > _SHOWN_PROBLEMS else ""
            raise PanopticError("\n".join(problems[:_SHOWN_PROBLEMS]) + more)
        if dataset_format is not None and not count:
            raise PanopticError("The bags have no segmented frames.")


def _export(
    name: str,
    path: Path,
    folder: DatasetFolder | None,
    classes: ClassTable,
    *,
    topics: list[str],
    every: int,
    summaries: Path | None,
    problems: list[str],
    on_share: Any,
) -> None:
    """Export one bag; problems of the bag and of its frames are added to `problems`."""
    from opendr_panoptic_ros.bags.reader import BagReader
    from opendr_panoptic_ros.export.frames import labelled_frames
    from opendr_panoptic_ros.export.summary import BagSummary

    found: list[str] = []
    try:
        with BagReader(path) as reader:
            counts = None if summaries is None else BagSummary(name, reader, classes)
            length_ns = max(reader.end_ns - reader.start_ns, 1)
            for frame in labelled_frames(
                reader, found, topics, on_time=lambda time_ns: on_share((time_ns - reader.start_ns) / length_ns)
            ):
                is_chosen = folder is not None and frame.number % every == 0
                is_shown = counts is not None and counts.count(frame, frame.shape)
                if not is_chosen and not is_shown:
                    continue
                try:
                    read, prediction = frame.read(classes)
                except ConfigError:
                    raise
                except PanopticError as error:
                    found.append(f"{frame.camera} at {frame.time_ns} ns: {error}")
                    continue
                if is_chosen and folder is not None:
                    folder.add(name, frame.camera, frame.number, read.image_rgb, prediction)
                if is_shown and counts is not None:
                    counts.show(frame, read.image_rgb, prediction)
            found += reader.damage
        on_share(1.0)
        if counts is not None and summaries is not None:
            counts.write(summaries)
            typer.echo(_line(counts.to_dict()))
    except ConfigError:
        raise
    except PanopticError as error:
        found.append(str(error))
    problems += [f"{name}: {problem}" for problem in found]


def _line(summary: dict[str, Any]) -> str:
    shares = sorted(summary["classes"].items(), key=lambda item: -item[1]["pixel_share"])
    listed = ", ".join(f"{n} {100 * c['pixel_share']:.1f} %" for n, c in shares[:_SHOWN_CLASSES] if c["frames"])
    return f"{summary['bag']}: {sum(summary['frames'].values())} frames, {summary['duration_s']} s; {listed}"


def _names(bags: list[Path]) -> dict[str, Path]:
    """Return the bags by a name of their own, made of their file names."""
    from opendr_panoptic_ros.export.dataset import slug

    names: dict[str, Path] = {}
    for path in dict.fromkeys(bag.expanduser() for bag in bags):
        name = slug(path.stem if path.suffix in {".bag", ".mcap", ".db3"} else path.name)
        number = 1
        while (unique := name if number == 1 else f"{name}-{number}") in names:
            number += 1
        names[unique] = path
    return names
