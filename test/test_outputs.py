# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of outputs: every row makes an image of its encoding, and is documented."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from support.paths import ROOT

from opendr_panoptic_ros.codec.image import decode, encode
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable, moving_classes
from opendr_panoptic_ros.outputs import (
    CAMERA_INFOS,
    COMPRESSED,
    LABEL_INFO,
    LISTS,
    OUTPUTS,
    SEGMENTATION,
    VISUALIZATION,
    RenderContext,
    bytes_per_px,
    need_confidence,
)
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
    probability = np.full((8, 12), 128, np.uint8)
    return RenderContext(image, PanopticPrediction(segment_map, segments, CITYSCAPES, stuff_probability=probability))


@pytest.mark.parametrize("topic", OUTPUTS)
def test_the_pixels_fit_the_encoding(topic: str, context: RenderContext) -> None:
    output = OUTPUTS[topic]
    fields = encode(output.pixels(context), output.encoding)
    assert (fields.height, fields.width, fields.encoding) == (8, 12, output.encoding)
    # People need colours that every viewer shows.
    assert (output.encoding == "rgb8") == (output.audience == "people")


def test_the_visualization_is_drawn_once(context: RenderContext) -> None:
    output = OUTPUTS[VISUALIZATION]
    assert output.compressed
    assert output.pixels(context) is output.pixels(context)
    assert decode(encode(output.pixels(context), "rgb8")).shape == (8, 12, 3)


def test_mask_confidence_and_packed_on_paper(context: RenderContext) -> None:
    """Road in rows 0 to 3, a car below on the left, the rest void."""
    void, road, car = (4, 0), (0, 0), (5, 0)
    at = {topic: OUTPUTS[topic].pixels(context) for topic in ("mask", "confidence", "packed")}
    assert [at["mask"][p] for p in (void, road, car)] == [0, 0, 255]
    assert [at["confidence"][p] for p in (void, road, car)] == [0, 128, 230]  # 0.9 · 255 = 229.5, to even
    assert [at["packed"][p] for p in (void, road, car)] == [-1, 0, 13 * 65536 + 2]
    chosen = dataclasses.replace(context, mask_classes=["road"])
    assert [OUTPUTS["mask"].pixels(chosen)[p] for p in (void, road, car)] == [0, 255, 0]
    nothing = dataclasses.replace(context, mask_classes=[])
    assert not OUTPUTS["mask"].pixels(nothing).any()


def test_confidence_has_to_be_requested(context: RenderContext) -> None:
    assert need_confidence(["semantic", "confidence", "segmentation"])
    assert not need_confidence(["semantic", "mask", "segmentation"])
    without = dataclasses.replace(context.prediction, stuff_probability=None)
    with pytest.raises(PanopticError, match="with_confidence=True"):
        OUTPUTS["confidence"].pixels(dataclasses.replace(context, prediction=without))
    with pytest.raises(ValueError, match=r"stuff_probability is uint8 of shape \(2, 2\); expected uint8 of shape"):
        dataclasses.replace(context.prediction, stuff_probability=np.zeros((2, 2), np.uint8))


def test_the_classes_that_move() -> None:
    assert moving_classes(CITYSCAPES) == CITYSCAPES.names[11:]
    assert moving_classes(ClassTable.from_dict({"names": ["floor", "chair", "person"], "num_stuff": 1})) == ("person",)
    assert moving_classes(ClassTable.unnamed(1, 2)) == ("thing 1", "thing 2")


def documented(page: str) -> set[str]:
    """Return the topics below `panoptic/` in the tables of a page of docs/."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    rows = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return {topic for row in rows for topic in re.findall(r"`[^`]*panoptic/([\w/]+)`", row)}


@pytest.mark.parametrize("topic", [*OUTPUTS, *COMPRESSED, SEGMENTATION, *LISTS, *CAMERA_INFOS, LABEL_INFO])
def test_every_output_is_documented(topic: str) -> None:
    assert topic in documented("topics.md")
    if topic in {*OUTPUTS, *LISTS, SEGMENTATION}:
        assert topic in documented("bags.md")


def test_the_documented_size_of_all_outputs_is_that_of_their_messages(context: RenderContext) -> None:
    images = [encode(output.pixels(context), output.encoding) for output in OUTPUTS.values()]
    images.append(encode(context.prediction.segment_map, "32SC1"))
    assert sum(image.data.nbytes for image in images) == bytes_per_px() * context.prediction.segment_map.size
    assert f"all outputs together {bytes_per_px()})" in (ROOT / "docs" / "operate.md").read_text("utf-8")
