# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Outputs for cost maps and mappers over DDS: mask, confidence, packed ids, and the camera info beside the mask."""

from __future__ import annotations

import numpy as np
import pytest
from support.bags import pixels

from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.label_map import LabelMap

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402

TOPICS = ("mask", "confidence", "packed")


def test_mask_confidence_and_packed(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = {topic: bench.subscribe(f"panoptic/{topic}") for topic in TOPICS}
    camera = bench.camera()
    bench.send(camera, picture, stamp_ns=7)
    bench.wait_for(lambda: all(received.values()), "the three images")
    expected = PanopticSegmenter(tiny_checkpoint, backend="auto")(picture, with_confidence=True)
    moving = {segment.label for segment in expected.segments if segment.is_thing}
    assert moving
    maps = {"mask": expected.class_mask(moving), "confidence": expected.confidence_map, "packed": expected.packed_map}
    for topic, (message,) in received.items():
        assert (bench.stamp_ns(message), message.header.frame_id) == (7, "optical")
        assert message.encoding == ("32SC1" if topic == "packed" else "mono8")
        np.testing.assert_array_equal(pixels(message), maps[topic])

    stuff = next(segment.label for segment in expected.segments if not segment.is_thing)
    (result,) = node.set_parameters([Parameter("mask_classes", value=[stuff])])
    assert result.successful
    (result,) = node.set_parameters([Parameter("mask_classes", value=["boat"])])
    assert result.reason.startswith("mask_classes has 'boat'; expected some of road, sidewalk")
    bench.send(camera, picture, stamp_ns=8)
    bench.wait_for(lambda: len(received["mask"]) == 2, "the mask of the other class")
    np.testing.assert_array_equal(pixels(received["mask"][1]), expected.class_mask({stuff}))


def test_the_camera_info_beside_the_mask(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    masks, infos = bench.subscribe("panoptic/mask"), bench.subscribe("panoptic/mask/camera_info", CameraInfo)
    camera, info_publisher = bench.camera(), bench.client.create_publisher(CameraInfo, "camera_info", 10)
    bench.wait_for(info_publisher.get_subscription_count, "a subscription to the camera info")
    info = CameraInfo(width=64, height=48)
    info.header.stamp.nanosec = 5
    info_publisher.publish(info)
    bench.wait_for(lambda: len(node.cameras[0].infos), "the camera info to be stored")
    bench.send(camera, picture, stamp_ns=7)
    bench.wait_for(lambda: masks and infos, "mask and camera info")
    assert infos[0].header == masks[0].header
    assert (infos[0].width, infos[0].height) == (64, 48)


def test_label_map(bench, tiny_checkpoint, picture):
    node = bench.node(checkpoint=str(tiny_checkpoint), label_map="navigator")
    assert not node.start()
    assert "There is no file navigator for the label map" in node.last_error
    (result,) = node.set_parameters([Parameter("label_map", value="navigation")])
    assert result.successful
    bench.spin_after_start(node)
    received = {topic: bench.subscribe(f"panoptic/{topic}") for topic in ("semantic", "mask", "packed")}
    segmentations = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    bench.send(bench.camera(), picture, stamp_ns=7)
    bench.wait_for(lambda: segmentations and all(received.values()), "the outputs")
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto")
    label_map = LabelMap.load("navigation", segmenter.config.classes)
    expected = label_map.apply(segmenter(picture))
    np.testing.assert_array_equal(pixels(received["semantic"][0]), expected.semantic_map)
    np.testing.assert_array_equal(pixels(received["packed"][0]), expected.packed_map)
    moving = expected.class_mask(label_map.moving_classes)
    assert moving.any()
    np.testing.assert_array_equal(pixels(received["mask"][0]), moving)
    segments = {(segment.class_id, segment.label) for segment in segmentations[0].segments}
    assert segments <= set(zip(label_map.classes.ids, label_map.classes.names, strict=True))
    (result,) = node.set_parameters([Parameter("classes", value=["car"])])
    assert result.reason.startswith("classes has 'car'; expected some of free, sidewalk")
    (result,) = node.set_parameters([Parameter("classes", value=["vehicle"])])
    assert result.successful
