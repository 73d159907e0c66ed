# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Compares the arrangements of inference with the plain computation: merged weights, stripes, groups."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.random_weights import seed_weights_
from torch import Tensor

from opendr_panoptic_ros.backends import stripes
from opendr_panoptic_ros.backends.torch import TorchBackend
from opendr_panoptic_ros.config import ModelConfig
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.network.enlarged_logits import EnlargedLogits
from opendr_panoptic_ros.network.windows import Window

TINY = ModelConfig(backbone_width=0.35, backbone_depth=1.0, fpn_channels=16, semantic_channels=8, box_head_width=16)


@pytest.fixture(scope="module")
def tiny() -> EfficientPS:
    network = EfficientPS(TINY).eval()
    seed_weights_(network, 3)
    return network


def tensors_of(dense: DenseOutputs) -> list[Tensor]:
    return [*dense.fpn, *dense.objectness, *dense.deltas, dense.semantic_logits]


def assert_equal(ours: Tensor, theirs: Tensor, limit: float = 1e-4) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=limit * float(theirs.std()))


def test_merged_dense_part(tiny: EfficientPS) -> None:
    x = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        for ours, theirs in zip(tensors_of(tiny.fold_norms()(x)), tensors_of(tiny(x)), strict=True):
            assert_equal(ours, theirs)


@pytest.mark.parametrize("count", [0, 1, 70])  # 70: more than two groups of masks
def test_merged_roi_heads(tiny: EfficientPS, count: int) -> None:
    generator = torch.Generator().manual_seed(6)
    folded = tiny.fold_norms()
    for name, size in (("box", 7), ("mask", 14)):
        features = torch.randn(count, 16, size, size, generator=generator)
        features = features.contiguous(memory_format=torch.channels_last)
        plain, merged = getattr(tiny.roi_heads, name), getattr(folded.roi_heads, name)
        with torch.inference_mode():
            expected, found = plain(features), merged(features)
        for theirs, ours in zip(*((x if isinstance(x, tuple) else (x,)) for x in (expected, found)), strict=True):
            assert ours.shape == theirs.shape
            assert count == 0 or float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.std())


@pytest.mark.parametrize("size", [(96, 64), (32, 32), (160, 224)])
@pytest.mark.parametrize("stripe_bytes", [1, 20_000])
def test_stripes(tiny: EfficientPS, size: tuple[int, int], stripe_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also stripes of a single row, whose neighbours lie outside the map at its first and last row."""
    monkeypatch.setattr(stripes, "_STRIPE_BYTES", stripe_bytes)
    monkeypatch.setattr(stripes, "_SMALL_BYTES", 0)
    folded = tiny.fold_norms().to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(7))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found, expected = TorchBackend(folded)(x), folded(x)
    for ours, theirs in zip(tensors_of(found), tensors_of(expected), strict=True):
        assert_equal(ours, theirs)
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in found.fpn)


@pytest.mark.parametrize("size", [(64, 96), (61, 93), (2, 3)])
@pytest.mark.parametrize("num_stuff", [1, 4])
def test_enlarged_logits(size: tuple[int, int], num_stuff: int) -> None:
    logits = 3 * torch.randn(6, 16, 24, generator=torch.Generator().manual_seed(8))
    whole = F.interpolate(logits[None], scale_factor=4, mode="bilinear", align_corners=False)[0]
    whole = whole[:, : size[0], : size[1]]
    enlarged = EnlargedLogits(logits, 4, size)
    classes, stuff = enlarged.best(num_stuff)
    torch.testing.assert_close(stuff, whole[:num_stuff].amax(dim=0), rtol=0, atol=1e-5)
    assert classes.shape == size
    assert (whole.amax(dim=0) - whole.gather(0, classes.long()[None])[0]).max() <= 1e-5
    for window in (Window(0, size[0], 0, size[1]), Window(size[0] // 2, size[0], 1, size[1] // 2 + 1)):
        torch.testing.assert_close(enlarged.channel(5, window), window.of(whole[5]), rtol=0, atol=1e-5)
    rows = torch.cat([group for _, group in enlarged.row_groups()], dim=1)
    torch.testing.assert_close(rows, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
def test_the_first_of_equal_classes_is_the_best(stride: int) -> None:
    logits = torch.zeros(3, 2, 2)
    logits[1:, 1] = 1
    classes, _ = EnlargedLogits(logits, stride, (2 * stride, 2 * stride)).best(1)
    assert classes[0, 0] == 0
    assert classes[-1, -1] == 1
