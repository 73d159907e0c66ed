# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Boxes in the convention of the released weights: x2, y2 are the last pixel inside, the width is x2 - x1 + 1.

Exception, as in the published fusion: the cells of a box's mask divide x1 to x2 and y1 to y2, without the + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from opendr_panoptic_ros.network import compiled_ops

_MAX_LOG_SCALE = abs(math.log(16 / 1000))

_Coordinate = TypeVar("_Coordinate", float, Tensor)


def to_mask_cells(px: Tensor, low: _Coordinate, high: _Coordinate, cells: int) -> Tensor:
    """Convert positions on one axis from pixels to cells of a box's mask. The inverse of `from_mask_cells`.

    Args:
        px: Positions in px; the centre of the first pixel of the image is 0.5.
        low: Lower side of the box in px, x1 or y1.
        high: Upper side of the box in px, x2 or y2.
        cells: Number of cells on the axis.

    Returns:
        Positions in cells; the centre of the first cell is 0.5.
    """
    return cells * (px - low) / (high - low)


def from_mask_cells(position: Tensor, low: _Coordinate, high: _Coordinate, cells: int) -> Tensor:
    """Convert positions on one axis from cells of a box's mask to pixels. The inverse of `to_mask_cells`.

    Args:
        position: Positions in cells; the centre of the first cell is 0.5.
        low: Lower side of the box in px, x1 or y1.
        high: Upper side of the box in px, x2 or y2.
        cells: Number of cells on the axis.

    Returns:
        Positions in px; the centre of the first pixel of the image is 0.5.
    """
    return low + (high - low) * (position / cells)


def decode_boxes(boxes: Tensor, deltas: Tensor, stds: Sequence[float], image_size: tuple[int, int]) -> Tensor:
    """Move and scale boxes by deltas, and clip them to the image.

    Args:
        boxes: `(N, 4)` x1, y1, x2, y2 in px.
        deltas: `(N, 4)` dx, dy, dw, dh in units of `stds`: dx, dy relative to the size of the box, dw, dh logarithms of
            factors.
        stds: Units of the four deltas.
        image_size: Height and width in px.

    Returns:
        `(N, 4)` boxes in px, from 0 to the last row and column.
    """
    # The constants are scalars: a tensor of them would have to be copied to the device.
    low, high = [], []
    for axis, pixels in enumerate(reversed(image_size)):
        log_scale = (deltas[:, 2 + axis] * stds[2 + axis]).clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE)
        size = boxes[:, 2 + axis] - boxes[:, axis] + 1
        centre = (boxes[:, axis] + boxes[:, 2 + axis]) * 0.5 + size * (deltas[:, axis] * stds[axis])
        half_size = size * log_scale.exp() * 0.5
        low.append((centre - half_size + 0.5).clamp(0, pixels - 1))
        high.append((centre + half_size - 0.5).clamp(0, pixels - 1))
    return torch.stack((*low, *high), dim=1)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Suppress the boxes that overlap a better one.

    Args:
        boxes: `(N, 4)` float32 px.
        scores: `(N,)`.
        iou_threshold: Largest IoU of two boxes that are both kept, 0 to 1.

    Returns:
        `(K,)` int64 indices of the boxes that are kept, in ascending order (not by score).
    """
    half_open = torch.cat((boxes[:, :2], boxes[:, 2:] + 1), dim=1)
    return compiled_ops.nms(half_open, scores, iou_threshold).sort().values


def multiclass_nms(
    boxes: Tensor, scores: Tensor, *, score_threshold: float, iou_threshold: float, max_detections: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the detections of high score that survive NMS within their class.

    Args:
        boxes: `(N, 4 · (1 + C))` float32 px, one box for each class.
        scores: `(N, 1 + C)` probabilities; column 0 is background.
        score_threshold: Detections of this score or a lower one are dropped, 0 to 1.
        iou_threshold: Largest IoU of two detections of one class that are both kept, 0 to 1.
        max_detections: Largest number of detections.

    Returns:
        Boxes `(K, 4)`, scores `(K,)` and 0-based labels `(K,)` int64, ordered by row, then class. Only if more than
        `max_detections` are left, the best of them by descending score.
    """
    candidates, labels = (scores[:, 1:] > score_threshold).nonzero(as_tuple=True)
    boxes = boxes.view(len(boxes), -1, 4)[candidates, labels + 1]
    scores = scores[candidates, labels + 1]
    if len(boxes) == 0:
        return boxes, scores, labels
    # Boxes of different classes are moved apart, so that one NMS treats each class alone.
    offsets = labels.to(boxes) * (boxes.max() + 1)
    keep = nms(boxes + offsets[:, None], scores, iou_threshold)
    if len(keep) > max_detections:
        keep = keep[scores[keep].sort(descending=True, stable=True).indices[:max_detections]]
    return boxes[keep], scores[keep], labels[keep]
