# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Camera info, stamps, ego masks and tracked ids."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.prediction import PanopticPrediction

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage  # noqa: E402
from std_msgs.msg import Float32, Header  # noqa: E402

from opendr_panoptic_ros.ros.camera_info import CameraInfoBuffer  # noqa: E402
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402
from opendr_panoptic_ros.ros.messages import image_message  # noqa: E402


def info(stamp_ns: int, focal_length: float) -> Any:
    message = CameraInfo(width=64, height=48)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = "of the info"
    message.k[0] = focal_length
    return message


def test_camera_info(bench, tiny_checkpoint, picture):
    """With infos at 10 and 20, the frames at 20 and 25 get the second one, 10 the first one, and 5 none."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/camera_info", CameraInfo)
    camera = bench.camera()
    infos = bench.client.create_publisher(CameraInfo, "camera_info", 10)
    bench.wait_for(infos.get_subscription_count, "a subscription to the camera info")
    infos.publish(info(10, 1.0))
    infos.publish(info(20, 2.0))
    bench.wait_for(lambda: len(node.cameras[0].infos) == 2, "the infos")
    for number, stamp_ns in enumerate((20, 25, 10, 5), start=1):
        bench.send(camera, picture, stamp_ns=stamp_ns)
        bench.wait_for(lambda n=number: node.counts[""].answered == n, "the answer")
    bench.wait_for(lambda: len(received) == 3, "the infos of three frames")
    assert [(bench.stamp_ns(message), message.k[0]) for message in received] == [(20, 2.0), (25, 2.0), (10, 1.0)]
    assert {message.header.frame_id for message in received} == {"optical"}
    assert (received[0].width, received[0].height) == (64, 48)


def test_camera_infos_that_cannot_be_used_are_skipped(bench, tiny_checkpoint, picture):
    """Infos with a negative stamp, with too many nanoseconds and of 2 MB, followed by a valid one."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/camera_info", CameraInfo)
    infos = bench.client.create_publisher(CameraInfo, "camera_info", 10)
    bench.wait_for(infos.get_subscription_count, "a subscription to the camera info")
    negative, overflowing, large = info(10, 1.0), info(10, 2.0), info(10, 3.0)
    negative.header.stamp.sec = -1
    overflowing.header.stamp.nanosec = 2 * 10**9
    large.d = [0.0] * 2**18
    buffer = node.cameras[0].infos
    for number, message in enumerate((negative, overflowing, large), start=1):
        # A message of 2 MB over best-effort UDP may be lost, therefore it is sent until it arrives.
        while buffer.skipped < number:
            infos.publish(message)
            time.sleep(0.05)
    infos.publish(info(20, 4.0))
    bench.wait_for(lambda: len(buffer) == 1, "the info")
    bench.send(bench.camera(), picture, stamp_ns=25)
    bench.wait_for(lambda: received, "the info of the frame")
    assert [message.k[0] for message in received] == [4.0]
    assert node.counts[""] == FrameCounts(received=1, answered=1)


def test_the_memory_of_camera_infos_is_bounded():
    buffer = CameraInfoBuffer()
    for stamp_ns in range(200):
        buffer.add(info(stamp_ns, 1.0))
    assert len(buffer) == 100
    assert buffer.find(99) is None
    found = buffer.find(150)
    assert found is not None
    assert found.header.stamp.nanosec == 150
    assert buffer.find(None) is None
    large = info(1000, 1.0)
    large.header.frame_id = "x" * 300_000
    for _ in range(10):
        buffer.add(large)
    assert len(buffer) == 3
    assert buffer.skipped == 0
    buffer.clear()
    assert len(buffer) == 0


