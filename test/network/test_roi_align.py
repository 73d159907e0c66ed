# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""RoIAlign on paper, and both ways of computing it against each other."""

from __future__ import annotations

import pytest
import torch

from opendr_panoptic_ros.network.roi_align import align_rois


def test_on_paper() -> None:
    """A map that is its own x coordinate: each bin is the mean of its samples' coordinates.

    The RoI from 0 to 3 px at scale 1 covers 4 cells, so a bin has 2, and the samples lie 0.5 and 1.5 from its start.
    """
    feature = torch.arange(8.0).expand(1, 1, 4, 8)
    out = align_rois(feature, torch.tensor([[0.0, 0, 0, 3, 3]]), 1.0, 2)
    assert out.tolist() == [[[[1.0, 3.0], [1.0, 3.0]]]]


@pytest.mark.parametrize("size", [7, 14])
@pytest.mark.parametrize("channels_last", [False, True])
def test_without_gradients_the_result_is_that_of_torchvision(size: int, channels_last: bool) -> None:
    """RoIs of all sizes: over the edges, outside, smaller than a cell, of negative size, of several images."""
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 5, 24, 40, generator=generator)
    if channels_last:
        feature = feature.to(memory_format=torch.channels_last)
    center = torch.rand(200, 2, generator=generator) * torch.tensor([160.0, 96.0])
    side = torch.rand(200, 2, generator=generator) ** 3 * 200
    image = torch.arange(200).remainder(2)[:, None].float()
    rois = torch.cat((image, center - side / 2 - 10, center + side / 2 - 10), dim=1)
    rois[:5, 1:] = torch.tensor(
        [[0, 0, -1, -1], [5, 5, 5, 5], [-500, -500, -300, -300], [150, 90, 900, 900], [0, 0, 159, 95]]
    )
    fast = align_rois(feature, rois, 0.25, size)
    plain = align_rois(feature.clone().requires_grad_(), rois, 0.25, size)
    assert plain.requires_grad
    # Sums of 16 products of values up to 5 with coordinates rounded at 2e-5 cells.
    assert torch.allclose(fast, plain, rtol=0, atol=5e-4)
    assert fast.std() > 0.1


def test_no_rois() -> None:
    assert align_rois(torch.zeros(1, 3, 4, 4), torch.zeros(0, 5), 0.25, 7).shape == (0, 3, 7, 7)


def test_the_dtype_is_kept() -> None:
    rois = torch.tensor([[0.0, 0, 0, 8, 8]])
    assert align_rois(torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16), rois, 0.25, 7).dtype == torch.bfloat16
