# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""FramePipeline on a tiny network: batches, failures, filter, ego mask and tracking."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from support.tiny_network import tiny_network

from opendr_panoptic_ros.config import Thresholds
from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.postprocess import EgoMask, check_class_names
from opendr_panoptic_ros.prediction import PanopticPrediction


@pytest.fixture(scope="module")
def segmenter() -> PanopticSegmenter:
    return PanopticSegmenter(tiny_network(), device="cpu")


def noise(seed: int, height: int = 64, width: int = 128) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def is_equal(one: PanopticPrediction | None, other: PanopticPrediction | None) -> bool:
    assert one is not None
    assert other is not None
    return np.array_equal(one.panoptic_ids, other.panoptic_ids) and len(one.segments) == len(other.segments)


def test_results_are_in_the_order_of_the_frames(segmenter: PanopticSegmenter) -> None:
    images = [noise(0), noise(1, 48, 96), noise(2), noise(3, 48, 96), noise(4)]
    for max_batch in (None, 1, 2):
        results = FramePipeline(segmenter, max_batch=max_batch).process([Frame(image) for image in images])
        assert [result.frame.image_rgb is image for result, image in zip(results, images, strict=True)] == [True] * 5
        assert [result.error or result.batch_error for result in results] == [None] * 5
        for result, image in zip(results, images, strict=True):
            assert is_equal(result.prediction, segmenter(image))
    assert FramePipeline(segmenter).process([]) == []


def test_a_frame_fails_alone(segmenter: PanopticSegmenter) -> None:
    wrong: NDArray[np.uint8] = noise(1).astype(np.float32)
    images = [noise(0), wrong, noise(2), noise(3, 48, 96)]
    results = FramePipeline(segmenter).process([Frame(image) for image in images])
    assert [type(result.error) for result in results] == [type(None), TypeError, type(None), type(None)]
    assert [type(result.batch_error) for result in results] == [TypeError, TypeError, TypeError, type(None)]
    assert results[1].prediction is None
    for index in (0, 2, 3):
        assert is_equal(results[index].prediction, segmenter(images[index]))
    (alone,) = FramePipeline(segmenter).process([Frame(wrong)])
    assert isinstance(alone.error, TypeError)
    assert alone.batch_error is None


def test_a_failed_frame_does_not_hold_its_memory(segmenter: PanopticSegmenter) -> None:
    wrong: NDArray[np.uint8] = noise(1).astype(np.float32)
    (result,) = FramePipeline(segmenter).process([Frame(wrong)])
    assert result.error is not None
    traceback, depth = result.error.__traceback__, 0
    while traceback is not None:
        assert "images" not in traceback.tb_frame.f_locals
        traceback, depth = traceback.tb_next, depth + 1
    assert depth > 1


def test_class_filter_and_thresholds(segmenter: PanopticSegmenter) -> None:
    pipeline, frame = FramePipeline(segmenter), Frame(noise(0))
    prediction = segmenter(frame.image_rgb)
    name = prediction.segments[0].label
    (result,) = pipeline.process([frame], keep_classes={name})
    assert result.prediction is not None
    assert {segment.label for segment in result.prediction.segments} == {name}
    assert len({segment.label for segment in prediction.segments}) > 1
    assert any(segment.is_thing for segment in prediction.segments)
    (result,) = pipeline.process([frame], thresholds=Thresholds(score_threshold=1.0))
    assert result.prediction is not None
    assert not any(segment.is_thing for segment in result.prediction.segments)
    (result,) = pipeline.process([frame])
    assert is_equal(result.prediction, prediction)


def test_class_names_are_checked(segmenter: PanopticSegmenter) -> None:
    names = segmenter.config.classes.names
    check_class_names(names[:2], names)
    with pytest.raises(ConfigError, match=r"classes has 'boat', 'cat'; expected some of road, sidewalk"):
        check_class_names(["cat", names[0], "boat"], names)


def test_each_camera_has_its_ego_mask(segmenter: PanopticSegmenter) -> None:
    is_ego = np.zeros((64, 128), bool)
    is_ego[40:] = True
    pipeline = FramePipeline(segmenter, ego_masks={"front": EgoMask(is_ego, "mask.png")})
    image = noise(0)
    masked, whole, other_size = pipeline.process(
        [Frame(image, "front"), Frame(image, "rear"), Frame(noise(1, 48, 96), "front")]
    )
    (beside,) = pipeline.process([Frame(noise(1, 48, 96), "rear"), Frame(noise(1, 48, 96), "front")])[:1]
    assert beside.prediction is not None
    assert beside.batch_error is None, "a wrong size must not break the batch of the others"
    assert masked.prediction is not None
    assert not masked.prediction.segment_map[40:].any()
    assert masked.prediction.segment_map[:40].any()
    assert is_equal(whole.prediction, segmenter(image))
    assert isinstance(other_size.error, ImageEncodingError)
    assert other_size.batch_error is None


def instance_ids(prediction: PanopticPrediction | None) -> list[int]:
    assert prediction is not None
    return sorted(segment.id for segment in prediction.segments if segment.is_thing)


def test_each_camera_is_tracked_by_itself(segmenter: PanopticSegmenter) -> None:
    pipeline = FramePipeline(segmenter, track_ids=True)
    image = noise(0)
    first, second, other = pipeline.process(
        [Frame(image, "front", 1.0), Frame(image, "front", 1.1), Frame(image, "rear", 50.0)]
    )
    ids = instance_ids(first.prediction)
    assert ids
    assert instance_ids(second.prediction) == ids
    assert instance_ids(other.prediction) == ids
    (after_gap,) = pipeline.process([Frame(image, "front", 20.0)])
    assert set(instance_ids(after_gap.prediction)).isdisjoint(ids)
    pipeline.reset_tracking("front")
    pipeline.reset_tracking("unknown")
    (reset,) = pipeline.process([Frame(image, "front", 20.1)])
    assert instance_ids(reset.prediction) == ids


def test_confidence_follows_the_segments(segmenter: PanopticSegmenter) -> None:
    """Filter, ego mask and tracking change segments; the confidence is that of what remains."""
    image, is_ego = noise(0), np.zeros((64, 128), bool)
    is_ego[40:] = True
    plain = segmenter(image)
    assert plain.stuff_probability is None
    whole = segmenter(image, with_confidence=True)
    kept = {segment.label for segment in whole.segments[::2]}
    pipeline = FramePipeline(segmenter, ego_masks={"": EgoMask(is_ego, "mask.png")}, track_ids=True)
    (result,) = pipeline.process([Frame(image)], keep_classes=kept, with_confidence=True)
    assert is_equal(whole, plain)
    assert result.prediction is not None
    is_kept = result.prediction.segment_map > 0
    assert is_kept.any()
    assert not is_kept.all()
    assert (whole.confidence_map[whole.segment_map > 0] > 0).any()
    np.testing.assert_array_equal(result.prediction.confidence_map, np.where(is_kept, whole.confidence_map, 0))
