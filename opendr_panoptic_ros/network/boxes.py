# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Boxes in the convention of the released weights: x2, y2 are the last pixel inside, the width is x2 - x1 + 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

_MAX_LOG_SCALE = abs(math.log(16 / 1000))


def decode_boxes(boxes: Tensor, deltas: Tensor, stds: Sequence[float], image_size: tuple[int, int]) -> Tensor:
    """Boxes moved and scaled by `deltas`, clipped to the image.

    boxes: `(N, 4)` x1, y1, x2, y2 in px. deltas: `(N, 4)` dx, dy, dw, dh in units of `stds`. image_size: height, width.
    Returns `(N, 4)` in px.
    """
    delta_xy, log_scale = (deltas * deltas.new_tensor(stds)).split(2, dim=1)
    log_scale = log_scale.clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE)
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = (boxes[:, :2] + boxes[:, 2:]) * 0.5 + size * delta_xy
    half_size = size * log_scale.exp() * 0.5
    height, width = image_size
    last_pixel = boxes.new_tensor((width - 1, height - 1))
    low = (centre - half_size + 0.5).clamp(min=boxes.new_zeros(2), max=last_pixel)
    high = (centre + half_size - 0.5).clamp(min=boxes.new_zeros(2), max=last_pixel)
    return torch.cat((low, high), dim=1)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that no better one overlaps by more than `iou_threshold`, in ascending order (not by score).

    boxes: `(N, 4)` float32 px. scores: `(N,)`. Returns `(K,)` int64.
    """
    half_open = torch.cat((boxes[:, :2], boxes[:, 2:] + 1), dim=1)
    return torchvision_nms(half_open, scores, iou_threshold).sort().values


def multiclass_nms(
    boxes: Tensor, scores: Tensor, *, score_threshold: float, iou_threshold: float, max_detections: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections above `score_threshold` that survive NMS within their class.

    boxes: `(N, 4 · (1 + C))` float32 px, one box a class. scores: `(N, 1 + C)` probabilities; column 0 is background.
    Returns boxes `(K, 4)`, scores `(K,)` and 0-based labels `(K,)`, ordered by row, then class; only when more than
    `max_detections` are left, the best of them by descending score.
    """
    candidates, labels = (scores[:, 1:] > score_threshold).nonzero(as_tuple=True)
    boxes = boxes.view(len(boxes), -1, 4)[candidates, labels + 1]
    scores = scores[candidates, labels + 1]
    if len(boxes) == 0:
        return boxes, scores, labels
    # Classes are kept apart by moving each to a place of its own.
    offsets = labels.to(boxes) * (boxes.max() + 1)
    keep = nms(boxes + offsets[:, None], scores, iou_threshold)
    if len(keep) > max_detections:
        keep = keep[scores[keep].sort(descending=True, stable=True).indices[:max_detections]]
    return boxes[keep], scores[keep], labels[keep]