@pytest.mark.parametrize("stamp", [(-1, 5), (3, 2 * 10**9), (0, 0)], ids=["negative", "too many nanoseconds", "zero"])
def test_an_image_with_an_invalid_stamp_is_answered_without_a_latency(bench, tiny_checkpoint, picture, stamp):
    sec, nanosec = stamp
    node = bench.active_node(checkpoint=str(tiny_checkpoint), track_ids=True)
    received = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    infos = bench.subscribe("panoptic/camera_info", CameraInfo)
    latencies = bench.subscribe("panoptic/debug/pipeline_latency_ms", Float32)
    times = bench.subscribe("panoptic/debug/processing_time_ms", Float32)
    camera = bench.camera()
    bench.wait_for(lambda: len(node.cameras[0].subscribed_topics()) == 4, "all subscriptions to match")
    message = image_message(picture, "rgb8", Header(frame_id="optical"))
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    bench.wait_for(camera.get_subscription_count, "a subscription to the camera")
    for number in (1, 2):
        camera.publish(message)
        bench.wait_for(lambda n=number: len(received) == len(times) == n, "the answer")
    assert {(answer.header.stamp.sec, answer.header.stamp.nanosec) for answer in received} == {stamp}
    assert [found.id for found in received[0].segments] == [found.id for found in received[1].segments], (
        "they are tracked"
    )
    bench.wait_for(lambda: node.counts[""].answered == 2, "the counts")
    (first, second) = node.cameras[0].mailbox.timings
    assert first.pipeline_latency_ms is second.pipeline_latency_ms is None
    assert first.stamp == ("zero" if stamp == (0, 0) else "invalid")
    assert not latencies
    assert not infos


def test_camera_info_is_only_subscribed_to_while_its_output_is(bench, tiny_checkpoint):
    bench.active_node(checkpoint=str(tiny_checkpoint))
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    infos = bench.client.create_publisher(CameraInfo, "camera_info", 10)
    bench.wait_for(camera.get_subscription_count, "a subscription to the camera")
    assert infos.get_subscription_count() == 0
    bench.subscribe("panoptic/camera_info", CameraInfo)
    bench.wait_for(infos.get_subscription_count, "a subscription to the camera info")


def test_infos_from_before_a_time_without_subscribers_are_discarded(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    infos = bench.client.create_publisher(CameraInfo, "camera_info", 10)
    listener = bench.client.create_subscription(CameraInfo, "panoptic/camera_info", lambda _: None, 10)
    bench.wait_for(infos.get_subscription_count, "a subscription to the camera info")
    infos.publish(info(10, 1.0))
    bench.wait_for(lambda: node.cameras[0].infos, "the info")
    bench.client.destroy_subscription(listener)
    bench.wait_for(lambda: infos.get_subscription_count() == 0, "the node to leave the camera info")
    received = bench.subscribe("panoptic/camera_info", CameraInfo)
    bench.wait_for(infos.get_subscription_count, "a new subscription to the camera info")
    bench.send(camera, picture, stamp_ns=20)
    bench.wait_for(lambda: node.counts[""].answered == 1, "the answer")
    infos.publish(info(30, 2.0))
    bench.wait_for(lambda: node.cameras[0].infos, "the new info")
    bench.send(camera, picture, stamp_ns=30)
    bench.wait_for(lambda: received, "the new info, passed on")
    assert [(bench.stamp_ns(message), message.k[0]) for message in received] == [(30, 2.0)]


@pytest.fixture
def mask_file(tmp_path):
    """The path of a mask on the lower half of the picture."""
    mask = np.zeros((48, 64), np.uint8)
    mask[24:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return str(tmp_path / "mask.png")


def test_masked_pixels_are_void_in_every_output(bench, tiny_checkpoint, picture, mask_file):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), ego_mask=[mask_file])
    topics = ("semantic", "instance", "panoptic", "semantic_color", "instance_color", "rgb_visualization")
    received = {topic: bench.subscribe(f"panoptic/{topic}") for topic in topics}
    segmentations = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    bench.wait_for(lambda: len(node.cameras[0].subscribed_topics()) == len(received) + 1, "all subscriptions to match")
    bench.send(bench.camera(), picture, stamp_ns=1)
    bench.wait_for(lambda: segmentations and all(received.values()), "a message on every topic")
    expected = PanopticSegmenter(tiny_checkpoint, backend="auto")(picture)
    for topic, void in (("semantic", VOID), ("instance", 0), ("panoptic", 0)):
        message = received[topic][0]
        dtype = {"semantic": np.uint8, "instance": np.uint16, "panoptic": np.int32}[topic]
        pixels = np.frombuffer(message.data, dtype).reshape(48, 64)
        assert (pixels[24:] == void).all()
        assert (pixels[:24] != void).any()
    assert np.array_equal(np.frombuffer(received["semantic"][0].data, np.uint8)[: 24 * 64].reshape(24, 64),
                          expected.semantic_map[:24])  # fmt: skip
    assert not decode(received["semantic_color"][0])[24:].any()
    assert not decode(received["instance_color"][0])[24:].any()
    assert np.array_equal(decode(received["rgb_visualization"][0])[25:], picture[25:])
    segmentation = segmentations[0]
    segment_map = np.frombuffer(segmentation.segment_map.data, np.int32).reshape(48, 64)
    assert not segment_map[24:].any()
    for found in segmentation.segments:
        assert found.area_px == np.count_nonzero(segment_map == found.id) > 0
        assert found.box_xyxy_px[3] <= 24


