# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Images with their ground truth, and the checks that scenes and drives share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction

MIN_SIZE_PX = 32

Sample = tuple[NDArray[np.uint8], PanopticPrediction]
"""An image, `(H, W, 3)` uint8 RGB, and its ground truth."""

Pair = tuple[Image, PanopticPrediction]
"""An image as OpenDR's Image, and its ground truth."""


def make_sample(image_rgb: NDArray[np.uint8], ids: NDArray[np.int32], class_of: Mapping[int, int]) -> Sample:
    """Return an image and its ground truth, whose segments keep the ids of the map.

    Args:
        image_rgb: `(H, W, 3)` uint8.
        ids: `(H, W)` int32 segment ids; 0 is void.
        class_of: Train id of each segment id; it may contain ids that do not occur in the map.
    """
    class_ids = {segment_id: class_of[segment_id] for segment_id in segment_ids(ids)}
    truth = PanopticAnnotation.from_map(ids, class_ids, CITYSCAPES)
    return image_rgb, truth


def to_pair(sample: Sample) -> Pair:
    """Return a sample with its image as OpenDR's Image.

    Args:
        sample: The image, `(H, W, 3)` uint8 RGB, and its ground truth.
    """
    image_rgb, truth = sample
    return Image(image_rgb.transpose(2, 0, 1), guess_format=False), truth


def segment_ids(ids: NDArray[np.int32]) -> list[int]:
    """Return the ids that occur in a map, ascending, without void.

    Args:
        ids: `(H, W)` int32 segment ids; 0 is void.
    """
    return [int(i) for i in np.flatnonzero(np.bincount(ids.ravel())) if i > 0]


def check_size(height: int, width: int) -> None:
    """Refuse image sizes that are too small to draw a scene.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        ValueError: A side is shorter than 32 pixels.
    """
    if height < MIN_SIZE_PX or width < MIN_SIZE_PX:
        raise ValueError(f"The size is {height}×{width} pixels; expected at least {MIN_SIZE_PX}×{MIN_SIZE_PX}.")


def checked_seed(seed: int) -> int:
    """Return the seed as a Python integer.

    Args:
        seed: Any integer type; 0 or more.

    Raises:
        ValueError: The seed is negative.
    """
    if int(seed) < 0:
        raise ValueError(f"A seed is {seed}; expected 0 or more.")
    return int(seed)
