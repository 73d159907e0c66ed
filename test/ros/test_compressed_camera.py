# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node on a camera that publishes compressed images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.inference import PanopticSegmenter

pytestmark = pytest.mark.ros
sensor_msgs = pytest.importorskip("sensor_msgs.msg")
pytest.importorskip("rclpy")
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402


def message(pixels: np.ndarray, extension: str = ".png"):
    """Return a compressed image message; colours in OpenCV's order, BGR."""
    compressed = sensor_msgs.CompressedImage()
    compressed.data.frombytes(cv2.imencode(extension, pixels)[1].data)
    return compressed


def send(bench, camera, compressed, *, stamp_ns):
    bench.wait_for(camera.get_subscription_count, "a subscription to the camera")
    compressed.header.stamp.sec, compressed.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    camera.publish(compressed)


def test_a_compressed_camera(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), image_transport="compressed")
    received = bench.subscribe("panoptic/panoptic")
    camera = bench.client.create_publisher(sensor_msgs.CompressedImage, "image_raw/compressed", 10)
    bgr = picture[:, :, ::-1].copy()
    broken = message(bgr, ".jpg")
    del broken.data[2000:]
    send(bench, camera, message(bgr), stamp_ns=1)
    bench.wait_for(lambda: node.counts[""].answered == 1, "the PNG's answer")
    send(bench, camera, broken, stamp_ns=2)
    bench.wait_for(lambda: node.counts[""].failed == 1, "the broken JPEG to be counted")
    assert node.cameras[0].mailbox.last_error.startswith("ImageEncodingError: The compressed image (2000 bytes")
    send(bench, camera, message(bgr, ".jpg"), stamp_ns=3)
    bench.wait_for(lambda: len(received) == 2, "the JPEG's answer")
    bench.wait_for(lambda: node.counts[""] == FrameCounts(received=3, answered=2, failed=1), "the counts")
    assert [bench.stamp_ns(answer) for answer in received] == [1, 3]
    got = np.frombuffer(received[0].data, np.int32).reshape(picture.shape[:2])
    assert np.array_equal(got, PanopticSegmenter(tiny_checkpoint, backend="auto")(picture).panoptic_ids)


def test_images_above_the_limit_are_refused(bench, tiny_checkpoint, picture):
    height, width = picture.shape[:2]
    limits = ["--ros-args", "-p", f"max_image_pixels:={height * width}"]
    node = bench.active_node(checkpoint=str(tiny_checkpoint), image_transport="compressed", cli_args=limits)
    received = bench.subscribe("panoptic/panoptic")
    camera = bench.client.create_publisher(sensor_msgs.CompressedImage, "image_raw/compressed", 10)
    send(bench, camera, message(np.zeros((height + 1, width, 3), np.uint8)), stamp_ns=1)
    bench.wait_for(lambda: node.counts[""].failed == 1, "the large image to be counted")
    expected = f"it has {width}x{height + 1} pixels, and the limit is {height * width} pixels"
    assert expected in node.cameras[0].mailbox.last_error
    send(bench, camera, message(picture[:, :, ::-1].copy()), stamp_ns=2)
    bench.wait_for(lambda: received, "the answer")
    assert bench.stamp_ns(received[0]) == 2


def test_remapping_the_image_applies_to_both_sides(bench, tiny_checkpoint, picture):
    remap = ["--ros-args", "-r", "image_raw:=/robot/eye/image", "-r", "panoptic/rgb_visualization:=/people/picture"]
    bench.active_node(checkpoint=str(tiny_checkpoint), image_transport="compressed", cli_args=remap)
    received = bench.subscribe("/people/picture/compressed", sensor_msgs.CompressedImage)
    camera = bench.client.create_publisher(sensor_msgs.CompressedImage, "/robot/eye/image/compressed", 10)
    send(bench, camera, message(picture[:, :, ::-1].copy()), stamp_ns=1)
    bench.wait_for(lambda: received, "the picture")
    assert bench.stamp_ns(received[0]) == 1
    assert decode_compressed(received[0]).shape == picture.shape
