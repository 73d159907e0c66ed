# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError
from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.postprocess import keep_classes, mask_out, read_ego_mask
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

NAN = float("nan")
ROAD = Segment(1, 0, "road", is_thing=False, score=NAN, area_px=4, box_xyxy_px=(0, 0, 4, 2))
CAR = Segment(2, 13, "car", is_thing=True, score=0.9, area_px=3, box_xyxy_px=(1, 0, 3, 2))
PERSON = Segment(3, 11, "person", is_thing=True, score=0.8, area_px=1, box_xyxy_px=(3, 1, 4, 2))
MAP = [[1, 2, 2, 1], [1, 1, 2, 3]]


@pytest.fixture
def prediction():
    return PanopticPrediction(np.array(MAP, np.int32), (ROAD, CAR, PERSON))


def test_keep_classes(prediction):
    kept = keep_classes(prediction, {"car", "person"})
    assert kept.segment_map.tolist() == [[0, 2, 2, 0], [0, 0, 2, 3]]
    assert kept.segments == (CAR, PERSON)
    assert kept.semantic_map.tolist() == [[VOID, 13, 13, VOID], [VOID, VOID, 13, 11]]
    assert prediction.segment_map.tolist() == MAP


def test_keep_classes_that_are_all_or_none_of_it(prediction):
    assert keep_classes(prediction, {"road", "car", "person", "sky"}) is prediction
    nothing = keep_classes(prediction, {"sky"})
    assert not nothing.segment_map.any()
    assert nothing.segments == ()
    assert keep_classes(nothing, {"sky"}) is nothing


def test_mask_out(prediction):
    is_void = np.array([[0, 1, 0, 0], [0, 0, 0, 1]], bool)
    left = mask_out(prediction, is_void)
    assert left.segment_map.tolist() == [[1, 0, 2, 1], [1, 1, 2, 0]]
    road, car = left.segments  # the person is gone
    assert road == ROAD
    assert (car.area_px, car.box_xyxy_px, car.score) == (2, (2, 0, 3, 2), 0.9)
    assert prediction.segment_map.tolist() == MAP


def test_mask_out_of_void_pixels(prediction):
    assert mask_out(prediction, np.zeros((2, 4), bool)) is prediction


def test_an_ego_mask_is_what_is_not_black(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[:, :, 3] = 255  # opaque
    pixels[0, 1] = 1, 0, 0, 255
    cv2.imwrite(str(tmp_path / "mask.png"), pixels)
    assert read_ego_mask(str(tmp_path / "mask.png")).is_ego.tolist() == [[False, True, False], [False] * 3]
    cv2.imwrite(str(tmp_path / "mask.png"), pixels[:, :, 0])
    mask = read_ego_mask(str(tmp_path / "mask.png"))
    assert mask.is_ego.tolist() == [[False, True, False], [False] * 3]
    mask.check_size(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ImageEncodingError, match=r"image is 30x20 pixels, its ego_mask .*mask\.png is 3x2\. Make"):
        mask.check_size(np.zeros((20, 30, 3), np.uint8))


def test_an_ego_mask_that_cannot_be_read(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would block
    names = [str(tmp_path / name) for name in ("none.png", "text.png", "empty.png", "pipe.png", "x" * 300)]
    for name in [*names, "~no_such_user/mask.png", "null\0.png", str(tmp_path)]:
        with pytest.raises(ConfigError, match=r"The ego_mask .* is not a file that contains an image; expected a PNG"):
            read_ego_mask(name)


def test_an_ego_mask_whose_name_is_not_utf_8(tmp_path):
    pixels = np.full((2, 3), 255, np.uint8)
    file = tmp_path / os.fsdecode(b"mask\xff.png")
    file.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert read_ego_mask(file).is_ego.all()
