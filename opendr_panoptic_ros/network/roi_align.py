# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""RoIAlign with 2×2 samples in each bin, from x1 · scale to (x2 + 1) · scale, without half-pixel shift."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SAMPLES = 2  # a side of each bin


def align_rois(feature: Tensor, rois: Tensor, scale: float, output_size: int) -> Tensor:
    """Sample the features of RoIs from one level of the neck.

    torchvision widens a RoI smaller than one cell unless `aligned` is set. Therefore `aligned` is set, and the half
    pixel that it subtracts is added first.

    On the CPU, without gradients, each bin is computed as a weighted sum of rows of the channels-last map, which is
    about ten times faster than torchvision's operator for 256 channels. The largest difference is that of another
    order of summation.

    Args:
        feature: `(B, C, h, w)`.
        rois: `(N, 5)` float32 image index, x1, y1, x2, y2 in px.
        scale: Cells of `feature` for each px, 1 / stride.
        output_size: Side of the output in bins.

    Returns:
        `(N, C, output_size, output_size)`, of the dtype of `feature`.
    """
    half_cell = 0.5 / scale
    low = rois[:, 1:3] + half_cell
    high = torch.maximum(rois[:, 3:5] + (1 + half_cell), low)
    # In half precision, coordinates would be wrong by whole pixels: they are always float32.
    if feature.device.type == "cpu" and not (feature.requires_grad and torch.is_grad_enabled()):
        corners = (torch.cat((low, high), dim=1) * scale - 0.5).view(-1, 2, 2)
        _, channels, height, width = feature.shape
        table = feature.permute(0, 2, 3, 1).reshape(-1, channels)
        start = rois[:, 0].long() * (height * width)
        sizes = torch.full_like(start, height), torch.full_like(start, width)
        return weighted_rows(table, start, corners, sizes, output_size)
    from torchvision.ops import roi_align  # takes a second, which the CPU need not wait for

    aligned = torch.cat((rois[:, :1], low, high), dim=1)
    return roi_align(feature.float(), aligned, output_size, scale, _SAMPLES, aligned=True).to(feature.dtype)


def weighted_rows(
    table: Tensor, start: Tensor, corners: Tensor, sizes: tuple[Tensor, Tensor], output_size: int
) -> Tensor:
    """Compute the average of the bilinear samples of each bin of RoIs as a weighted sum of rows of a table.

    Args:
        table: `(cells, C)`, channels-last maps, one after another.
        start: `(N,)` int64 place of the first cell of each RoI's map.
        corners: `(N, 2, 2)` float32: x, y of the low and of the high corner, in cells; 0 is the centre of a cell.
        sizes: Height and width of each RoI's map in cells, `(N,)` int64.
        output_size: Side of the output in bins.

    Returns:
        `(N, C, output_size, output_size)` of the dtype of `table`, in channels-last memory format.
    """
    low, high = corners[:, 0], corners[:, 1]
    height, width = sizes
    columns, column_weights = _taps(low[:, 0], high[:, 0], width, output_size)
    rows, row_weights = _taps(low[:, 1], high[:, 1], height, output_size)
    # Of each bin, 4 rows by 4 columns: two samples on each axis with two neighbours each.
    index = rows[:, :, None, :, None] * width[:, None, None, None, None] + columns[:, None, :, None, :]
    index += start[:, None, None, None, None]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    weights = weights.reshape(-1, 16).to(table.dtype)
    bins = F.embedding_bag(index.view(-1, 16), table, per_sample_weights=weights, mode="sum")
    return bins.view(-1, output_size, output_size, table.shape[1]).permute(0, 3, 1, 2)


def _taps(low: Tensor, high: Tensor, length: Tensor, output_size: int) -> tuple[Tensor, Tensor]:
    """Return the cells that the samples of each bin read along one axis, and their weights.

    Args:
        low: `(N,)` float32, start of each RoI in cells.
        high: `(N,)` float32, its end.
        length: `(N,)` int64, number of cells of the axis.
        output_size: Number of bins.

    Returns:
        Indices `(N, output_size, 4)` int64 and weights of the same shape, which sum to 1 in each bin, or to less where
        samples lie outside the map by more than one cell; these count as zeros.
    """
    count = output_size * _SAMPLES
    steps = (torch.arange(count, device=low.device) + 0.5) / count
    at = low[:, None] + (high - low)[:, None] * steps
    length = length[:, None]
    is_inside = (at >= -1) & (at <= length)
    at = torch.minimum(at.clamp(min=0), length - 1)
    before = at.floor()
    fraction = at - before
    first = before.long()
    second = torch.minimum(first + 1, length - 1)
    weight = is_inside / _SAMPLES
    index = torch.stack((first, second), dim=2)
    weights = torch.stack(((1 - fraction) * weight, fraction * weight), dim=2)
    return index.view(-1, output_size, 2 * _SAMPLES), weights.view(-1, output_size, 2 * _SAMPLES)
