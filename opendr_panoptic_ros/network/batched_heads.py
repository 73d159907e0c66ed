# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Proposals and detections of a batch in tensors of fixed shapes, for GPUs.

Results whose number depends on the data are padded and marked as valid or not, so that nothing waits for the device and
the number of kernels does not depend on the image. `is_exact` tells whether the padding was large enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import decode_boxes
from opendr_panoptic_ros.network.roi_align import weighted_rows
from opendr_panoptic_ros.network.roi_heads import BOX_STDS, RoIHeads, roi_levels
from opendr_panoptic_ros.network.rpn import RPN, STRIDES, best_anchors

_NMS_ROUNDS = 16
_MAX_CANDIDATES = 1000


class BatchedDetections(NamedTuple):
    """The detections of B images, N places for each, by descending score.

    Attributes:
        boxes: `(B, N, 4)` float32 x1, y1, x2, y2 in px.
        scores: `(B, N)` float32, 0 to 1.
        labels: `(B, N)` int64 class, 0-based among the things.
        mask_logits: `(B, N, 28, 28)` float32, of each detection's class.
        is_valid: `(B, N)` bool, whether the place holds a detection.
        is_exact: `(B,)` bool, whether the detections are those of `RoIHeads`.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    mask_logits: Tensor
    is_valid: Tensor
    is_exact: Tensor


def suppress(boxes: Tensor, iou_threshold: float, *, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Suppress the boxes that overlap a better one, as `boxes.nms` does, without waiting for the device.

    A box is kept if no kept box before it overlaps it. The rule is applied to all boxes at once until nothing changes:
    after n rounds it is decided for all boxes whose chain of suppressions is shorter than n.

    Args:
        boxes: `(..., N, 4)` float32 px, by descending score.
        iou_threshold: Largest IoU of two boxes that are both kept, 0 to 1.
        groups: `(..., N)` int64; boxes of different groups do not suppress each other. None stands for one group.

    Returns:
        Which boxes are kept, `(..., N)` bool, and whether the rounds were enough, `(...)` bool.
    """
    low, high = boxes[..., :2], boxes[..., 2:] + 1
    area = (high - low).prod(dim=-1)
    common_low = torch.maximum(low[..., :, None, :], low[..., None, :, :])
    common_high = torch.minimum(high[..., :, None, :], high[..., None, :, :])
    common = (common_high - common_low).clamp(min=0).prod(dim=-1)
    overlaps = common / (area[..., :, None] + area[..., None, :] - common) > iou_threshold
    if groups is not None:
        overlaps &= groups[..., :, None] == groups[..., None, :]
    before = overlaps.triu(diagonal=1).to(torch.float16 if boxes.is_cuda else torch.float32)
    keep = torch.ones_like(area, dtype=torch.bool)
    previous = keep
    for _ in range(_NMS_ROUNDS):
        previous = keep
        keep = (keep.to(before.dtype)[..., None, :] @ before)[..., 0, :] == 0
    return keep, (keep == previous).all(dim=-1)


