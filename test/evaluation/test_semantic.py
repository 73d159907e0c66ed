# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import numpy as np

from opendr_panoptic_ros.evaluation.semantic import ConfusionCounter


def test_three_classes_by_hand():
    """Class 0: 2 true pixels, 2 predicted, 1 hit: 1 / 3. Class 1: 3 true, 2 predicted, 1 hit: 1 / 4.

    One pixel of class 1 has no prediction and counts as missed. Class 2 is only predicted where the truth is void.
    """
    counter = ConfusionCounter(3)
    counter.add(np.array([[0, 0, 1]], np.uint8), np.array([[0, 1, 0]], np.uint8))
    counter.add(np.array([[1, 1, 255]], np.uint8), np.array([[1, 255, 2]], np.uint8))
    np.testing.assert_allclose(counter.intersection_over_union(), [1 / 3, 1 / 4, np.nan])
