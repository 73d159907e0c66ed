# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of outputs: every row makes an image of its encoding, and is documented."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.paths import ROOT

from opendr_panoptic_ros.codec.image import decode, encode
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.outputs import CAMERA_INFO, COMPRESSED, LABEL_INFO, OUTPUTS, SEGMENTATION, RenderContext
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


@pytest.fixture
def context() -> RenderContext:
    segment_map = np.zeros((8, 12), np.int32)
    segment_map[:4], segment_map[5:, :6] = 1, 2
    segments = (
        Segment(1, 0, "road", False, float("nan"), 48, (0, 0, 12, 4)),
        Segment(2, 13, "car", True, 0.9, 18, (0, 5, 6, 8)),
    )
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return RenderContext(image, PanopticPrediction(segment_map, segments, CITYSCAPES))


@pytest.mark.parametrize("topic", OUTPUTS)
def test_the_pixels_fit_the_encoding(topic: str, context: RenderContext) -> None:
    output = OUTPUTS[topic]
    fields = encode(output.pixels(context), output.encoding)
    assert (fields.height, fields.width, fields.encoding) == (8, 12, output.encoding)
    # People need colours that every viewer shows.
    assert (output.encoding == "rgb8") == (output.audience == "people")


def test_the_visualization_is_drawn_once(context: RenderContext) -> None:
    (topic,) = COMPRESSED.values()
    assert OUTPUTS[topic].pixels(context) is OUTPUTS[topic].pixels(context)
    assert decode(encode(OUTPUTS[topic].pixels(context), "rgb8")).shape == (8, 12, 3)


def documented(page: str) -> set[str]:
    """Return the topics below `panoptic/` in the tables of a page of docs/."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    rows = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return {topic for row in rows for topic in re.findall(r"`[^`]*panoptic/([\w/]+)`", row)}


@pytest.mark.parametrize("topic", [*OUTPUTS, *COMPRESSED, SEGMENTATION, CAMERA_INFO, LABEL_INFO])
def test_every_output_is_documented(topic: str) -> None:
    assert topic in documented("topics.md")
    if topic in {*OUTPUTS, SEGMENTATION}:
        assert topic in documented("bags.md")