def batched_proposals(
    rpn: RPN, objectness: Sequence[Tensor], deltas: Sequence[Tensor], image_size: tuple[int, int], test: TestConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the best boxes of each image, as `RPN.proposals` does.

    Args:
        rpn: The RPN.
        objectness: Objectness logits of each level.
        deltas: Box deltas of each level.
        image_size: Height and width in px of the images inside the padding; boxes are clipped to it.
        test: Numbers of proposals and the threshold of the NMS.

    Returns:
        Boxes `(B, N, 4)` float32 px, whether the places hold a proposal `(B, N)`, and whether the proposals are those
        of `RPN.proposals` `(B,)`.
    """
    batch = len(objectness[0])
    boxes, scores = [], []
    for level in range(len(STRIDES)):
        found = [
            best_anchors(rpn, objectness[level][image], deltas[level][image], level, image_size, test)
            for image in range(batch)
        ]
        missing = test.rpn_max_per_level - len(found[0][1])
        boxes.append(F.pad(torch.stack([boxes for boxes, _ in found]), (0, 0, 0, missing)))
        scores.append(F.pad(torch.stack([scores for _, scores in found]), (0, missing), value=-1.0))
    all_boxes, all_scores = torch.stack(boxes, dim=1), torch.stack(scores, dim=1)
    keep, is_settled = suppress(all_boxes, test.rpn_nms_threshold)
    kept_scores = all_scores.masked_fill(~keep, -1.0).flatten(1)
    best = kept_scores.sort(dim=1, descending=True, stable=True)
    order, sorted_scores = (x[:, : test.rpn_max_proposals] for x in (best.indices, best.values))
    chosen = all_boxes.flatten(1, 2).gather(1, order[..., None].expand(-1, -1, 4))
    return chosen, sorted_scores >= 0, is_settled.all(dim=1)


def batched_roi_features(fpn: Sequence[Tensor], boxes: Tensor, output_size: int) -> Tensor:
    """Compute the features of RoIs, as `roi_features` does, with all levels of the neck in one table.

    Args:
        fpn: Maps of the neck, `(B, C, H / s, W / s)` at the strides s = 4, 8, 16, 32.
        boxes: `(B, N, 4)` float32 px.
        output_size: Side of the output in bins.

    Returns:
        `(B · N, C, output_size, output_size)` in channels_last memory format.
    """
    batch, count, _ = boxes.shape
    table = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in fpn], dim=1)
    levels = roi_levels(F.pad(boxes.flatten(0, 1), (1, 0)))
    # The sizes and places of the levels follow from those of the finest one by powers of two and four.
    height, width = (torch.full_like(levels, size) >> levels for size in fpn[0].shape[-2:])
    finest = fpn[0].shape[-2] * fpn[0].shape[-1]
    start = (finest - (torch.full_like(levels, finest) >> (2 * levels))) * 4 // 3
    image = torch.arange(batch, device=boxes.device)[:, None].expand(-1, count).flatten()
    scale = torch.exp2(-levels.float()) / STRIDES[0]
    low = boxes.flatten(0, 1)[:, :2]
    high = torch.maximum(boxes.flatten(0, 1)[:, 2:] + 1, low)
    corners = torch.stack((low, high), dim=1) * scale[:, None, None]
    return weighted_rows(table.flatten(0, 1), image * table.shape[1] + start, corners, (height, width), output_size)


def batched_detections(
    heads: RoIHeads,
    fpn: Sequence[Tensor],
    proposals: Tensor,
    is_valid: Tensor,
    image_size: tuple[int, int],
    test: TestConfig,
) -> BatchedDetections:
    """Detect the instances of each image, as `RoIHeads` does.

    Args:
        heads: The heads.
        fpn: Maps of the neck, `(B, channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.
        proposals: `(B, N, 4)` float32 px.
        is_valid: `(B, N)` bool, whether the places hold a proposal.
        image_size: Height and width in px of the images inside the padding; boxes are clipped to it.
        test: Thresholds of the box head.

    Returns:
        The detections.
    """
    batch, count, _ = proposals.shape
    class_logits, deltas = heads.box(batched_roi_features(fpn, proposals, heads.box.roi_size))
    num_classes = class_logits.shape[1]
    scores = class_logits.float().softmax(dim=1)[:, 1:].unflatten(0, (batch, count))
    scores = torch.where((scores > test.score_threshold) & is_valid[..., None], scores, -1.0).flatten(1)
    best = scores.sort(dim=1, descending=True, stable=True)
    limit = min(_MAX_CANDIDATES, scores.shape[1])
    is_exact = (best.values[:, limit:] < 0).all(dim=1)
    candidates, scores = best.indices[:, :limit], best.values[:, :limit]
    rois = candidates.div(num_classes - 1, rounding_mode="floor")
    labels = candidates - rois * (num_classes - 1)
    offsets = deltas.float().view(batch, count * num_classes, 4)
    chosen_offsets = _rows(offsets, rois * num_classes + labels + 1)
    boxes = decode_boxes(
        _rows(proposals, rois).flatten(0, 1), chosen_offsets.flatten(0, 1), BOX_STDS, image_size
    ).unflatten(0, (batch, limit))
    keep, is_settled = suppress(boxes, test.box_nms_threshold, groups=labels)
    keep &= scores >= 0
    # The places that hold a detection come first, in their order.
    places = (~keep).sort(dim=1, stable=True).indices[:, : test.max_detections]
    boxes, labels = _rows(boxes, places), labels.gather(1, places)
    logits = heads.mask(batched_roi_features(fpn, boxes, heads.mask.roi_size)).float()
    chosen = (labels.flatten() + 1)[:, None, None, None].expand(-1, 1, *logits.shape[2:])
    mask_logits = logits.gather(1, chosen)[:, 0].unflatten(0, (batch, -1))
    return BatchedDetections(
        boxes, scores.gather(1, places), labels, mask_logits, keep.gather(1, places), is_exact & is_settled
    )


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Return rows of `(B, N, C)` by index `(B, K)`."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
