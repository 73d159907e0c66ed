# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Cameras that are mounted sideways or upside down: images are turned for the network, and results turned back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.prediction import PanopticPrediction

ROTATIONS = (0, 90, 180, 270)
"""The rotations, in degrees clockwise, that make an image upright."""


def rotations_of(degrees: Sequence[int], cameras: Sequence[str], option: str) -> Mapping[str, int]:
    """Return the rotation of each camera.

    Args:
        degrees: Rotations in degrees clockwise: none for no rotation, one for all cameras, or one for each.
        cameras: Names of the cameras.
        option: Name of the option, for the error message.

    Returns:
        Rotation by name of the camera; cameras whose images are upright are left out.

    Raises:
        ConfigError: A rotation is not in `ROTATIONS`, or their number differs.
    """
    wrong = [value for value in degrees if value not in ROTATIONS]
    if wrong:
        raise ConfigError(f"{option} is {wrong[0]}; expected one of {', '.join(map(str, ROTATIONS))}.")
    if len(degrees) not in {0, 1, len(cameras)}:
        raise ConfigError(
            f"{option} has {len(degrees)} values for {len(cameras)} cameras; expected one, or one for each."
        )
    values = degrees if len(degrees) == len(cameras) else [*degrees[:1]] * len(cameras)
    return {camera: value for camera, value in zip(cameras, values or [0] * len(cameras), strict=True) if value}


def rotated(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Rotate an image.

    Args:
        image: `(H, W, ...)`.
        degrees: Degrees clockwise, of `ROTATIONS`.

    Returns:
        The rotated image, contiguous; `image` itself for 0.
    """
    return np.rot90(image, -degrees // 90).copy() if degrees else image


def rotated_prediction(prediction: PanopticPrediction, degrees: int) -> PanopticPrediction:
    """Rotate a prediction: its maps and the boxes of its segments.

    Args:
        prediction: The prediction, which is not modified.
        degrees: Degrees clockwise, of `ROTATIONS`.

    Returns:
        The rotated prediction; `prediction` itself for 0.
    """
    if not degrees:
        return prediction
    probability = prediction.stuff_probability
    return dataclasses.replace(
        prediction,
        segment_map=np.rot90(prediction.segment_map, -degrees // 90).copy(),
        segments=tuple(
            dataclasses.replace(segment, box_xyxy_px=_rotated_box(segment.box_xyxy_px, prediction.shape, degrees))
            for segment in prediction.segments
        ),
        stuff_probability=None if probability is None else rotated(probability, degrees),
    )


def _rotated_box(
    box_xyxy_px: tuple[int, int, int, int], shape: tuple[int, int], degrees: int
) -> tuple[int, int, int, int]:
    left, top, right, bottom = box_xyxy_px
    height, _ = shape
    for _ in range(degrees // 90):
        # A quarter clockwise puts the pixel in row r and column c into row c and column H - 1 - r.
        left, top, right, bottom = height - bottom, left, height - top, right
        shape = shape[::-1]
        height = shape[0]
    return left, top, right, bottom
