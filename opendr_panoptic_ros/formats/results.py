# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Results of images and videos as files in a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import check_writable_folder, write_json, write_png
from opendr_panoptic_ros.formats.result_format import ResultFormat
from opendr_panoptic_ros.formats.submission import write_prediction
from opendr_panoptic_ros.media import VideoWriter
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.visualize import overlay

_LIST = "cityscapes_panoptic.json"


@dataclass(frozen=True, eq=False)
class NamedImage:
    """An image, or a frame of a video.

    Attributes:
        image_id: Name of its results, without suffix.
        pixels: `(H, W, 3)` uint8 RGB.
        video: Name of the video it belongs to, or empty for an image.
        rate_hz: Frames per second of that video; 0 for an image.
        time_s: Time in seconds from the start of the video or sequence of images.
    """

    image_id: str
    pixels: NDArray[np.uint8]
    video: str = ""
    rate_hz: float = 0.0
    time_s: float = 0.0


class ResultFolder:
    """Writes results into a folder. As a context, it completes videos and lists at its end.

    `overlay` gives `ID_overlay.png`, or one `VIDEO_overlay.mp4` for a video; `labels` gives `ID_semantic.png` (train
    ids, 255 void) and `ID_instance.png` (16 bit, 0 none); `json` gives `ID.json` with the segments; `cityscapes` gives
    `cityscapes_panoptic.json` and a folder of this name, which Cityscapes' benchmark takes as a submission.

    Args:
        folder: The folder; it is made if it does not exist.
        formats: What to write.
        overwrite: Whether existing results are replaced.
        writes_list: Whether the list of the format cityscapes is written; several folders that write parts of the
            results leave it to `write_list`.

    Attributes:
        entries: The entries of the results in the list of the format cityscapes.

    Raises:
        PanopticError: The folder cannot be written, or a result exists and is not to be replaced.
    """

    def __init__(
        self,
        folder: Path,
        formats: Collection[ResultFormat],
        *,
        overwrite: bool = False,
        writes_list: bool = True,
    ) -> None:
        self._folder, self._formats, self._overwrite = folder, set(formats), overwrite
        try:
            check_writable_folder(folder)
        except OSError as error:
            raise PanopticError(
                f"{folder} cannot be used for results, {error.filename}: {error.strerror}. Choose another folder."
            ) from error
        self._videos: dict[str, VideoWriter] = {}
        self.entries: list[dict[str, Any]] = []
        self._writes_list = writes_list and ResultFormat.CITYSCAPES in self._formats
        if self._writes_list:
            self._free(folder / _LIST)

    def __enter__(self) -> Self:
        return self

    def write(self, image: NamedImage, prediction: PanopticPrediction) -> None:
        """Write the results of one image.

        Args:
            image: The image.
            prediction: Its prediction, of the same height and width.

        Raises:
            PanopticError: A result exists and is not to be replaced, or a video cannot be written.
        """
        if ResultFormat.OVERLAY in self._formats:
            pixels = overlay(image.pixels, prediction, labels=True)
            if image.video:
                self._video(image).write(pixels)
            else:
                write_png(self._free(self._folder / f"{image.image_id}_overlay.png"), pixels)
        if ResultFormat.LABELS in self._formats:
            write_png(self._free(self._folder / f"{image.image_id}_semantic.png"), prediction.semantic_map)
            write_png(self._free(self._folder / f"{image.image_id}_instance.png"), prediction.instance_map)
        if ResultFormat.JSON in self._formats:
            write_json(self._free(self._folder / f"{image.image_id}.json"), segments_of(image.image_id, prediction))
        if ResultFormat.CITYSCAPES in self._formats:
            self.entries.append(write_prediction(self._folder / Path(_LIST).stem, image.image_id, prediction))

    def __exit__(self, error: type[BaseException] | None, *details: object) -> None:
        for video in self._videos.values():
            video.__exit__(error, *details)
        if error is None and self._writes_list:
            write_list(self._folder, self.entries)

    def _video(self, image: NamedImage) -> VideoWriter:
        if image.video not in self._videos:
            height, width = image.pixels.shape[:2]
            path = self._free(self._folder / f"{image.video}_overlay.mp4")
            self._videos[image.video] = VideoWriter(path, rate_hz=image.rate_hz, size_px=(width, height))
        return self._videos[image.video]

    def _free(self, path: Path) -> Path:
        if path.exists() and not self._overwrite:
            raise PanopticError(f"{path} exists; choose another folder with --out, or pass --overwrite.")
        return path


def write_list(folder: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write the list of the results in the format cityscapes.

    Args:
        folder: The folder of the results.
        entries: The entries of all results.
    """
    write_json(folder / _LIST, {"annotations": list(entries)})


def segments_of(image_id: str, prediction: PanopticPrediction) -> dict[str, Any]:
    """Return the segments of a prediction as plain values for JSON.

    Args:
        image_id: Name of the image.
        prediction: Its prediction.

    Returns:
        `image_id`, `height_px`, `width_px` and `segments`, whose entries are those of `Segment`; the score of stuff is
        None.
    """
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
