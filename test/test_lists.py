# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Lists of instances on paper, as messages of rosbags; test/ros/test_label_info.py has those of rclpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.lists import detection_array, image_annotations, label_info
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


def type_of(name: str) -> Any:
    return typestore().types[name]


@pytest.fixture
def header() -> Any:
    return type_of("std_msgs/msg/Header")(type_of("builtin_interfaces/msg/Time")(12, 34), "optical")


@pytest.fixture
def prediction() -> PanopticPrediction:
    segment_map = np.zeros((600, 12), np.int32)
    segment_map[:4], segment_map[5:8, :6], segment_map[100:200] = 1, 2, 7
    segments = (
        Segment(1, 0, "road", False, float("nan"), 48, (0, 0, 12, 4)),
        Segment(2, 13, "car", True, 0.875, 18, (0, 5, 6, 8)),
        Segment(7, 6, "traffic light", True, 0.5, 1200, (0, 100, 12, 200)),
    )
    return PanopticPrediction(segment_map, segments, CITYSCAPES)


def test_detections(prediction: PanopticPrediction, header: Any) -> None:
    message = detection_array(prediction, header, type_of)
    assert message.header is header
    car, light = message.detections
    assert (car.id, light.id) == ("2", "7")
    (result,) = car.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("car", 0.875)
    assert (car.bbox.center.position.x, car.bbox.center.position.y, car.bbox.center.theta) == (3.0, 6.5, 0.0)
    assert (car.bbox.size_x, car.bbox.size_y) == (6.0, 3.0)
    assert result.pose.pose.orientation.w == 1.0


def test_annotations(prediction: PanopticPrediction, header: Any) -> None:
    message = image_annotations(prediction, header, type_of)
    assert message.timestamp is header.stamp
    assert not message.circles
    car, light = message.points
    assert car.type == type_of("foxglove_msgs/msg/PointsAnnotation").LINE_LOOP
    assert [(point.x, point.y) for point in car.points] == [(0, 5), (6, 5), (6, 8), (0, 8)]
    color = car.outline_color
    assert (color.r, color.g, color.b, color.a) == (0, 0, 142 / 255, 1)
    assert car.fill_color.a == 0
    assert {pair.key: pair.value for pair in car.metadata} == {"class": "car", "score": "0.875", "id": "2"}
    car_text, light_text = message.texts
    assert (car_text.text, light_text.text) == ("car 0.88 #2", "traffic light 0.50 #7")
    assert car_text.font_size == 15  # a fortieth of the height
    assert (car_text.position.y, light_text.position.y) == (20, 100), "inside the box where there is no room above"
    assert (car_text.text_color.r, light_text.text_color.r) == (1, 0), "readable on dark blue and on yellow"
    assert light.points[2].y == 200


def test_label_info(header: Any) -> None:
    message = label_info(CITYSCAPES, header, type_of, score_threshold=0.25, keep_classes=["car", "road"])
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [(0, "road"), (13, "car")]
    assert message.threshold == 0.25


@pytest.mark.parametrize("make", [detection_array, image_annotations])
def test_messages_survive_serialization(prediction: PanopticPrediction, header: Any, make: Any) -> None:
    message = make(prediction, header, type_of)
    name = type(message).__msgtype__
    data = typestore().serialize_cdr(message, name)
    assert typestore().serialize_cdr(typestore().deserialize_cdr(data, name), name) == data


def test_older_annotations_have_no_metadata(prediction: PanopticPrediction, header: Any) -> None:
    """Messages of foxglove_msgs from before March 2026 lack the fields `metadata` and `timestamp` of the list."""

    def older(name: str) -> Any:
        fields = {
            field
            for field in type_of(name).__dataclass_fields__
            if field != "metadata" and (name, field) != ("foxglove_msgs/msg/ImageAnnotations", "timestamp")
        }

        def make(**values: Any) -> SimpleNamespace:
            assert set(values) == fields - {"__msgtype__", "UNKNOWN", "POINTS", "LINE_LOOP", "LINE_STRIP", "LINE_LIST"}
            return SimpleNamespace(**values)

        make.__dataclass_fields__ = fields  # type: ignore[attr-defined]
        return make

    message = image_annotations(prediction, header, older)
    assert [text.text for text in message.texts] == ["car 0.88 #2", "traffic light 0.50 #7"]
