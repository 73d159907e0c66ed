# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic infer`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import PanopticError

if TYPE_CHECKING:
    import cv2
    from numpy.typing import NDArray
    from typing_extensions import Self

    from opendr_panoptic_ros.prediction import PanopticPrediction

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
_VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")


class Format(str, Enum):
    """What can be written."""

    OVERLAY = "overlay"
    LABELS = "labels"
    JSON = "json"
    CITYSCAPES = "cityscapes"


class Frame(NamedTuple):
    """An image or a frame of a video. image_id: names its results. fps: of the video it is from; 0 for an image."""

    image_id: str
    pixels: NDArray[np.uint8]
    video: str = ""
    fps: float = 0.0


def infer(
    inputs: Annotated[list[str], typer.Argument(help="Images, folders, globs ('*.png') or videos.")],
    checkpoint: Annotated[str, typer.Option(help="Network: a file, an OpenDR directory or a name.")] = "demo",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results"),
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            help="overlay: pictures and videos; labels: PNGs of train ids and of instances; json: the segments; "
            "cityscapes: the benchmark's submission. May be repeated. [default: overlay]",
        ),
    ] = None,
    config: Annotated[str | None, typer.Option(help="Replaces the checkpoint's: a name or a YAML file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    size: Annotated[int | None, typer.Option(min=32, help="Longer side the network sees, in pixels.")] = None,
    score_threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Of detections.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
) -> None:
    """Segment images and videos, and write what was found.

    Status 1: an input could not be read; the others are done.
    """
    with user_errors():
        from opendr_panoptic_ros.inference import PanopticSegmenter

        problems: list[str] = []
        files = find_inputs(inputs, problems)
        if not files:
            raise PanopticError("; ".join(problems) or "There is nothing to segment.")
        writer = ResultWriter(out, formats or [Format.OVERLAY], overwrite=overwrite)
        segmenter = PanopticSegmenter(
            checkpoint, config=config, device=device, inference_size=size, score_threshold=score_threshold
        )
        console = Console(stderr=True)
        count = 0
        with console.status("Segmenting") as status, writer:
            for frame in read_frames(files, problems):
                status.update(f"Segmenting {frame.image_id}")
                writer.write(frame, segmenter(frame.pixels))
                count += 1
        typer.echo(f"{count} images segmented, results in {out}")
        if problems:
            raise PanopticError("not segmented: " + "; ".join(problems))


def find_inputs(inputs: list[str], problems: list[str]) -> list[Path]:
    """The files that images, folders, globs and videos stand for, each once. What is not there goes into problems."""
    import glob

    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in _IMAGES + _VIDEOS)
        elif path.is_file():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
        if not found:
            problems.append(f"{name}: no image or video there")
        files += found
    return list(dict.fromkeys(files))


def read_frames(files: list[Path], problems: list[str]) -> Iterator[Frame]:
    """Every image, and every frame of every video. Files of one name in several folders get different ids."""
    import cv2

    used: dict[str, int] = {}
    for path in files:
        used[path.stem] = used.get(path.stem, 0) + 1
        name = path.stem if used[path.stem] == 1 else f"{path.stem}-{used[path.stem]}"
        if path.suffix.lower() not in _VIDEOS:
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is None:
                problems.append(f"{path}: not an image that can be read")
            else:
                yield Frame(name, rgb_of(bgr))
            continue
        video = cv2.VideoCapture(str(path))
        fps = video.get(cv2.CAP_PROP_FPS) or 10.0
        number = 0
        while True:
            more, bgr = video.read()
            if not more:
                break
            yield Frame(f"{name}_{number:06d}", rgb_of(bgr), video=name, fps=fps)
            number += 1
        video.release()
        if number == 0:
            problems.append(f"{path}: not a video that can be read")


def rgb_of(bgr: NDArray[Any]) -> NDArray[np.uint8]:
    """OpenCV's image as RGB."""
    return np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


class ResultWriter:
    """Writes the results of frames into a folder; a context, which finishes videos and lists at its end.

    Raises PanopticError when a result is there already and is not to be overwritten.
    """

    def __init__(self, folder: Path, formats: list[Format], *, overwrite: bool) -> None:
        self._folder, self._formats, self._overwrite = folder.expanduser(), set(formats), overwrite
        self._videos: dict[str, tuple[cv2.VideoWriter, Path]] = {}
        self._entries: list[dict[str, Any]] = []
        if Format.CITYSCAPES in self._formats:
            self._free(self._folder / "cityscapes_panoptic.json")

    def __enter__(self) -> Self:
        return self

    def write(self, frame: Frame, prediction: PanopticPrediction) -> None:
        """Everything that was asked for about one frame."""
        from opendr_panoptic_ros.files import write_json, write_png
        from opendr_panoptic_ros.visualize import overlay

        if Format.OVERLAY in self._formats:
            picture = overlay(frame.pixels, prediction, labels=True)
            if frame.video:
                self._video(frame).write(picture[:, :, ::-1].copy())
            else:
                write_png(self._free(self._folder / f"{frame.image_id}_overlay.png"), picture)
        if Format.LABELS in self._formats:
            write_png(self._free(self._folder / f"{frame.image_id}_semantic.png"), prediction.semantic_map)
            write_png(self._free(self._folder / f"{frame.image_id}_instance.png"), prediction.instance_map)
        if Format.JSON in self._formats:
            write_json(self._free(self._folder / f"{frame.image_id}.json"), segments_of(frame.image_id, prediction))
        if Format.CITYSCAPES in self._formats:
            from opendr_panoptic_ros.evaluation import write_prediction

            self._entries.append(write_prediction(self._folder / "cityscapes_panoptic", frame.image_id, prediction))

    def __exit__(self, error: type[BaseException] | None, *_details: object) -> None:
        for writer, path in self._videos.values():
            writer.release()
            if error is None:
                path.replace(path.with_name(path.name.removeprefix(".")))
            else:
                path.unlink(missing_ok=True)
        if error is None and Format.CITYSCAPES in self._formats:
            from opendr_panoptic_ros.files import write_json

            write_json(self._folder / "cityscapes_panoptic.json", {"annotations": self._entries})

    def _video(self, frame: Frame) -> cv2.VideoWriter:
        import cv2

        if frame.video not in self._videos:
            path = self._free(self._folder / f"{frame.video}_overlay.mp4")
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}")
            height, width = frame.pixels.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._videos[frame.video] = cv2.VideoWriter(str(unfinished), code, frame.fps, (width, height)), unfinished
        return self._videos[frame.video][0]

    def _free(self, path: Path) -> Path:
        if path.exists() and not self._overwrite:
            raise PanopticError(f"{path} exists; choose another --out, or pass --overwrite.")
        return path


def segments_of(image_id: str, prediction: PanopticPrediction) -> dict[str, Any]:
    """The segments of a prediction as JSON holds them; stuff has no score."""
    height, width = prediction.shape
    return {
        "image_id": image_id,
        "height_px": height,
        "width_px": width,
        "segments": [
            {
                "id": s.id,
                "class_id": s.class_id,
                "label": s.label,
                "is_thing": s.is_thing,
                "score": round(s.score, 6) if s.is_thing else None,
                "area_px": s.area_px,
                "box_xyxy_px": list(s.box_xyxy_px),
            }
            for s in prediction.segments
        ],
    }
