# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tests of PanopticPrediction and ClassTable with a map of six pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


@pytest.fixture
def prediction() -> PanopticPrediction:
    """Two cars (ids 1 and 2), road (3), and one void pixel."""
    car, road = CITYSCAPES.names.index("car"), CITYSCAPES.names.index("road")
    return PanopticPrediction(
        np.array([[1, 1, 2], [0, 3, 3]], np.int32),
        (
            Segment(1, car, "car", True, 0.9, 2, (0, 0, 2, 1)),
            Segment(2, car, "car", True, 0.8, 1, (2, 0, 3, 1)),
            Segment(3, road, "road", False, math.nan, 2, (1, 1, 3, 2)),
        ),
    )


def test_derived_maps(prediction: PanopticPrediction) -> None:
    assert prediction.shape == (2, 3)
    assert prediction.semantic_map.tolist() == [[13, 13, 13], [255, 0, 0]]
    assert prediction.instance_map.tolist() == [[1, 1, 2], [0, 0, 0]]
    assert prediction.panoptic_ids.tolist() == [[26001, 26001, 26002], [0, 7, 7]]
    maps = (prediction.semantic_map, prediction.instance_map, prediction.panoptic_ids)
    assert [m.dtype.name for m in maps] == ["uint8", "uint16", "int32"]


def test_equal_segments() -> None:
    """NaN, the score of stuff, is not equal to itself, and each `float("nan")` is an object of its own."""
    road, same = (Segment(3, 0, "road", False, float("nan"), 2, (1, 1, 3, 2)) for _ in range(2))
    assert road == same
    assert len({road, same}) == 1
    assert dataclasses.replace(road, id=4) != road
    assert dataclasses.replace(road, score=0.5) != road
    assert road != "road"


def test_nothing_recognised() -> None:
    prediction = PanopticPrediction(np.zeros((1, 2), np.int32), ())
    assert prediction.semantic_map.tolist() == [[255, 255]]
    assert prediction.panoptic_ids.tolist() == [[0, 0]]


def test_frozen(prediction: PanopticPrediction) -> None:
    with pytest.raises(AttributeError):
        prediction.segments = ()  # type: ignore[misc]


@pytest.mark.parametrize("segment_map", [np.zeros((2, 2), np.int64), np.zeros(4, np.int32)])
def test_wrong_maps(segment_map: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected int32"):
        PanopticPrediction(segment_map, ())


def test_cityscapes() -> None:
    assert (len(CITYSCAPES), CITYSCAPES.num_stuff, CITYSCAPES.num_things) == (19, 11, 8)
    official = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert list(CITYSCAPES.dataset_ids) == official
    assert next(CITYSCAPES.names[i] for i in range(19) if CITYSCAPES.is_thing(i)) == "person"
    assert CITYSCAPES.palette[[0, 255]].tolist() == [[128, 64, 128], [0, 0, 0]]
    assert not CITYSCAPES.is_thing(255)


def test_class_table_round_trip() -> None:
    assert ClassTable.from_dict(CITYSCAPES.to_dict()) == CITYSCAPES
    made_up = ClassTable.from_dict({"names": ["sky", "cow", "cat"], "num_stuff": 1})
    assert made_up.dataset_ids == (1, 2, 3)
    assert len(set(made_up.colors)) == 3


@pytest.mark.parametrize(
    "values",
    [
        {"names": ["a", "a"], "num_stuff": 1},
        {"names": [], "num_stuff": 0},
        {"names": ["a"], "num_stuff": 2},
        {"names": ["a"], "num_stuff": 1, "colors": [[0, 0, 0], [1, 1, 1]]},
        {"names": ["a"], "num_stuff": 1, "colors": [[0, 0, 300]]},
        {"names": ["a"], "num_stuff": 1, "dataset_ids": [1000]},
        {"names": ["a"]},
        {"names": ["a"], "num_stuff": 1, "stuff": 1},
    ],
)
def test_wrong_class_tables(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="classes"):
        ClassTable.from_dict(values)
