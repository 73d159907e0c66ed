# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Postprocessing of predictions: class filter and ego mask. Pixels that are removed become void."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError, quoted
from opendr_panoptic_ros.image_header import read_image_file, refusal
from opendr_panoptic_ros.media import printable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


@dataclasses.dataclass(frozen=True)
class EgoMask:
    """The pixels of a camera that show the robot itself.

    Attributes:
        is_ego: `(H, W)` bool, true where the robot is visible.
        path: The file that the mask was read from, for error messages.
    """

    is_ego: NDArray[np.bool_]
    path: str

    def check_size(self, image: NDArray[np.uint8]) -> None:
        """Check that an image has the size of the mask.

        Args:
            image: `(H, W, 3)` uint8.

        Raises:
            ImageEncodingError: The sizes differ.
        """
        if image.shape[:2] != self.is_ego.shape:
            (height, width), (mask_height, mask_width) = image.shape[:2], self.is_ego.shape
            raise ImageEncodingError(
                f"The image is {width}x{height} pixels, its ego_mask {self.path} is {mask_width}x{mask_height}. "
                "Make the mask as large as the camera's images."
            )


def read_ego_mask(path: str | Path) -> EgoMask:
    """Read an ego mask from an image file.

    Args:
        path: A PNG file of the size of the camera's images; `~` is expanded. Pixels that are not black belong to the
            robot; an alpha channel is ignored.

    Returns:
        The mask.

    Raises:
        ConfigError: The file does not exist, cannot be read, or is not an image.
    """
    pixels = _read_pixels(path)
    if pixels is None:
        raise ConfigError(
            f"The ego_mask {printable(Path(path))} is not a file that contains an image; "
            "expected a PNG as large as the camera's images."
        )
    is_ego: NDArray[np.bool_] = np.asarray(pixels.reshape(*pixels.shape[:2], -1)[:, :, :3].any(axis=2))
    return EgoMask(is_ego, str(path))


def _read_pixels(path: str | Path) -> NDArray[Any] | None:
    """Decode a regular file, or return None. OpenCV itself cannot open files whose names are not UTF-8."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, cv2.error):  # names that no file can have included
        file = Path(path).expanduser()
        if file.is_file():  # not a pipe, which would block
            data = read_image_file(file)
            if not refusal(data):
                pixels: NDArray[Any] | None = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
                return pixels
    return None


def check_class_names(names: Collection[str], known: Sequence[str], option: str = "classes") -> None:
    """Check the class names of an option.

    Args:
        names: Class names that were given.
        known: Names of the classes that results can have.
        option: Name of the option, for the error message.

    Raises:
        ConfigError: At least one of `names` is not in `known`.
    """
    unknown = sorted(set(names) - set(known))
    if unknown:
        named = ", ".join(map(quoted, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise ConfigError(f"{option} has {named}; expected some of {', '.join(known)}.")


def keep_classes(prediction: PanopticPrediction, names: Collection[str]) -> PanopticPrediction:
    """Keep the segments of the given classes; the pixels of all other segments become void.

    Args:
        prediction: The prediction, which is not modified.
        names: Names of the classes to keep.

    Returns:
        The filtered prediction; `prediction` itself if nothing was removed.
    """
    kept = tuple(segment for segment in prediction.segments if segment.label in names)
    if len(kept) == len(prediction.segments):
        return prediction
    new_ids = np.zeros(max(segment.id for segment in prediction.segments) + 1, np.int32)
    ids = [segment.id for segment in kept]
    new_ids[ids] = ids
    return dataclasses.replace(prediction, segment_map=new_ids[prediction.segment_map], segments=kept)


def mask_out(prediction: PanopticPrediction, is_void: NDArray[np.bool_]) -> PanopticPrediction:
    """Make pixels void. Areas and boxes are updated; segments without remaining pixels are removed.

    Args:
        prediction: The prediction, which is not modified.
        is_void: `(H, W)` bool of the size of the prediction, true for the pixels to remove.

    Returns:
        The masked prediction; `prediction` itself if no segment has pixels in the mask.
    """
    touched = set(np.unique(prediction.segment_map[is_void]).tolist()) - {0}
    if not touched:
        return prediction
    segment_map = np.where(is_void, np.int32(0), prediction.segment_map)
    segments = [_shrunk(s, segment_map) if s.id in touched else s for s in prediction.segments]
    return dataclasses.replace(
        prediction, segment_map=segment_map, segments=tuple(segment for segment in segments if segment.area_px)
    )


def _shrunk(segment: Segment, segment_map: NDArray[np.int32]) -> Segment:
    """Return the segment with its area and box in `segment_map`, which lie inside its previous box."""
    left, top, right, bottom = segment.box_xyxy_px
    is_here = segment_map[top:bottom, left:right] == segment.id
    columns, rows = np.flatnonzero(is_here.any(axis=0)), np.flatnonzero(is_here.any(axis=1))
    if not len(rows):
        return dataclasses.replace(segment, area_px=0)
    box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
    return dataclasses.replace(segment, area_px=int(np.count_nonzero(is_here)), box_xyxy_px=box)
