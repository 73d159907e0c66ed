# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A case of 4×6 pixels, small enough to compute every metric by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

ROAD, CAR = 0, 13  # train ids; Cityscapes' ids are 7 and 26


@dataclass(frozen=True)
class PaperCase:
    """An annotation and a prediction of the same image."""

    truth: PanopticAnnotation
    prediction: PanopticPrediction


def make_paper_case() -> PaperCase:
    """Return 4×6 pixels of road (r), cars A and B, a crowd of cars (C) and void (.), with a prediction.

    truth            prediction
    r r r r r r      r r r r r r
    A A B B C C      1 1 2 r 3 3
    A A B B C C      1 1 2 r 3 3
    . . r r r r      1 1 r r r r

    Cars 1, 2, 3 have the scores 0.9, 0.8, 0.7.
    """
    truth = PanopticAnnotation.from_map(
        _map("rrrrrr AABBCC AABBCC ..rrrr", {".": 0, "r": 1, "A": 2, "B": 3, "C": 4}),
        {1: ROAD, 2: CAR, 3: CAR, 4: CAR},
        CITYSCAPES,
        crowd_ids=frozenset({4}),
    )
    prediction = PanopticPrediction(
        _map("rrrrrr 112r33 112r33 11rrrr", {"1": 1, "2": 2, "3": 3, "r": 4}),
        (
            Segment(1, CAR, "car", True, 0.9, 6, (0, 1, 2, 4)),
            Segment(2, CAR, "car", True, 0.8, 2, (2, 1, 3, 3)),
            Segment(3, CAR, "car", True, 0.7, 4, (4, 1, 6, 3)),
            Segment(4, ROAD, "road", False, float("nan"), 12, (0, 0, 6, 4)),
        ),
    )
    return PaperCase(truth, prediction)


def _map(rows: str, ids: dict[str, int]) -> np.ndarray:
    return np.array([[ids[letter] for letter in row] for row in rows.split()], np.int32)
