# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""mmdet's parts that need compiled operators work on the stand-in; the other operators say what is missing."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.training import mmcv_ops

pytestmark = pytest.mark.train
pytest.importorskip("mmdet")
mmcv_ops.install()


def test_nms_keeps_the_best_of_two_that_overlap():
    from mmcv.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    kept, indices = nms(boxes, scores, 0.5)
    assert indices.tolist() == [1, 2]
    assert kept[:, 4].tolist() == pytest.approx([0.9, 0.7])
    # Of different classes, both stay.
    _, indices = batched_nms(boxes, scores, torch.tensor([0, 1, 0]), {"type": "nms", "iou_threshold": 0.5})
    assert sorted(indices.tolist()) == [0, 1, 2]


def test_nms_counts_the_last_pixel_where_the_offset_says_so():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 1, 0], [1, 0, 2, 0]])
    # With the offset each has two pixels, one in common: IoU 1/3. Without it they have none.
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.4, offset=1)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


def test_roi_align_averages_the_region():
    from mmcv.ops import roi_align

    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 0, 0, 2, 2]])
    found = roi_align(image, rois, (2, 2), 1.0, 1, "avg", True)
    assert found.flatten().tolist() == [0, 1, 4, 5]


def test_mask_targets_are_cut_out_of_bitmaps():
    from mmdet.structures.mask import BitmapMasks

    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, :4, :] = 1
    masks = BitmapMasks(mask, 8, 8)
    target = masks.crop_and_resize(np.array([[0.0, 0, 8, 8]]), (4, 4), np.array([0]), device="cpu")
    assert target.to_ndarray()[0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]


def test_an_operator_that_is_not_there_says_so():
    from mmcv.ops import RoIPool

    if not isinstance(sys.modules["mmcv._ext"], mmcv_ops._StandIn):
        pytest.skip("the full mmcv is installed")
    with pytest.raises(NotImplementedError, match=r"'roi_pool_forward' is missing.*full mmcv"):
        RoIPool(2, 1.0)(torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]))


def test_the_module_looks_real():
    extension = importlib.import_module("mmcv._ext")
    assert extension.__spec__ is not None
    assert extension.__spec__.name == "mmcv._ext"
    with pytest.raises(AttributeError):
        _ = extension.__wrapped__
    mmcv_ops.install()
    assert sys.modules["mmcv._ext"] is extension, "a second call replaced the module"
    assert "mmcv" in {module.name for module in pkgutil.iter_modules()}


def test_a_missing_package_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mmdet" else find(name))
    with pytest.raises(ImportError, match=r"needs mmdet; .*\[train\]"):
        mmcv_ops.install()
