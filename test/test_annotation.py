# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import numpy as np
import pytest

from opendr_panoptic_ros.datasets import PanopticAnnotation
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction

MAP = np.array([[1, 1, 2, 2], [0, 5, 2, 7], [5, 5, 0, 7]], np.int32)


@pytest.fixture
def annotation() -> PanopticAnnotation:
    """Road 1; cars 2 and 5; a crowd of persons, 7; id 9 is nowhere."""
    return PanopticAnnotation.from_map(MAP, {1: 0, 7: 11, 2: 13, 5: 13, 9: 18}, CITYSCAPES, crowd_ids=frozenset({7, 9}))


def test_measured(annotation):
    assert [(s.id, s.label, s.area_px, s.box_xyxy_px) for s in annotation.segments] == [
        (1, "road", 2, (0, 0, 2, 1)),
        (7, "person", 2, (3, 1, 4, 3)),
        (2, "car", 3, (2, 0, 4, 2)),
        (5, "car", 3, (0, 1, 2, 3)),
    ]
    assert [s.id for s in annotation.instances] == [2, 5]
    assert [s.id for s in annotation.crowds] == [7]
    assert annotation.crowd_ids == {7}
    np.testing.assert_array_equal(annotation.masks(annotation.instances), [MAP == 2, MAP == 5])
    assert annotation.masks(()).shape == (0, 3, 4)


def test_maps(annotation):
    """A crowd region has a class but is not an instance; its dataset id has no number, and it does not use one up."""
    assert annotation.semantic_map.tolist() == [[0, 0, 13, 13], [255, 13, 13, 11], [13, 13, 255, 11]]
    assert annotation.instance_map.tolist() == [[0, 0, 2, 2], [0, 5, 2, 0], [5, 5, 0, 0]]
    assert annotation.panoptic_ids.tolist() == [
        [7, 7, 26001, 26001],
        [0, 26002, 26001, 24],
        [26002, 26002, 0, 24],
    ]


def test_after_a_crop_and_a_flip(annotation):
    cropped = annotation.with_map(np.ascontiguousarray(MAP[1:, ::-1]))
    assert [(s.id, s.area_px, s.box_xyxy_px) for s in cropped.segments] == [
        (7, 2, (0, 0, 1, 2)),
        (2, 1, (1, 0, 2, 1)),
        (5, 3, (2, 0, 4, 2)),
    ]
    assert cropped.crowd_ids == {7}


def test_a_prediction_as_the_truth(annotation):
    assert PanopticAnnotation.from_prediction(annotation) is annotation
    prediction = PanopticPrediction(annotation.segment_map, annotation.segments, annotation.classes)
    truth = PanopticAnnotation.from_prediction(prediction)
    assert truth.segments == prediction.segments
    assert truth.crowds == ()