def test_an_image_of_another_size_than_its_mask_fails(bench, tiny_checkpoint, picture, mask_file):
    """Of two cameras, only the second one has a mask."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=["front", "rear"], ego_mask=["", mask_file])
    small = np.ascontiguousarray(picture[:32])
    for name in ("front", "rear"):
        bench.subscribe(f"{name}/panoptic/semantic")
        bench.send(bench.camera(f"{name}/image_raw"), small, stamp_ns=1)
    bench.wait_for(lambda: node.counts["front"] == FrameCounts(received=1, answered=1), "the front's answer")
    bench.wait_for(lambda: node.counts["rear"] == FrameCounts(received=1, failed=1), "the rear's failure")
    error = node.cameras[1].mailbox.last_error
    assert error.startswith("ImageEncodingError: The image is 64x32 pixels, its ego_mask ")
    assert error.endswith("mask.png is 64x48. Make the mask as large as the camera's images.")


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (["/no/mask.png"], "The ego_mask /no/mask.png is not a file"),
        (["", ""], "2 paths for 3 cameras"),
    ],
)
def test_masks_that_configure_refuses(bench, tiny_checkpoint, masks, words):
    node = bench.node(checkpoint=str(tiny_checkpoint), cameras=["a", "b", "c"], ego_mask=masks)
    assert not node.start()
    assert words in node.last_error
    assert node.state == "unconfigured"
    node.destroy_node()


def test_ids_are_those_of_tracks(bench, tiny_checkpoint, picture):
    """An instance keeps its id, and gets a new one after some frames without it or after a jump of the stamps.

    Deactivating the node resets the ids.
    """
    node = bench.active_node(checkpoint=str(tiny_checkpoint), track_ids=True)
    received = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    camera = bench.camera()

    def ask(shift_s: int = 0) -> dict[int, tuple[str, tuple[int, ...]]]:
        number = len(received) + 1
        bench.send(camera, picture, stamp_ns=number + shift_s * 10**9)
        bench.wait_for(lambda: len(received) == number, "the answer")
        return {info.id: (info.label, tuple(info.box_xyxy_px)) for info in received[-1].segments if info.is_thing}

    first = ask()
    assert first
    assert ask() == first
    node.set_parameters([Parameter("score_threshold", value=1.0)])
    assert not any(ask() for _ in range(7))
    node.set_parameters([Parameter("score_threshold", value=-1.0)])
    later = ask()
    assert sorted(later.values()) == sorted(first.values())
    assert not set(later) & set(first)
    jumped = ask(shift_s=3600)
    assert sorted(jumped.values()) == sorted(first.values())
    assert not set(jumped) & set(later)
    assert not set(ask()) & set(jumped), "the stamps went back, as those of a bag in a loop"
    node.trigger_deactivate()
    node.trigger_activate()
    assert ask() == first


class Renumbering:
    """A segmenter that reverses the ids of its segments in every second call."""

    def __init__(self, segmenter: PanopticSegmenter) -> None:
        self._segmenter = segmenter
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def __call__(self, images: list[np.ndarray], **options: Any) -> list[PanopticPrediction]:
        self._calls += 1
        predictions = self._segmenter(images, **options)
        return predictions if self._calls % 2 else [self._renumbered(prediction) for prediction in predictions]

    @staticmethod
    def _renumbered(prediction: PanopticPrediction) -> PanopticPrediction:
        end = max(segment.id for segment in prediction.segments) + 1
        segment_map = np.where(prediction.segment_map, end - prediction.segment_map, 0).astype(np.int32)
        segments = [dataclasses.replace(segment, id=end - segment.id) for segment in reversed(prediction.segments)]
        return PanopticPrediction(segment_map, tuple(segments))


@pytest.mark.parametrize("track_ids", [True, False])
def test_tracked_ids_in_every_output(bench, tiny_checkpoint, picture, track_ids):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), track_ids=track_ids)
    node.pipeline.segmenter = Renumbering(node.segmenter)
    topics = ("instance", "panoptic", "instance_color", "rgb_visualization")
    received = {topic: bench.subscribe(f"panoptic/{topic}") for topic in topics}
    segmentations = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    camera = bench.camera()
    bench.wait_for(lambda: len(node.cameras[0].subscribed_topics()) == len(received) + 1, "all subscriptions to match")
    node.set_parameters([Parameter("visualization", value="detailed")])
    for number in (1, 2):
        bench.send(camera, picture, stamp_ns=number)
        bench.wait_for(lambda n=number: {len(m) for m in (*received.values(), segmentations)} == {n}, "the answers")
    for topic, (first, second) in received.items():
        assert (first.data == second.data) == track_ids, topic
    first, second = (
        {(found.id, found.label, tuple(found.box_xyxy_px)) for found in message.segments} for message in segmentations
    )
    assert (first == second) == track_ids
    assert (segmentations[0].segment_map.data == segmentations[1].segment_map.data) == track_ids
    instances = np.unique(np.frombuffer(received["instance"][0].data, np.uint16))
    assert {found.id for found in segmentations[0].segments if found.is_thing} == set(instances) - {0}


def test_ids_are_reset_after_a_time_without_subscribers(bench, tiny_checkpoint, picture):
    """Frames before and after a time without subscribers are not consecutive, whatever their stamps are."""
    bench.active_node(checkpoint=str(tiny_checkpoint), track_ids=True)
    camera = bench.camera()
    ids: list[set[int]] = []

    def note(message: Any) -> None:
        ids.append({segment.id for segment in message.segments if segment.is_thing})

    for stamps_s in ((1, 100), (101,)):
        listener = bench.client.create_subscription(PanopticSegmentation, "panoptic/segmentation", note, 10)
        for stamp_s in stamps_s:
            number = len(ids) + 1
            bench.send(camera, picture, stamp_ns=stamp_s * 10**9)
            bench.wait_for(lambda n=number: len(ids) == n, "the answer")
        bench.client.destroy_subscription(listener)
        bench.wait_for(lambda: camera.get_subscription_count() == 0, "the node to leave the camera")
    before, after_gap, after_pause = ids
    assert before
    assert before.isdisjoint(after_gap)
    assert after_pause == before


def test_only_the_subscribed_image_is_encoded(bench, tiny_checkpoint, picture):
    """A subscriber of the JPEG does not cause the raw image to be published as well."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/rgb_visualization/compressed", CompressedImage)
    bench.send(bench.camera(), picture, stamp_ns=1)
    bench.wait_for(lambda: received, "the picture")
    assert node.cameras[0].subscribed_topics() == ["rgb_visualization/compressed"]
    assert (bench.stamp_ns(received[0]), received[0].header.frame_id) == (1, "optical")
