# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Pixels that shall not be in any output: those of the robot itself, and those of classes nobody asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


@dataclasses.dataclass(frozen=True)
class EgoMask:
    """The pixels of a camera that show the robot itself. is_ego: `(H, W)` bool. path: where it was read from."""

    is_ego: NDArray[np.bool_]
    path: str

    def check_size(self, image: NDArray[np.uint8]) -> None:
        """Raises ImageEncodingError unless the image, `(H, W, 3)`, has the mask's size."""
        if image.shape[:2] != self.is_ego.shape:
            (height, width), (mask_height, mask_width) = image.shape[:2], self.is_ego.shape
            raise ImageEncodingError(
                f"The image is {width}x{height} pixels, its ego_mask {self.path} is {mask_width}x{mask_height}. "
                "Make the mask as large as the camera's images."
            )


def read_ego_mask(path: str) -> EgoMask:
    """The mask in an image file: true where any colour is not 0. Raises ConfigError when it cannot be read."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"There is no ego_mask {file}; expected a PNG as large as the camera's images.")
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ConfigError(f"The ego_mask {file} cannot be read; expected a PNG as large as the camera's images.")
    is_ego: NDArray[np.bool_] = np.asarray(pixels.reshape(*pixels.shape[:2], -1)[:, :, :3].any(axis=2))
    return EgoMask(is_ego, path)


def keep_classes(prediction: PanopticPrediction, names: Collection[str]) -> PanopticPrediction:
    """The prediction with the segments of these classes alone; the pixels of all others are void."""
    kept = tuple(segment for segment in prediction.segments if segment.label in names)
    if len(kept) == len(prediction.segments):
        return prediction
    stays = np.zeros(max(segment.id for segment in prediction.segments) + 1, np.int32)
    ids = [segment.id for segment in kept]
    stays[ids] = ids
    return dataclasses.replace(prediction, segment_map=stays[prediction.segment_map], segments=kept)


def cut_out(prediction: PanopticPrediction, is_void: NDArray[np.bool_]) -> PanopticPrediction:
    """The prediction with these pixels void; areas and boxes shrink, segments that lose every pixel go.

    is_void: `(H, W)` bool, as large as the prediction.
    """
    touched = set(np.unique(prediction.segment_map[is_void]).tolist()) - {0}
    if not touched:
        return prediction
    segment_map = np.where(is_void, np.int32(0), prediction.segment_map)
    segments = [_fitted(s, segment_map) if s.id in touched else s for s in prediction.segments]
    return dataclasses.replace(
        prediction, segment_map=segment_map, segments=tuple(segment for segment in segments if segment.area_px)
    )


def _fitted(segment: Segment, segment_map: NDArray[np.int32]) -> Segment:
    """The segment with the area and the box that it has in this map, which is a part of its box before."""
    left, top, right, bottom = segment.box_xyxy_px
    is_here = segment_map[top:bottom, left:right] == segment.id
    columns, rows = np.flatnonzero(is_here.any(axis=0)), np.flatnonzero(is_here.any(axis=1))
    if not len(rows):
        return dataclasses.replace(segment, area_px=0)
    box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
    return dataclasses.replace(segment, area_px=int(np.count_nonzero(is_here)), box_xyxy_px=box)
