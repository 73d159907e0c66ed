# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labels, instances and colours from a segmentation message."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from opendr_panoptic_ros.label_map import LABEL_MAPS, LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES, VOID
from opendr_panoptic_ros.points import SegmentMaps


def segment(id, class_id, label, *, is_thing=False):  # noqa: A002 - the field's name
    return SimpleNamespace(id=id, class_id=class_id, label=label, is_thing=is_thing)


@pytest.mark.parametrize("large", [7, 2**31 - 1])
def test_maps(large) -> None:
    segment_map = np.array([[0, 1, large], [3, -1, 2]], np.int32)
    segments = [segment(large, 13, "car", is_thing=True), segment(1, 0, "road"), segment(2, 400, "no legal class")]
    maps = SegmentMaps.of(segment_map, segments)
    assert maps.labels.tolist() == [[VOID, 0, 13], [VOID, VOID, VOID]]
    assert maps.instances.tolist() == [[0, 0, large], [0, 0, 0]]


def test_colors_are_those_of_the_name() -> None:
    """With a label map, a class has another id and keeps its colour; other names get distinct colours by their id."""
    maps = SegmentMaps.of(np.zeros((1, 1), np.int32), [segment(1, 40, "car"), segment(2, 3, "robot")])
    again = SegmentMaps.of(np.zeros((1, 1), np.int32), [])
    assert tuple(maps.palette[40]) == CITYSCAPES.colors[CITYSCAPES.names.index("car")]
    assert tuple(maps.palette[3]) == tuple(again.palette[3]) != (0, 0, 0)
    assert tuple(maps.palette[VOID]) == (0, 0, 0)


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_colors_of_label_maps(name) -> None:
    classes = LabelMap.load(name, CITYSCAPES).classes
    segments = [segment(i + 1, classes.ids[i], label) for i, label in enumerate(classes.names)]
    maps = SegmentMaps.of(np.zeros((1, 1), np.int32), segments)
    assert np.array_equal(maps.palette[list(classes.ids)], classes.colors)
