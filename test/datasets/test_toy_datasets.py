# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The generated datasets look like the real ones from outside, and hold the difficult cases they promise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from support.toy_datasets import tiny_scene, write_tiny_cityscapes, write_tiny_coco, write_tiny_kitti


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 128), (62, 207), (256, 512)])
def test_every_scene_holds_the_difficult_cases(height, width):
    for seed in range(20):
        rgb, ids = tiny_scene(np.random.default_rng(seed), height, width)
        assert rgb.shape == (height, width, 3)
        present = np.unique(ids)
        assert {1, 9, 17} <= set(present)  # ego vehicle and parking are void, pole
        assert any(24 <= i <= 33 for i in present)  # a crowd
        assert (ids[:, 0] >= 1000).any()  # cut by the border
        assert any(ndimage.label(ids == i)[1] > 1 for i in present if i >= 1000)  # in several pieces
    assert any((tiny_scene(np.random.default_rng(s), height, width)[1] // 1000 == 29).any() for s in range(3))


def test_cityscapes_files(tmp_path):
    write_tiny_cityscapes(tmp_path, num_train=3, num_val=1)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert len(names) == 4 * 4
    assert "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png" in names
    assert "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png" in names
    fine = tmp_path / "gtFine/val/lindau"
    instance_ids = Image.open(fine / "lindau_000000_000019_gtFine_instanceIds.png")
    label_ids = Image.open(fine / "lindau_000000_000019_gtFine_labelIds.png")
    assert (instance_ids.mode, label_ids.mode) == ("I;16", "L")
    ids = np.asarray(instance_ids).astype(int)
    np.testing.assert_array_equal(np.where(ids >= 1000, ids // 1000, ids), np.asarray(label_ids))


def test_kitti_files(tmp_path):
    write_tiny_kitti(tmp_path, num_train=2, num_val=1)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert names == [
        "training/annotations/000000_10.png",
        "training/annotations/000001_10.png",
        "training/images/000000_10.png",
        "training/images/000001_10.png",
        "validation/annotations/000000_10.png",
        "validation/images/000000_10.png",
    ]
    assert Image.open(tmp_path / names[0]).mode == "RGB"


def test_coco_files(tmp_path):
    write_tiny_coco(tmp_path, num_train=1, num_val=2)
    content = json.loads((tmp_path / "annotations" / "panoptic_val2017.json").read_text())
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        assert Image.open(tmp_path / "val2017" / image["file_name"]).format == "JPEG"
        pixels = np.asarray(Image.open(tmp_path / "annotations/panoptic_val2017" / annotation["file_name"])).astype(int)
        ids = pixels @ [1, 256, 65536]
        areas = {int(i): int((ids == i).sum()) for i in np.unique(ids) if i}
        assert areas == {segment["id"]: segment["area"] for segment in annotation["segments_info"]}
        assert any(segment["iscrowd"] for segment in annotation["segments_info"])


def test_the_seed_decides():
    first = tiny_scene(np.random.default_rng(5), 64, 128)
    again = tiny_scene(np.random.default_rng(5), 64, 128)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
