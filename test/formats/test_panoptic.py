# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from opendr_panoptic_ros.formats.panoptic import (
    decode_mask,
    encode_mask,
    ids_to_rgb,
    instance_annotations,
    known_ids,
    rgb_to_ids,
    segments_info,
    semantic_map,
)
from opendr_panoptic_ros.labels import CITYSCAPES


def test_ids_in_colours():
    ids = np.array([[0, 1, 255], [256, 65536 + 2 * 256 + 3, 2**24 - 1]], np.int32)
    rgb = ids_to_rgb(ids)
    assert rgb.tolist() == [[[0, 0, 0], [1, 0, 0], [255, 0, 0]], [[0, 1, 0], [3, 2, 1], [255, 255, 255]]]
    np.testing.assert_array_equal(rgb_to_ids(rgb), ids)


def test_known_ids():
    """Void classes, ignored things (29: caravan) and unknown ids become 0; stuff has no instance numbers."""
    ids = np.array([[0, 4, 7, 7003, 24, 24000, 26999, 29, 29001, 34, 255]])
    assert known_ids(ids, CITYSCAPES).tolist() == [[0, 0, 7, 7, 24, 24000, 26999, 0, 0, 0, 0]]


def test_semantic_map():
    ids = np.array([[0, 7, 33, 24, 24000, 33999]], np.int32)
    assert semantic_map(ids, CITYSCAPES).tolist() == [[255, 0, 18, 11, 11, 18]]


def test_segments_of_a_map():
    """Boxes are x, y, width, height; the car is in two pieces; 24 without a number is a crowd."""
    ids = np.array([[7, 7, 26003, 24], [0, 7, 7, 24], [0, 7, 26003, 26003]], np.int32)
    assert segments_info(ids, CITYSCAPES) == [
        {"id": 7, "category_id": 7, "area": 5, "bbox": [0, 0, 3, 3], "iscrowd": 0},
        {"id": 24, "category_id": 24, "area": 2, "bbox": [3, 0, 1, 2], "iscrowd": 1},
        {"id": 26003, "category_id": 26, "area": 3, "bbox": [2, 0, 2, 3], "iscrowd": 0},
    ]
    crowd, car = instance_annotations(ids, CITYSCAPES)
    assert (crowd["category_id"], crowd["iscrowd"], crowd["area"]) == (11, 1, 2)
    assert (car["category_id"], car["iscrowd"], car["bbox"]) == (13, 0, [2, 0, 2, 3])
    np.testing.assert_array_equal(decode_mask(car["segmentation"]), ids == 26003)


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (40, 33)])
def test_masks_come_back(shape):
    mask = np.random.default_rng(0).random(shape) < 0.3
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)
    assert encode_mask(mask)["size"] == list(shape)


def test_nothing_but_void():
    assert segments_info(np.zeros((2, 3), np.int32), CITYSCAPES) == []


def test_masks_of_every_kind_are_decoded_as_pycocotools_does():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (2, 3), (40, 33), (1, 5000), (300, 400)):
        for share in (0, 0.01, 0.5, 1):
            encoded = encode_mask(rng.random(shape) < share)
            np.testing.assert_array_equal(decode_mask(encoded), coco_mask.decode(encoded).astype(bool))


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [-5, 40], "counts": "0"},  # pycocotools ends the process at some of these
        {"size": [-1, -1], "counts": "1"},
        {"size": [2**32 - 1, 2], "counts": "0"},
        {"size": [2**31, 2**31], "counts": "0"},
        {"size": [4, 4], "counts": "oooooo"},
        {"size": [4, 4], "counts": "o" * 1000 + "1"},
        {"size": [4, 4], "counts": "ooooooo1"},
        {"size": [4, 4], "counts": "L0"},
        {"size": [4, 4], "counts": "1"},
        {"size": [4, 4], "counts": "000000"},
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": "@"},
        {"size": [4, 4], "counts": "\x7f"},
        {"size": [4, 4], "counts": "\0"},
        {"size": [4, 4], "counts": "\xfc"},
    ],
    ids=str,
)
def test_run_lengths_that_are_damaged(rle):
    with pytest.raises(ValueError, match=r"run length|counts|count of a mask|ascii"):
        decode_mask(rle)
