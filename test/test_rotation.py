# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Images of cameras that are mounted sideways: turned for the network, and the results turned back."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny_network import tiny_network

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.postprocess import EgoMask
from opendr_panoptic_ros.rotation import rotated, rotated_prediction, rotations_of

# A 2x3 image and what a viewer shows after turning it clockwise.
TURNED = {
    0: [[1, 2, 3], [4, 5, 6]],
    90: [[4, 1], [5, 2], [6, 3]],
    180: [[6, 5, 4], [3, 2, 1]],
    270: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("degrees", TURNED)
def test_an_image_of_six_pixels(degrees):
    image = np.array(TURNED[0], np.uint8)
    assert rotated(image, degrees).tolist() == TURNED[degrees]
    colors = np.dstack([image, image + 10, image + 20])
    turned = rotated(colors, degrees)
    assert turned.flags.c_contiguous
    assert turned[:, :, 1].tolist() == (np.array(TURNED[degrees]) + 10).tolist()


@pytest.mark.parametrize("degrees", TURNED)
def test_maps_and_boxes_of_a_prediction(degrees):
    segment_map = np.array([[1, 1, 2], [0, 2, 2]], np.int32)
    prediction = PanopticAnnotation.from_map(segment_map, {1: 0, 2: 13}, CITYSCAPES)
    turned = rotated_prediction(prediction, degrees)
    expected = PanopticAnnotation.from_map(rotated_map(segment_map, degrees), {1: 0, 2: 13}, CITYSCAPES)
    assert turned.segment_map.tolist() == expected.segment_map.tolist()
    boxes = {
        0: [(0, 0, 2, 1), (1, 0, 3, 2)],
        90: [(1, 0, 2, 2), (0, 1, 2, 3)],
        180: [(1, 1, 3, 2), (0, 0, 2, 2)],
        270: [(0, 1, 1, 3), (0, 0, 2, 2)],
    }[degrees]
    assert [segment.box_xyxy_px for segment in turned.segments] == boxes
    assert [segment.box_xyxy_px for segment in expected.segments] == boxes
    assert [segment.area_px for segment in turned.segments] == [2, 3]
    back = rotated_prediction(turned, -degrees % 360)
    assert back.segments[0] == prediction.segments[0]
    assert np.array_equal(back.segment_map, segment_map)


def rotated_map(segment_map: np.ndarray, degrees: int) -> np.ndarray:
    for _ in range(degrees // 90):
        segment_map = segment_map.T[:, ::-1]
    return np.ascontiguousarray(segment_map)


@pytest.fixture(scope="module")
def segmenter() -> PanopticSegmenter:
    return PanopticSegmenter(tiny_network(), device="cpu")


@pytest.mark.parametrize("degrees", TURNED)
def test_the_pipeline_is_the_same_as_turning_by_hand(segmenter, degrees):
    upright = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    by_hand = segmenter([upright], with_confidence=True)[0]
    sensor = rotated(upright, -degrees % 360)
    is_ego = np.zeros(sensor.shape[:2], bool)
    is_ego[:5, :9] = True
    pipeline = FramePipeline(segmenter, rotations={"side": degrees})
    side, plain = pipeline.process([Frame(sensor, "side"), Frame(upright, "front")], with_confidence=True)
    assert side.prediction is not None
    assert plain.prediction is not None
    assert side.frame.image_rgb is sensor
    assert side.prediction.shape == sensor.shape[:2]
    assert np.array_equal(side.prediction.segment_map, rotated_map(by_hand.segment_map, -degrees % 360))
    assert np.array_equal(side.prediction.confidence_map, rotated_map(by_hand.confidence_map, -degrees % 360))
    for segment in side.prediction.segments:
        rows, columns = np.nonzero(side.prediction.segment_map == segment.id)
        assert segment.box_xyxy_px == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.array_equal(plain.prediction.segment_map, by_hand.segment_map)

    masked = FramePipeline(
        segmenter, rotations={"masked": degrees}, ego_masks={"masked": EgoMask(is_ego, "mask.png")}
    ).process([Frame(sensor, "masked")])[0]
    assert masked.prediction is not None
    assert not masked.prediction.segment_map[:5, :9].any()
    assert np.array_equal(masked.prediction.segment_map[5:], side.prediction.segment_map[5:])


def test_rotations_of_cameras():
    assert rotations_of([], ["a", "b"], "image_rotation") == {}
    assert rotations_of([90], ["a", "b"], "image_rotation") == {"a": 90, "b": 90}
    assert rotations_of([0, 270], ["a", "b"], "image_rotation") == {"b": 270}
    with pytest.raises(ConfigError, match="image_rotation is 45; expected one of 0, 90, 180, 270"):
        rotations_of([45], ["a"], "image_rotation")
    with pytest.raises(ConfigError, match="image_rotation has 3 values for 2 cameras; expected one, or one for each"):
        rotations_of([0, 0, 0], ["a", "b"], "image_rotation")
