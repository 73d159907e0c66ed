# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import math
from dataclasses import fields

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from rclpy.exceptions import InvalidParameterValueException  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from opendr_panoptic_ros.config import Thresholds  # noqa: E402
from opendr_panoptic_ros.ros.parameters import NodeParameters  # noqa: E402
from opendr_panoptic_ros.ros.settings import read_parameters  # noqa: E402


@pytest.fixture
def make(bench):
    """Return a function that creates a node with parameters, which is neither configured nor spinning."""
    nodes = []

    def make_node(**parameters):
        nodes.append(bench.node(**parameters))
        return nodes[-1]

    yield make_node
    for node in nodes:
        node.destroy_node()


def test_defaults(make):
    values = read_parameters(make(), NodeParameters)
    assert values == NodeParameters()
    assert values.segmenter_options() == {
        "config": None,
        "device": "auto",
        "backend": "auto",
        "precision": "auto",
        "inference_size": None,
    }
    assert values.thresholds() == Thresholds()


def test_integers_stand_for_floats(make):
    values = read_parameters(make(score_threshold=1, overlap_threshold=0, visualization_opacity=1), NodeParameters)
    assert (values.score_threshold, values.overlap_threshold, values.visualization_opacity) == (1.0, 0.0, 1.0)
    assert isinstance(values.score_threshold, float)
    assert values.thresholds() == Thresholds(score_threshold=1.0, overlap_threshold=0.0)


@pytest.mark.parametrize(("given", "meant"), [(0, (0,)), (90, (90,)), ([180], (180,)), ([0, 270], (0, 270))])
def test_image_rotation(make, given, meant):
    assert read_parameters(make(image_rotation=given), NodeParameters).image_rotation == meant


@pytest.mark.parametrize(
    ("given", "meant"), [("", None), (0, None), ("0", None), ("native", "native"), (640, 640), ("640", 640)]
)
def test_inference_size(make, given, meant):
    assert read_parameters(make(inference_size=given), NodeParameters).segmenter_options()["inference_size"] == meant


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("score_threshold", 1.5, "0 to 1"),
        ("score_threshold", -0.5, "or -1 for the value of the configuration"),
        ("score_threshold", math.nan, "0 to 1"),
        ("score_threshold", "high", "0 to 1"),
        ("overlap_threshold", True, "0 to 1"),
        ("min_stuff_area", -2, "0 or more"),
        ("inference_size", "large", "'native'"),
        ("inference_size", -640, "the longer side in pixels"),
        ("inference_size", 640.5, "the longer side in pixels"),
        ("backend", "theano", "one of 'auto', 'torch'"),
        ("image_transport", "theora", "one of 'raw', 'compressed'"),
        ("visualization", "heatmap", "one of 'overlay', 'detailed'"),
        ("visualization_opacity", 2, "colours only"),
        ("cameras", ["front", "front"], "different names"),
        ("cameras", ["front camera"], "legal in a topic"),
        ("cameras", ["front/"], "legal in a topic"),
        ("checkpoint", "", "a path or a name"),
        ("checkpoint", 3, "a string: a path or a name"),
        ("cameras", "front", "a list of strings: a list of different names"),
        ("min_stuff_area", 1.5, "an integer: 0 or more"),
        ("jpeg_quality", "high", "an integer: 1 to 100"),
        ("jpeg_quality", 80.0, "an integer: 1 to 100"),
        ("visualization", 3, "a string: one of 'overlay', 'detailed'"),
        ("track_ids", 1, "a boolean: true or false"),
        ("image_rotation", 45, "0, 90, 180 or 270, or a list of them"),
        ("image_rotation", [0, 45], "0, 90, 180 or 270"),
        ("image_rotation", True, "0, 90, 180 or 270"),
        ("image_rotation", ["90"], "0, 90, 180 or 270"),
        ("max_rate_hz", math.inf, "0 or more, finite"),
    ],
)
def test_a_refused_value_says_what_is_legal(make, name, value, expected):
    with pytest.raises(InvalidParameterValueException, match=rf"{name} is .*; expected .*{expected}"):
        make(**{name: value})


@pytest.mark.parametrize("cameras", [[""], ["front"], ["front", "rear/left", "/robot1/arm_2"], ["", "front"]])
def test_names_of_cameras(make, cameras):
    assert read_parameters(make(cameras=cameras), NodeParameters).cameras == tuple(cameras)


def test_everything_is_described(make):
    node = make()
    for row in fields(NodeParameters):
        descriptor = node.describe_parameter(row.name)
        assert descriptor.description
        assert descriptor.read_only == (row.name in {"allowed_paths", "autostart", "max_image_pixels"})
    assert "or -1" in node.describe_parameter("score_threshold").additional_constraints


def test_setting_while_configured(make, tiny_checkpoint):
    """Parameters that are read for each frame can be set at any time, others only before configure."""
    node = make(checkpoint="/no/such.pth", allowed_paths=[str(tiny_checkpoint.parent)])
    [before] = node.set_parameters([Parameter("checkpoint", value=str(tiny_checkpoint))])
    assert before.successful
    assert node.start(), node.last_error
    [refused] = node.set_parameters([Parameter("device", value="cpu")])
    assert not refused.successful
    assert "device is read when the node is configured" in refused.reason
    unchanged = [Parameter("device", value="auto"), Parameter("cameras", value=[""]), Parameter("max_batch", value=4)]
    assert all(result.successful for result in node.set_parameters(unchanged))
    [live] = node.set_parameters([Parameter("visualization", value="detailed")])
    assert live.successful
    assert read_parameters(node, NodeParameters).visualization == "detailed"
    [wrong] = node.set_parameters([Parameter("visualization", value="heatmap")])
    assert wrong.reason == "visualization is 'heatmap'; expected one of 'overlay', 'detailed'."
    [fixed] = node.set_parameters([Parameter("autostart", value=False)])
    assert not fixed.successful
