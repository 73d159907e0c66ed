# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node in this process, on real topics, with a tiny network."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from support.waiting import PATIENCE_S

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.inference import PanopticSegmenter

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Float32, Header  # noqa: E402

from opendr_panoptic_ros.ros import camera as camera_module  # noqa: E402
from opendr_panoptic_ros.ros import messages  # noqa: E402
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402

IMAGES = ("semantic", "instance", "panoptic", "semantic_color", "instance_color", "rgb_visualization")
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def numbered(picture: np.ndarray, number: int) -> np.ndarray:
    """Return the picture with a number in its first pixel."""
    picture = picture.copy()
    picture[0, 0] = number
    return picture


def pixels(message: Any, dtype: Any) -> np.ndarray:
    assert not message.is_bigendian
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, -1).squeeze(axis=2)


def test_every_output_of_one_frame(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    images = {topic: bench.subscribe(f"panoptic/{topic}") for topic in IMAGES}
    segmentations = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    times = [
        bench.subscribe(f"panoptic/debug/{name}", Float32) for name in ("processing_time_ms", "pipeline_latency_ms")
    ]
    outputs = [*images.values(), segmentations, *times]
    camera = bench.camera()
    bench.wait_for(lambda: len(node.cameras[0].subscribed_topics()) == len(outputs), "all subscriptions to match")
    now_ns = bench.client.get_clock().now().nanoseconds
    bench.send(camera, picture, stamp_ns=now_ns)
    bench.wait_for(lambda: all(outputs), "a message on every topic")

    expected = PanopticSegmenter(tiny_checkpoint, backend="auto")(picture)  # the default of the node
    assert any(segment.is_thing for segment in expected.segments), "a test without instances shows little"
    got = {topic: received[0] for topic, received in images.items()}
    assert np.array_equal(pixels(got["semantic"], np.uint8), expected.semantic_map)
    assert np.array_equal(pixels(got["instance"], np.uint16), expected.instance_map)
    assert np.array_equal(pixels(got["panoptic"], np.int32), expected.panoptic_ids)
    assert np.array_equal(decode(got["semantic_color"]), visualize.semantic_color(expected))
    assert np.array_equal(decode(got["instance_color"]), visualize.instance_color(expected))
    assert np.array_equal(decode(got["rgb_visualization"]), visualize.overlay(picture, expected))
    encodings = [got[topic].encoding for topic in ("semantic", "instance", "panoptic", "rgb_visualization")]
    assert encodings == ["mono8", "mono16", "32SC1", "rgb8"]

    segmentation = segmentations[0]
    assert segmentation.segment_map.encoding == "32SC1"
    assert np.array_equal(pixels(segmentation.segment_map, np.int32), expected.segment_map)
    for info, segment in zip(segmentation.segments, expected.segments, strict=True):
        assert (info.id, info.class_id, info.label, info.is_thing, info.area_px) == (
            segment.id, segment.class_id, segment.label, segment.is_thing, segment.area_px)  # fmt: skip
        assert tuple(info.box_xyxy_px) == segment.box_xyxy_px
        assert info.score == pytest.approx(segment.score, nan_ok=True)

    for message in (*got.values(), segmentation, segmentation.segment_map):
        assert (bench.stamp_ns(message), message.header.frame_id) == (now_ns, "optical")
    processing_time_ms, pipeline_latency_ms = (received[0].data for received in times)
    assert 0 < processing_time_ms < pipeline_latency_ms


def test_the_newest_frame_wins(bench, tiny_checkpoint, picture, gate_of):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    gate = gate_of(node)
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.send(camera, numbered(picture, 1), stamp_ns=1)
    bench.wait_for(lambda: gate.seen == [1], "the first frame's inference to begin")
    for number in (2, 3, 4):  # come while the network works
        bench.send(camera, numbered(picture, number), stamp_ns=number)
    bench.wait_for(lambda: node.counts[""].received == 4, "four frames")
    assert node.counts[""] == FrameCounts(received=4, answered=0, dropped=2, failed=0)
    gate.permits.release(2)
    bench.wait_for(lambda: len(received) == 2, "two answers")
    assert gate.seen == [1, 4]
    assert [bench.stamp_ns(message) for message in received] == [1, 4]
    bench.wait_for(lambda: node.counts[""] == FrameCounts(received=4, answered=2, dropped=2, failed=0), "the counts")


def test_deactivate_answers_the_frame_in_work_and_drops_the_waiting_one(bench, tiny_checkpoint, picture, gate_of):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    gate = gate_of(node)
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.send(camera, numbered(picture, 1), stamp_ns=1)
    bench.wait_for(lambda: gate.seen == [1], "the first frame's inference to begin")
    bench.send(camera, numbered(picture, 2), stamp_ns=2)
    bench.wait_for(lambda: node.counts[""].received == 2, "two frames")
    threading.Timer(0.2, gate.permits.release).start()
    node.trigger_deactivate()
    assert node.counts[""] == FrameCounts(received=2, answered=1, dropped=1, failed=0)
    bench.wait_for(lambda: received, "the answer")
    bench.wait_for(lambda: camera.get_subscription_count() == 0, "the node to leave the camera")


def test_shutdown_waits_for_the_frame_in_work(bench, tiny_checkpoint, picture, gate_of):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    gate = gate_of(node)
    bench.subscribe("panoptic/semantic")
    bench.send(bench.camera(), picture, stamp_ns=1)
    bench.wait_for(lambda: gate.batches == [(1, 48, 64)], "the inference to begin")
    [node_camera] = node.cameras
    threading.Timer(0.2, gate.permits.release).start()
    node.trigger_shutdown()
    assert node.state == "finalized"
    assert node.segmenter is None
    assert node_camera.mailbox.counts == FrameCounts(received=1, answered=1)
    assert {"panoptic_worker", "panoptic_publisher"}.isdisjoint(thread.name for thread in threading.enumerate())


@pytest.fixture
def slow_output(monkeypatch) -> threading.Semaphore:
    """Make the output `semantic` wait for a permit for each message."""
    permits = threading.Semaphore(0)
    make = messages.MAKE_MESSAGE["semantic"]

    def make_later(context: messages.MessageContext) -> Any:
        assert permits.acquire(timeout=PATIENCE_S)
        return make(context)

    monkeypatch.setitem(messages.MAKE_MESSAGE, "semantic", make_later)
    return permits


def test_the_network_does_not_wait_for_the_outputs(bench, tiny_checkpoint, picture, gate_of, slow_output):
    """While the outputs of two frames wait, no frame is taken, and newer ones replace the waiting one."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    gate = gate_of(node)
    gate.permits.release(9)
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    for number in (1, 2):
        bench.send(camera, numbered(picture, number), stamp_ns=number)
        bench.wait_for(lambda n=number: len(gate.seen) == n, "the inference")
    assert node.counts[""] == FrameCounts(received=2)
    for number in (3, 4, 5):
        bench.send(camera, numbered(picture, number), stamp_ns=number)
    bench.wait_for(lambda: node.counts[""] == FrameCounts(received=5, dropped=2), "newer frames to replace older ones")
    assert gate.seen == [1, 2]
    slow_output.release()
    bench.wait_for(lambda: gate.seen == [1, 2, 5], "the newest frame")
    slow_output.release(2)
    bench.wait_for(lambda: len(received) == 3, "the answers")
    assert [bench.stamp_ns(message) for message in received] == [1, 2, 5]
    bench.wait_for(lambda: node.counts[""] == FrameCounts(received=5, answered=3, dropped=2), "the counts")


def test_deactivate_waits_for_the_outputs(bench, tiny_checkpoint, picture, gate_of, slow_output):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    gate = gate_of(node)
    gate.permits.release(9)
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    for number in (1, 2):
        bench.send(camera, numbered(picture, number), stamp_ns=number)
        bench.wait_for(lambda n=number: len(gate.seen) == n, "the inference")
    threading.Timer(0.2, lambda: slow_output.release(2)).start()
    node.trigger_deactivate()
    assert node.counts[""] == FrameCounts(received=2, answered=2)
    bench.wait_for(lambda: len(received) == 2, "the answers")
    node.trigger_activate()
    bench.send(camera, picture, stamp_ns=3)
    slow_output.release()
    bench.wait_for(lambda: len(received) == 3, "an answer of the node that is active again")


def test_data_that_are_not_an_image_fail_alone(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.wait_for(camera.get_subscription_count, "the node to subscribe")
    whole = serialize_message(messages.image_message(picture, "rgb8", Header()))
    for data in (b"", whole[:7], whole[: len(whole) // 2]):
        camera.publish(data)
    bench.wait_for(lambda: node.counts[""].failed, "the failure to be counted")
    assert node.cameras[0].mailbox.last_error.startswith("ImageEncodingError: A message of ")
    bench.send(camera, picture, stamp_ns=2)
    bench.wait_for(lambda: received, "the answer")
    assert [bench.stamp_ns(message) for message in received] == [2]


def test_a_bad_image_then_a_good_one(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.send(camera, picture, stamp_ns=1, encoding="h264")
    bench.wait_for(lambda: node.counts[""].failed == 1, "the bad image to be counted")
    mailbox = node.cameras[0].mailbox
    assert mailbox.is_failing
    assert mailbox.last_error.startswith("ImageEncodingError: The encoding is 'h264'")
    bench.send(camera, picture, stamp_ns=2)
    bench.wait_for(lambda: node.counts[""].answered == 1, "the good image")
    assert node.counts[""] == FrameCounts(received=2, answered=1, dropped=0, failed=1)
    assert not mailbox.is_failing
    bench.wait_for(lambda: received, "the answer")
    assert [bench.stamp_ns(message) for message in received] == [2]


def test_after_a_failure_of_the_network_the_next_frame_is_processed(bench, tiny_checkpoint, picture, gate_of):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    gate = gate_of(node)
    gate.permits.release(2)
    gate.largest_batch = 0  # every batch fails
    bench.send(camera, picture, stamp_ns=1)
    bench.wait_for(lambda: node.counts[""].failed == 1, "the failure")
    gate.largest_batch = 64
    bench.send(camera, picture, stamp_ns=2)
    bench.wait_for(lambda: node.counts[""].answered == 1, "the next frame")


@pytest.mark.parametrize("matched_events", [True, False])
def test_without_subscribers_nothing_is_computed(bench, tiny_checkpoint, picture, monkeypatch, matched_events):
    monkeypatch.setattr(camera_module, "HAS_MATCHED_EVENTS", matched_events and camera_module.HAS_MATCHED_EVENTS)
    made: list[str] = []

    def noted(topic: str, make: Any) -> Any:
        def make_and_note(answer: messages.MessageContext) -> Any:
            made.append(topic)
            return make(answer)

        return make_and_note

    for topic, make in messages.MAKE_MESSAGE.items():
        monkeypatch.setitem(messages.MAKE_MESSAGE, topic, noted(topic, make))
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    camera = bench.camera()
    for _ in range(5):
        camera.publish(messages.image_message(picture, "rgb8", Header()))
    assert camera.get_subscription_count() == 0
    assert node.counts[""] == FrameCounts()

    subscription = bench.client.create_subscription(Image, "panoptic/instance", lambda _: None, 10)
    bench.send(camera, picture, stamp_ns=1)
    bench.wait_for(lambda: node.counts[""].answered == 1, "the answer")
    assert made == ["instance"]

    bench.client.destroy_subscription(subscription)
    bench.wait_for(lambda: camera.get_subscription_count() == 0, "the node to leave the camera")
    assert node.counts[""] == FrameCounts(received=1, answered=1)


@pytest.mark.parametrize("camera_qos", [BEST_EFFORT, RELIABLE], ids=["best-effort camera", "reliable camera"])
@pytest.mark.parametrize("listener_qos", [BEST_EFFORT, RELIABLE], ids=["best-effort listener", "reliable listener"])
def test_quality_of_service_matches(bench, tiny_checkpoint, picture, camera_qos, listener_qos):
    bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/semantic", qos=listener_qos)
    bench.send(bench.camera(qos=camera_qos), picture, stamp_ns=1)
    bench.wait_for(lambda: received, "the answer")


def test_quality_of_service_can_be_overridden(bench, tiny_checkpoint, picture):
    overrides = {
        "qos_overrides./image_raw.subscription.reliability": "reliable",
        "qos_overrides./image_raw.subscription.depth": 2,
        "qos_overrides./panoptic/semantic.publisher.reliability": "best_effort",
    }
    bench.active_node(checkpoint=str(tiny_checkpoint), **overrides)
    received = bench.subscribe("panoptic/semantic", qos=BEST_EFFORT)
    bench.send(bench.camera(), picture, stamp_ns=1)
    bench.wait_for(lambda: received, "the answer")
    [subscription] = bench.client.get_subscriptions_info_by_topic("/image_raw")
    [publisher] = bench.client.get_publishers_info_by_topic("/panoptic/semantic")
    assert subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_two_cameras_take_turns(bench, tiny_checkpoint, picture, gate_of):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=["front", "rear"])
    gate = gate_of(node)
    received = {name: bench.subscribe(f"{name}/panoptic/semantic") for name in ("front", "rear")}
    front, rear = bench.camera("front/image_raw"), bench.camera("rear/image_raw")
    bench.send(front, numbered(picture, 1), stamp_ns=1)
    bench.wait_for(lambda: gate.seen == [1], "the first frame's inference to begin")
    bench.send(front, numbered(picture, 2), stamp_ns=2)
    bench.wait_for(lambda: node.counts["front"].received == 2, "the second frame")
    bench.send(rear, numbered(picture, 101), stamp_ns=101)
    bench.wait_for(lambda: node.counts["rear"].received == 1, "the other camera's frame")
    gate.permits.release(3)
    bench.wait_for(lambda: len(received["front"]) == 2 and received["rear"], "three answers")
    assert gate.seen == [1, 101, 2]
    assert [bench.stamp_ns(message) for message in received["front"]] == [1, 2]
    assert [bench.stamp_ns(message) for message in received["rear"]] == [101]


def test_without_our_messages_the_standard_topics_work(bench, tiny_checkpoint, picture, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opendr_panoptic_ros.msg", None)  # an import then fails, as where it is not built
    warnings = []
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.warning", lambda _, text: warnings.append(text))
    bench.active_node(checkpoint=str(tiny_checkpoint))
    [warning] = [text for text in warnings if "opendr_panoptic_ros" in text]
    assert "colcon build" in warning
    received = bench.subscribe("panoptic/panoptic")
    bench.send(bench.camera(), picture, stamp_ns=1)
    bench.wait_for(lambda: received, "the answer")
    assert not bench.client.get_publishers_info_by_topic("/panoptic/segmentation")
