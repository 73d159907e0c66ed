# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's recorder: the diagnostics it keeps, and the quality of service in its bag."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
pytest.importorskip("opendr_panoptic_ros.msg")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosbags.interfaces import QosDurability, QosReliability  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from opendr_panoptic_ros.bags.reader import BagReader  # noqa: E402
from opendr_panoptic_ros.demo.recorder import Recorder  # noqa: E402
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402


def status(name: str, **values: str) -> DiagnosticStatus:
    return DiagnosticStatus(name=name, values=[KeyValue(key=key, value=value) for key, value in values.items()])


def test_the_statuses_of_node_and_camera_are_told_apart(bench, tmp_path):
    recorder = Recorder(bench.client, tmp_path / "bag", image_topic="/image_raw", outputs="/opendr/panoptic")
    diagnostics = bench.client.create_publisher(DiagnosticArray, "/diagnostics", 10)
    bench.wait_for(diagnostics.get_subscription_count, "the recorder")
    node = status("/opendr/segmentation", device="cuda:0", last_error="of the node")
    counts = {"received": "5", "answered": "3", "dropped": "1", "failed": "1"}
    camera = status("/opendr/segmentation: /image_raw", last_error="of the camera", **counts)
    diagnostics.publish(DiagnosticArray(status=[node, camera]))
    bench.wait_for(lambda: recorder.diagnostics_count, "the diagnostics")
    assert {name: values["last_error"] for name, values in recorder.diagnostics.items()} == {
        node.name: "of the node",
        camera.name: "of the camera",
    }
    assert recorder.device == "cuda:0"
    assert recorder.counts == FrameCounts(received=5, answered=3, dropped=1, failed=1)


def test_the_bag_holds_the_quality_of_service_of_the_camera(bench, tmp_path):
    recorder = Recorder(bench.client, tmp_path / "bag", image_topic="/image_raw", outputs="/opendr/panoptic")
    recorder.record_camera()
    qos = QoSProfile(depth=3, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    camera = bench.client.create_publisher(Image, "/image_raw", qos)
    bench.wait_for(camera.get_subscription_count, "the recorder")
    camera.publish(Image(height=1, width=1, encoding="rgb8", step=3, data=[1, 2, 3]))
    bench.wait_for(lambda: recorder.frames, "the image")
    recorder.close()
    with BagReader(tmp_path / "bag") as reader:
        (offered,) = reader.topics["/image_raw"].qos
    assert (offered.reliability, offered.durability) == (QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL)
