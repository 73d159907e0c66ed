# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The report about a dataset: counts that can be checked by hand, and its warnings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.training.inspection import inspect_dataset, picture_of_truth

pytestmark = pytest.mark.train
ROAD, SKY, PERSON, CAR = 0, 10, 11, 13


def config_of(**test: Any) -> Config:
    config = Config.load("demo")  # its smallest anchor has 16 x 16 px
    return dataclasses.replace(config, test=dataclasses.replace(config.test, **test))


def pair(cars: int) -> tuple[Image, PanopticAnnotation]:
    """64 × 128 pixels: sky above, road below, a quarter of void; one car of 20 × 20, others of 4 × 4; a crowd."""
    ids = np.full((64, 128), 1, np.int32)
    ids[:16] = 2
    ids[48:, :] = 0
    class_ids = {1: ROAD, 2: SKY, 3: PERSON}
    ids[40:48, 100:110] = 3
    for number in range(cars):
        side = 20 if number == 0 else 4
        ids[20 : 20 + side, 25 * number : 25 * number + side] = 4 + number
        class_ids[4 + number] = CAR
    annotation = PanopticAnnotation.from_map(ids, class_ids, CITYSCAPES, crowd_ids=frozenset({3}))
    return Image(np.full((3, 64, 128), 120, np.uint8)), annotation


def test_counts_by_hand():
    report = inspect_dataset([pair(3), pair(0)], config_of(long_side_px=128, short_side_px=64, min_stuff_area=3000))
    assert (report.images, report.sizes, report.network_sizes) == (2, {"128x64": 2}, {"128x64": 2})
    assert report.void_share == 0.25
    assert report.without_things == 1
    car, person = report.classes["car"], report.classes["person"]
    assert (car.images, car.segments, car.pixels, car.too_small) == (1, 3, 400 + 2 * 16, 2)
    assert car.median_side_px == 4
    assert (person.images, person.segments, person.crowds) == (2, 0, 2)
    # 2048 px of sky are fewer than min_stuff_area; the road has 4096 - 80 - 432 and 4096 - 80.
    assert [report.classes[name].too_small for name in ("sky", "road")] == [2, 0]
    warnings = " ".join(report.warnings)
    assert "do not occur and cannot be learnt: sidewalk, building" in warnings
    assert "in crowd regions only and cannot be learnt: person" in warnings
    assert "too small for the network: sky (100 %), car (67 %)" in warnings
    assert json.loads(json.dumps(report.to_dict()))["classes"]["car"]["segments"] == 3


def test_sizes_are_those_of_the_network():
    report = inspect_dataset([pair(2)], config_of(long_side_px=512, short_side_px=256, min_stuff_area=0))
    assert report.network_sizes == {"512x256": 1}
    assert report.classes["car"].too_small == 0, "4 px are 16 px there"
    assert "1 images are enlarged by more than 1.5" in " ".join(report.warnings)


def test_images_without_instances_and_with_much_void_are_reported():
    ids = np.zeros((64, 128), np.int32)
    ids[:8] = 1
    empty = PanopticAnnotation.from_map(ids, {1: SKY}, CITYSCAPES)
    report = inspect_dataset([(Image(np.zeros((3, 64, 128), np.uint8)), empty)], config_of())
    assert "88 % of the pixels have no class, up to 88 % in 0." in " ".join(report.warnings)
    assert "No image has an instance" in " ".join(report.warnings)


def test_the_picture_shows_each_image_once():
    config = config_of(long_side_px=128, short_side_px=64)
    data = dataclasses.replace(config.data, crop_width_px=128, crop_height_px=64)
    picture = picture_of_truth([pair(3), pair(0)], dataclasses.replace(config, data=data), count=12)
    tile_height = 64 * 480 // 128
    assert picture.shape == (12 + tile_height + 30 + 12, 2 * (480 + 12) + 12, 3)
    assert len(np.unique(cv2.resize(picture, (64, 32)).reshape(-1, 3), axis=0)) > 20
