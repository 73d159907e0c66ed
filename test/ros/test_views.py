# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The layouts of RViz and Foxglove: their structure, and that the node publishes the topics they show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.ros.camera import PIPELINE_LATENCY, PROCESSING_TIME  # noqa: E402
from opendr_panoptic_ros.ros.messages import MAKE_MESSAGE  # noqa: E402
from opendr_panoptic_ros.ros.point_messages import MARKERS, POINTS  # noqa: E402

CONFIG = Path(__file__).resolve().parents[2] / "config"
OUTPUTS = "/opendr/panoptic/"
SHOWN = {
    "Input": "/image_raw",
    "Overlay": OUTPUTS + "rgb_visualization",
    "Semantic": OUTPUTS + "semantic_color",
    "Instances": OUTPUTS + "instance_color",
}
SWITCHED_OFF = {"Mask": OUTPUTS + "mask", "Confidence": OUTPUTS + "confidence"}
IN_3D = {
    "Points": (OUTPUTS + POINTS, "rviz_default_plugins/PointCloud2"),
    "Boxes": (OUTPUTS + MARKERS, "rviz_default_plugins/MarkerArray"),
}
PUBLISHED = {*MAKE_MESSAGE, PROCESSING_TIME, PIPELINE_LATENCY, POINTS, MARKERS}


def is_published(topic: str) -> bool:
    return topic == "/image_raw" or topic.removeprefix(OUTPUTS) in PUBLISHED


@pytest.fixture(scope="module")
def rviz() -> Any:
    return yaml.safe_load((CONFIG / "panoptic.rviz").read_text())


@pytest.fixture(scope="module")
def foxglove() -> Any:
    return json.loads((CONFIG / "foxglove_layout.json").read_text())


def test_rviz_shows_four_pictures(rviz):
    displays = {display["Name"]: display for display in rviz["Visualization Manager"]["Displays"]}
    displays = {name: display for name, display in displays.items() if name not in IN_3D}
    assert {name: display["Topic"]["Value"] for name, display in displays.items()} == SHOWN | SWITCHED_OFF
    for name, display in displays.items():
        assert display["Class"] == "rviz_default_plugins/Image"
        assert display["Enabled"] is display["Value"] is (name in SHOWN)
        assert is_published(display["Topic"]["Value"])


def test_rviz_shows_points_and_boxes(rviz):
    displays = {display["Name"]: display for display in rviz["Visualization Manager"]["Displays"]}
    for name, (topic, display_class) in IN_3D.items():
        display = displays[name]
        assert (display["Topic"]["Value"], display["Class"]) == (topic, display_class)
        assert display["Enabled"] is display["Value"] is True
        assert is_published(topic)
    assert displays["Points"]["Color Transformer"] == "RGB8"


def test_rviz_looks_along_the_optical_axis_from_above(rviz):
    view = rviz["Visualization Manager"]["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/Orbit"
    x, y, z = (view["Focal Point"][axis] for axis in "XYZ")
    ground, height = np.cos(view["Pitch"]), np.sin(view["Pitch"])
    eye = np.array([np.cos(view["Yaw"]) * ground, np.sin(view["Yaw"]) * ground, height]) * view["Distance"] + (x, y, z)
    assert abs(eye[0]) < 0.1
    assert eye[1] < -1  # y points down
    assert eye[2] < 0 < z


def test_rviz_receives_from_every_camera_and_from_the_node(rviz):
    """RViz silently replaces unknown values of a policy by its default."""
    for display in rviz["Visualization Manager"]["Displays"]:
        topic = display["Topic"]
        assert topic["Reliability Policy"] == ("Best Effort" if display["Name"] == "Input" else "Reliable")
        assert topic["Durability Policy"] == "Volatile"
        assert topic["History Policy"] == "Keep Last"
        assert topic["Depth"] >= 1


def test_rviz_lays_out_every_picture(rviz):
    geometry = rviz["Window Geometry"]
    state = bytes.fromhex(geometry["QMainWindow State"])
    assert state.startswith(b"\x00\x00\x00\xff\x00\x00\x00\x00\xfd")  # marker and version of QMainWindow::saveState
    for name in (*SHOWN, "Displays"):
        text = name.encode("utf-16-be")
        # A visible dock window with its name as QString: length in bytes, then UTF-16.
        assert b"\xfb" + len(text).to_bytes(4, "big") + text + b"\x01" in state
        assert geometry[name] == {"collapsed": False}
    assert geometry["Width"] <= 1920
    assert geometry["Height"] <= 1080
    assert [panel["Class"] for panel in rviz["Panels"]] == ["rviz_common/Displays"]


def test_foxglove_shows_four_pictures_the_points_and_the_times(foxglove):
    panels = foxglove["configById"]
    pictures = [panel for name, panel in panels.items() if name.startswith("Image!")]
    assert {panel["foxglovePanelTitle"]: panel["imageMode"]["imageTopic"] for panel in pictures} == SHOWN
    (scene,) = [panel for name, panel in panels.items() if name.startswith("3D!")]
    assert {topic for topic, row in scene["topics"].items() if row["visible"]} == {topic for topic, _ in IN_3D.values()}
    input_panel = next(panel for panel in pictures if panel["foxglovePanelTitle"] == "Input")
    (annotations,) = [name for name, row in input_panel["imageMode"]["annotations"].items() if row["visible"]]
    assert is_published(annotations)
    (plot,) = [panel for name, panel in panels.items() if name.startswith("Plot!")]
    paths = [path["value"] for path in plot["paths"] if path["enabled"]]
    assert paths == [f"{OUTPUTS}{name}.data" for name in (PROCESSING_TIME, PIPELINE_LATENCY)]
    (summary,) = [panel for name, panel in panels.items() if name.startswith("DiagnosticSummary!")]
    assert summary["topicToRender"] == "/diagnostics"


def test_foxglove_lays_out_every_panel_once(foxglove):
    def leaves(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        assert node["direction"] in {"row", "column"}
        assert 0 < node.get("splitPercentage", 50) < 100
        return leaves(node["first"]) + leaves(node["second"])

    placed = leaves(foxglove["layout"])
    assert sorted(placed) == sorted(foxglove["configById"])
