# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as PilImage
from support.toy_datasets import write_tiny_kitti

from opendr_panoptic_ros.datasets import KittiDataset
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import write_submission
from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.formats.panoptic import decode_mask


@pytest.fixture
def raw(tmp_path):
    """One generated train image, and one val image of 640×192 typed here: half the size of the result.

    Ids, R + 256 · G: road 7; car 26001 = (145, 101); car 26002 = (146, 101); persons without number 24; 0 and 255 void.
    """
    write_tiny_kitti(tmp_path / "raw", num_train=1, num_val=0)
    colors = np.zeros((192, 640, 3), np.uint8)
    colors[:] = (7, 0, 0)
    colors[10:20, 30:50] = (145, 101, 0)
    colors[100:192, 600:640] = (146, 101, 0)
    colors[100, 7:9] = (24, 0, 0)
    colors[0, 0] = (0, 0, 0)
    colors[0, 1] = (255, 0, 0)
    image = np.zeros((192, 640, 3), np.uint8)
    image[:, :, 0] = 200
    write_png(tmp_path / "raw" / "validation" / "images" / "000007_10.png", image)
    write_png(tmp_path / "raw" / "validation" / "annotations" / "000007_10.png", colors)
    return tmp_path / "raw"


def test_decoded_and_resized(raw, tmp_path):
    KittiDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    val = KittiDataset(tmp_path / "out" / "validation")
    assert val.image_ids == ["000007_10"]
    image, annotation = val[0]
    assert image.data.shape == (3, 384, 1280)
    assert image.data.reshape(3, -1).max(axis=1).tolist() == [200, 0, 0]  # red stayed red

    content = json.loads((tmp_path / "out" / "val" / "annotations.json").read_text())
    expected = np.zeros((3, 384, 1280), bool)  # every label pixel became 2×2
    expected[0, 200:202, 14:18] = True
    expected[1, 20:40, 60:100] = True
    expected[2, 200:384, 1200:1280] = True
    for found, mask in zip(content["annotations"], expected, strict=True):
        np.testing.assert_array_equal(decode_mask(found["segmentation"]), mask)
    assert [(a["category_id"], a["iscrowd"]) for a in content["annotations"]] == [(11, 1), (13, 0), (13, 0)]

    semantic = np.asarray(PilImage.open(tmp_path / "out" / "val" / "stuffthingmaps" / "000007_10.png"))
    assert semantic[:3, :6].tolist() == [[255] * 4 + [0] * 2] * 2 + [[0] * 6]
    truth = np.asarray(PilImage.open(tmp_path / "out" / "val" / "panoptic_gt" / "000007_10.png"))
    assert truth[30, 80].tolist() == [145, 101, 0]
    assert annotation is not None
    np.testing.assert_array_equal(annotation.panoptic_ids == 26001, expected[1])


def test_ground_truth_against_itself(tmp_path):
    write_tiny_kitti(tmp_path / "raw")
    KittiDataset.prepare_data(tmp_path / "raw", tmp_path / "out", num_workers=2)
    val = KittiDataset(tmp_path / "out" / "val")
    truths = [(image_id, val.annotation(i)) for i, image_id in enumerate(val.image_ids)]
    write_submission(tmp_path / "results", truths, name="val")
    result = val.evaluate(tmp_path / "results" / "val", tmp_path / "results")
    present = {s.class_id for _, t in truths for s in t.segments if s not in t.crowds}
    assert result["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": len(present)}
    assert len(present) > 12


def test_other_ids_are_refused(raw, tmp_path):
    path = raw / "validation" / "annotations" / "000007_10.png"
    write_png(path, np.full((192, 640, 3), 99, np.uint8))
    with pytest.raises(DatasetError, match=f"{path}: holds ids that are not in Cityscapes' scheme: 6513507"):
        KittiDataset.prepare_data(raw, tmp_path / "out", num_workers=1)
    write_png(path, np.full((192, 640), 7, np.uint8))
    with pytest.raises(DatasetError, match="expected an RGB image"):
        KittiDataset.prepare_data(raw, tmp_path / "out", num_workers=1, resume=True)
