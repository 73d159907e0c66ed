# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Views of an image are brought back to the view of scale 1 exactly, and merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.multi_view import MultiViewSegmenter, detections_in, merged_detections, resampled_logits
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes


@pytest.fixture(scope="module")
def segmenter() -> PanopticSegmenter:
    return PanopticSegmenter("demo", device="cpu", backend="torch", inference_size=256)


def several_views(**views: Any) -> MultiViewSegmenter:
    return MultiViewSegmenter("demo", device="cpu", backend="torch", inference_size=256, **views)


def detections(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Detections:
    masks = torch.arange(28.0).expand(len(boxes), 28, 28)  # rises to the right
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores),
        torch.tensor(labels).long(),
        masks,
    )


def test_one_view_equals_the_segmenter(segmenter):
    pixels, _ = SyntheticScenes([5], height=128, width=256).sample(0)
    expected, found = segmenter(pixels), several_views()(pixels)
    assert np.array_equal(found.segment_map, expected.segment_map)
    assert found.segments == expected.segments


def test_more_views_agree_with_one_on_most_pixels_and_keep_the_size(segmenter):
    pixels, truth = SyntheticScenes([5], height=120, width=250).sample(0)
    assert truth is not None
    views = several_views(scales=(0.75, 1.0, 1.25), flip=True)
    one, several = segmenter(pixels), views([pixels, pixels], with_confidence=True)
    assert several[0].shape == (120, 250)
    assert np.array_equal(several[0].segment_map, several[1].segment_map)
    assert several[0].confidence_map.max() > 128
    assert (several[0].semantic_map == one.semantic_map).mean() > 0.8
    # A mirrored image gives the mirrored map, apart from rounding: the views are the same ones.
    mirrored = views(np.ascontiguousarray(pixels[:, ::-1]))
    assert (mirrored.semantic_map[:, ::-1] == several[0].semantic_map).mean() > 0.97


def ramp(height: int, width: int) -> torch.Tensor:
    """Logits at the stride 4: the place of each cell's centre in the image, as fractions of width and height."""
    rows, columns = (torch.arange(n) * 4 + 2.0 for n in (-(-height // 32) * 8, -(-width // 32) * 8))
    return torch.stack(torch.broadcast_tensors(columns[None] / width, rows[:, None] / height))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(60, 100), (90, 150), (120, 200), (121, 199)])
def test_logits_of_every_size_are_at_the_same_places(size, mirrored):
    base = (60, 100)
    found = resampled_logits(ramp(*size), size, base, mirrored=mirrored)
    expected = ramp(*base)[:, : 60 // 4, : 100 // 4]
    if mirrored:
        expected = torch.stack((1 - expected[0], expected[1]))
    inside = (slice(None), slice(1, -1), slice(1, -1))  # beyond the centres of the first and last cell values are kept
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-4, rtol=1e-4)


def test_boxes_of_a_mirrored_view_of_twice_the_size_by_hand():
    """In a view of 200 x 100 px, columns 20 to 39; mirrored these are 160 to 179, and at half the size 80 to 89."""
    found = detections_in((50, 100), detections([[20, 10, 39, 29]], [0.9], [0]), (100, 200), mirrored=True)
    assert found.boxes.tolist() == [[80, 5, 89, 14]]
    assert found.mask_logits[0, 0].tolist() == list(range(27, -1, -1))
    kept = detections_in((50, 100), detections([[20, 10, 39, 29]], [0.9], [0]), (50, 100), mirrored=False)
    assert kept.boxes.tolist() == [[20, 10, 39, 29]]


def test_the_best_of_equal_detections_remains():
    first = detections([[0, 0, 9, 9], [50, 50, 59, 59]], [0.6, 0.7], [0, 1])
    second = detections([[0, 0, 9, 8], [50, 50, 59, 59]], [0.8, 0.5], [0, 0])
    test = Config.load("demo").test
    merged = merged_detections([first, second], test)
    assert merged.scores.tolist() == pytest.approx([0.8, 0.7, 0.5]), "another class is another object"
    assert merged.labels.tolist() == [0, 1, 0]
    none = detections([], [], [])
    assert len(merged_detections([none, none], test).boxes) == 0


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("nan"),), (9.0,)])
def test_scales_that_cannot_be_used(scales):
    with pytest.raises(ConfigError, match="expected one or more numbers above 0, at most 4"):
        several_views(scales=scales)
