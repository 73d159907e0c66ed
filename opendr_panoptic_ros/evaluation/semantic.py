# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Mean intersection over union of the classes, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.labels import VOID


class ConfusionCounter:
    """Counts pixels by true and predicted class, over images.

    Args:
        num_classes: The train ids are 0 to `num_classes - 1`.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        # The extra column counts pixels without a prediction; they are missed.
        self._pixels = np.zeros((num_classes, num_classes + 1), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Count one image.

        Args:
            truth: `(H, W)` uint8 train ids, 255 = void; void pixels are not counted.
            prediction: `(H, W)` uint8 train ids, 255 = void.
        """
        known = truth != VOID
        columns = np.minimum(prediction[known], self._num_classes).astype(np.int64)
        pairs = truth[known] * np.int64(self._num_classes + 1) + columns
        self._pixels += np.bincount(pairs, minlength=self._pixels.size).reshape(self._pixels.shape)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """`(num_classes, num_classes + 1)` int64: pixels by true and predicted class; the last column has no class."""
        return self._pixels.copy()

    def merge(self, other: ConfusionCounter) -> None:
        """Add the pixels that another counter has counted.

        Args:
            other: A counter with the same number of classes.
        """
        # Not in place: arrays that came from another process are read-only.
        self._pixels = np.add(self._pixels, other._pixels)

    def intersection_over_union(self) -> NDArray[np.float64]:
        """Return the intersection over union of each class.

        Returns:
            `(num_classes,)` float64, 0-1, by train id; NaN for a class in neither the truth nor the predictions.
        """
        hits = np.diag(self._pixels)
        union = self._pixels.sum(axis=1) + self._pixels[:, : self._num_classes].sum(axis=0) - hits
        return np.divide(hits, union, out=np.full(self._num_classes, np.nan), where=union > 0)
