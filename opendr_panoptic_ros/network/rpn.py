# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The region proposal network: boxes that may contain a thing, of any class (paper section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import decode_boxes, nms
from opendr_panoptic_ros.network.layers import MergingModule, merged_conv

STRIDES = (4, 8, 16, 32)
_RATIOS = (0.5, 1.0, 2.0)


def base_anchors(stride: int, scale: float) -> Tensor:
    """Compute the anchors of the first cell of a level.

    Args:
        stride: Stride of the level in px.
        scale: Anchor size in multiples of the stride.

    Returns:
        `(3, 4)` x1, y1, x2, y2 in px, of the ratios height / width 0.5, 1 and 2, rounded half to even.
    """
    centre = (stride - 1) / 2
    # On the device "meta", on which checkpoints are compared with a network, torch would import its compiler: a second.
    root = torch.tensor([math.sqrt(ratio) for ratio in _RATIOS], device="cpu")
    width, height = scale * stride / root, scale * stride * root
    half = torch.stack((width - 1, height - 1), dim=1) / 2
    return torch.cat((centre - half, centre + half), dim=1).round()


def grid_anchors(feature_size: tuple[int, int], stride: int, scale: float, device: torch.device) -> Tensor:
    """Compute all anchors of a level.

    Args:
        feature_size: Height H and width W of the level in cells.
        stride: Stride of the level in px.
        scale: Anchor size in multiples of the stride.
        device: Device of the result.

    Returns:
        `(H · W · 3, 4)` x1, y1, x2, y2 in px, ordered by row, column, anchor.
    """
    shift_y = torch.arange(feature_size[0], device=device) * stride
    shift_x = torch.arange(feature_size[1], device=device) * stride
    y, x = torch.meshgrid(shift_y, shift_x, indexing="ij")
    shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
    return (shifts + base_anchors(stride, scale).to(device)).reshape(-1, 4)


class RPN(MergingModule):
    """Objectness and box deltas of three anchors for each cell, on every level of the neck.

    Deviation from the paper, as in the released weights: a full 3×3 convolution, not a separable one.

    Args:
        channels: Channels of each map of the neck.
        anchor_scale: Anchor size in multiples of a level's stride.
    """

    base_anchors: Tensor

    def __init__(self, channels: int, *, anchor_scale: float) -> None:
        super().__init__()
        self.anchor_scale = anchor_scale
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, len(_RATIOS), 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * len(_RATIOS), 1)
        # The anchors are whole numbers; as such they keep their values in half precision. Not part of checkpoints.
        anchors = torch.stack([base_anchors(stride, anchor_scale) for stride in STRIDES]).long()
        self.register_buffer("base_anchors", anchors, persistent=False)

    def forward(self, fpn: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute the outputs of the RPN's convolutions.

        Args:
            fpn: Maps of the neck, `(B, channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.

        Returns:
            Objectness logits `(B, 3, H / s, W / s)` and box deltas `(B, 12, H / s, W / s)` of each level; channel
            4 · anchor + (dx, dy, dw, dh).
        """
        objectness, deltas = [], []
        for level in fpn:
            hidden = F.relu(self.rpn_conv(level), inplace=True)
            if self.is_merged:
                logits, offsets = self.rpn_out(hidden).split((len(_RATIOS), 4 * len(_RATIOS)), dim=1)
            else:
                logits, offsets = self.rpn_cls(hidden), self.rpn_reg(hidden)
            objectness.append(logits)
            deltas.append(offsets)
        return objectness, deltas

    @override
    def merge_(self) -> None:
        self.rpn_out = merged_conv((self.rpn_cls, self.rpn_reg))
        del self.rpn_cls, self.rpn_reg

    def proposals(
        self, objectness: Sequence[Tensor], deltas: Sequence[Tensor], image_size: tuple[int, int], test: TestConfig
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Select the best boxes of each image.

        Args:
            objectness: Objectness logits of each level, as `forward` returns them.
            deltas: Box deltas of each level, as `forward` returns them.
            image_size: Height and width in px of the images inside the padding; boxes are clipped to it.
            test: Numbers of proposals and the threshold of the NMS.

        Returns:
            For each image boxes `(N, 4)` float32 px and scores `(N,)` in descending order; N ≤ `rpn_max_proposals`.
        """
        boxes, scores = [], []
        for image in range(len(objectness[0])):
            levels = [
                _level_proposals(self, objectness[i][image], deltas[i][image], i, image_size, test)
                for i in range(len(STRIDES))
            ]
            image_boxes = torch.cat([level[0] for level in levels])
            image_scores = torch.cat([level[1] for level in levels])
            best = image_scores.topk(min(test.rpn_max_proposals, len(image_scores))).indices
            boxes.append(image_boxes[best])
            scores.append(image_scores[best])
        return boxes, scores


def best_anchors(
    rpn: RPN, objectness: Tensor, deltas: Tensor, level: int, image_size: tuple[int, int], test: TestConfig
) -> tuple[Tensor, Tensor]:
    """Decode the boxes of one level of one image, before the NMS.

    The best logits are selected first, so that only their scores, deltas and anchors are computed.

    Args:
        rpn: The RPN.
        objectness: `(3, H, W)`.
        deltas: `(12, H, W)`.
        level: The level, 0 for stride 4.
        image_size: Height and width in px of the image inside the padding.
        test: Number of proposals.

    Returns:
        Boxes `(N, 4)` float32 px and scores `(N,)` in descending order; N ≤ `rpn_max_per_level`.
    """
    anchors = rpn.base_anchors[level]
    logits = objectness.permute(1, 2, 0).flatten()
    logits, best = logits.topk(min(test.rpn_max_per_level, len(logits)))
    scores = logits.float().sigmoid()
    cell, anchor = best.div(len(anchors), rounding_mode="floor"), best % len(anchors)
    row, column = cell.div(objectness.shape[2], rounding_mode="floor"), cell % objectness.shape[2]
    shifts = torch.stack((column, row, column, row), dim=1) * STRIDES[level]
    chosen = deltas.unflatten(0, (len(anchors), 4))[anchor, :, row, column].float()
    return decode_boxes((shifts + anchors[anchor]).float(), chosen, (1.0, 1.0, 1.0, 1.0), image_size), scores


def _level_proposals(
    rpn: RPN, objectness: Tensor, deltas: Tensor, level: int, image_size: tuple[int, int], test: TestConfig
) -> tuple[Tensor, Tensor]:
    """Return the boxes `(N, 4)` and scores `(N,)` of `best_anchors` that survive the NMS."""
    boxes, scores = best_anchors(rpn, objectness, deltas, level, image_size, test)
    # Fewer than the maximum go in, so the published cut after the suppression never cuts.
    keep = nms(boxes, scores, test.rpn_nms_threshold)
    return boxes[keep], scores[keep]
