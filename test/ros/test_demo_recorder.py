# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's recorder: the diagnostics it keeps, and the quality of service in its bag."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
pytest.importorskip("opendr_panoptic_ros.msg")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from opendr_panoptic_ros.msg import PanopticSegmentation, SegmentInfo  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosbags.interfaces import QosDurability, QosReliability  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from opendr_panoptic_ros.bags.reader import BagReader  # noqa: E402
from opendr_panoptic_ros.codec.cloud import encode_cloud  # noqa: E402
from opendr_panoptic_ros.demo.recorder import Recorder  # noqa: E402
from opendr_panoptic_ros.points import CLOUD_DTYPE  # noqa: E402
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402
from opendr_panoptic_ros.ros.messages import image_message  # noqa: E402
from opendr_panoptic_ros.ros.point_messages import cloud_message  # noqa: E402


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


def test_a_public_reader_decodes_the_bag(bench, tmp_path):
    """The package mcap-ros2-support reads the definitions inside the file; the lists are made from the segmentation."""
    decoder = pytest.importorskip("mcap_ros2.decoder")
    recorder = Recorder(
        bench.client, tmp_path / "bag", image_topic="/image_raw", outputs="/opendr/panoptic", depth="/depth"
    )
    header = Header(frame_id="camera")
    header.stamp.sec = 7
    segmentation = PanopticSegmentation(header=header)
    segmentation.segment_map = image_message(np.array([[1, 2, 2]], np.int32), "32SC1", header)
    road = SegmentInfo(id=1, class_id=0, label="road", score=float("nan"), area_px=1, box_xyxy_px=[0, 0, 1, 1])
    car = SegmentInfo(id=2, class_id=13, label="car", is_thing=True, score=0.5, area_px=2, box_xyxy_px=[1, 0, 3, 1])
    segmentation.segments = [road, car]
    sent = {
        "/opendr/panoptic/segmentation": segmentation,
        "/opendr/panoptic/points": cloud_message(encode_cloud(np.zeros((1, 3), CLOUD_DTYPE)), header),
        "/depth/camera_info": CameraInfo(header=header, d=[0.1, 0.2], distortion_model="plumb_bob"),
    }
    publishers = {topic: bench.client.create_publisher(type(message), topic, 10) for topic, message in sent.items()}
    bench.wait_for(lambda: all(p.get_subscription_count() for p in publishers.values()), "the recorder")
    for topic, publisher in publishers.items():
        publisher.publish(sent[topic])
    bench.wait_for(lambda: all(recorder.stamps_ns[topic] for topic in sent), "the messages")
    recorder.close()
    with (tmp_path / "bag" / "bag.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        decoded = {channel.topic: message for _, channel, _, message in reader.iter_decoded_messages()}
    lists = {"/opendr/panoptic/detections", "/opendr/panoptic/annotations"}
    assert {topic for topic in decoded if topic != "/diagnostics"} == {*sent, *lists}
    assert [segment.label for segment in decoded["/opendr/panoptic/segmentation"].segments] == ["road", "car"]
    assert decoded["/opendr/panoptic/points"].width == 3
    assert list(decoded["/depth/camera_info"].d) == [0.1, 0.2]
    (detection,) = decoded["/opendr/panoptic/detections"].detections
    assert (detection.id, detection.results[0].hypothesis.class_id, detection.bbox.size_x) == ("2", "car", 2.0)
    annotations = decoded["/opendr/panoptic/annotations"]
    assert annotations.timestamp.sec == 7
    assert annotations.texts[0].text == "car 0.50 #2"
    assert [(point.x, point.y) for point in annotations.points[0].points] == [(1, 0), (3, 0), (3, 1), (1, 1)]
    assert annotations.points[0].outline_color.b == pytest.approx(142 / 255)
