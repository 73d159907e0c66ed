# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The instance heads: class, box and mask of every proposal (paper section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import decode_boxes, multiclass_nms
from opendr_panoptic_ros.network.layers import MergingModule, SeparableConv, convolution
from opendr_panoptic_ros.network.roi_align import align_rois
from opendr_panoptic_ros.network.rpn import STRIDES

BOX_STDS = (0.1, 0.1, 0.2, 0.2)
_MASK_GROUP = 32
_FINEST_SCALE_PX = 56


class Detections(NamedTuple):
    """The detected instances of one image.

    Attributes:
        boxes: `(N, 4)` float32 x1, y1, x2, y2 in px.
        scores: `(N,)` float32, 0 to 1.
        labels: `(N,)` int64 class, 0-based among the things.
        mask_logits: `(N, 28, 28)` float32, of each detection's class; the cells divide the box equally.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    mask_logits: Tensor


def roi_levels(rois: Tensor) -> Tensor:
    """Choose the level of the neck from which each RoI takes its features.

    Args:
        rois: `(N, 5)` image index, x1, y1, x2, y2 in px.

    Returns:
        `(N,)` int64, 0 to 3.
    """
    size = ((rois[:, 3] - rois[:, 1] + 1) * (rois[:, 4] - rois[:, 2] + 1)).sqrt()
    return (size / _FINEST_SCALE_PX + 1e-6).log2().floor().clamp(0, len(STRIDES) - 1).long()


def roi_features(fpn: Sequence[Tensor], rois: Tensor, output_size: int) -> Tensor:
    """Compute the features of each RoI from its level of the neck.

    Args:
        fpn: Maps of the neck, `(B, C, H / s, W / s)` at the strides s = 4, 8, 16, 32.
        rois: `(N, 5)` float32 image index, x1, y1, x2, y2 in px.
        output_size: Side of the output in bins.

    Returns:
        `(N, C, output_size, output_size)`.
    """
    levels = roi_levels(rois)
    features = fpn[0].new_empty(len(rois), fpn[0].shape[1], output_size, output_size)
    features = features.to(memory_format=torch.channels_last)
    for level, (feature, stride) in enumerate(zip(fpn, STRIDES, strict=True)):
        chosen = (levels == level).nonzero().squeeze(1)
        features.index_copy_(0, chosen, align_rois(feature, rois[chosen], 1 / stride, output_size))
    return features


class BoxHead(MergingModule):
    """Class logits and box deltas of RoIs; column 0 is background, the others are the thing classes.

    Merged, the weights of the first layer are in the order of channels-last features, as the convolution `roi_conv`
    with a kernel of the size of the RoI. On CPUs such a convolution is about twice as fast as the matrix product.

    Args:
        channels: Channels of the RoI features.
        width: Width of the two fully connected layers.
        num_things: Number of thing classes.
    """

    roi_size = 7

    def __init__(self, channels: int, width: int, num_things: int) -> None:
        super().__init__()
        self.shared_fcs = nn.ModuleList((nn.Linear(channels * self.roi_size**2, width), nn.Linear(width, width)))
        self.fc_cls = nn.Linear(width, 1 + num_things)
        self.fc_reg = nn.Linear(width, 4 * (1 + num_things))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the outputs of the head.

        Args:
            features: `(N, channels, 7, 7)`.

        Returns:
            Class logits `(N, 1 + num_things)` and box deltas `(N, 4 · (1 + num_things))`.
        """
        if not self.is_merged:
            x = self.shared_fcs[0](features.flatten(1))
        elif features.device.type == "cpu":
            x = self.roi_conv(features).flatten(1)
        else:
            weight = self.roi_conv.weight.permute(0, 2, 3, 1).flatten(1)
            x = F.linear(features.permute(0, 2, 3, 1).flatten(1), weight, self.roi_conv.bias)
        x = F.relu(self.shared_fcs[-1](F.relu(x, inplace=True)), inplace=True)
        return self.fc_cls(x), self.fc_reg(x)

    @override
    def merge_(self) -> None:
        first, second = cast("list[nn.Linear]", list(self.shared_fcs))
        weight = first.weight.detach().unflatten(1, (-1, self.roi_size, self.roi_size))
        self.roi_conv = convolution(weight.contiguous(memory_format=torch.channels_last), first.bias)
        self.shared_fcs = nn.ModuleList((second,))


class MaskHead(MergingModule):
    """Mask logits of RoIs; channel 0 is background and not used.

    Merged, the transposed convolution is the 1×1 convolution `quarters`, whose channels are ordered by row and column
    of the four cells that a cell is divided into.

    Args:
        channels: Channels of the RoI features.
        num_things: Number of thing classes.
    """

    roi_size = 14

    def __init__(self, channels: int, num_things: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(SeparableConv(channels, channels) for _ in range(4)))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, 1 + num_things, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the outputs of the head.

        Args:
            features: `(N, channels, 14, 14)`.

        Returns:
            Mask logits `(N, 1 + num_things, 28, 28)`.
        """
        if not self.is_merged:
            return self.conv_logits(F.relu(self.upsample(self.convs(features))))
        # On CPUs, in groups whose features stay in the cache.
        group = _MASK_GROUP if features.device.type == "cpu" else max(1, len(features))
        logits = [self._merged(rois) for rois in features.split(group)]
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def _merged(self, features: Tensor) -> Tensor:
        cells = F.relu(self.quarters(self.convs(features)), inplace=True).permute(0, 2, 3, 1)
        weight = self.conv_logits.weight.flatten(1)
        logits = F.linear(cells.unflatten(3, (2, 2, -1)), weight, self.conv_logits.bias)
        return logits.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    @override
    def merge_(self) -> None:
        bias = cast("Tensor", self.upsample.bias).repeat(4)
        self.quarters = convolution(self.upsample.weight.permute(2, 3, 1, 0).flatten(0, 2)[:, :, None, None], bias)
        del self.upsample


class RoIHeads(nn.Module):
    """The box head on all proposals, then the mask head on the detections.

    Args:
        channels: Channels of each map of the neck.
        box_head_width: Width of the box head's two fully connected layers.
        num_things: Number of thing classes.
    """

    def __init__(self, channels: int, *, box_head_width: int, num_things: int) -> None:
        super().__init__()
        self.box = BoxHead(channels, box_head_width, num_things)
        self.mask = MaskHead(channels, num_things)

    def forward(
        self,
        fpn: Sequence[Tensor],
        proposals: Sequence[Tensor],
        image_size: tuple[int, int],
        test: TestConfig,
    ) -> list[Detections]:
        """Detect the instances of each image.

        Args:
            fpn: Maps of the neck, `(B, channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.
            proposals: Boxes `(N, 4)` float32 px of each image.
            image_size: Height and width in px of the images inside the padding; boxes are clipped to it.
            test: Thresholds of the box head.

        Returns:
            The detections of each image.
        """
        rois = with_image_index(proposals)
        class_logits, deltas = self.box(roi_features(fpn, rois, self.box.roi_size))
        counts = [len(boxes) for boxes in proposals]
        found = []
        for boxes, logits, image_deltas in zip(
            proposals, class_logits.float().split(counts), deltas.float().split(counts), strict=True
        ):
            per_class = decode_boxes(
                boxes.repeat_interleave(logits.shape[1], dim=0), image_deltas.reshape(-1, 4), BOX_STDS, image_size
            )
            found.append(
                multiclass_nms(
                    per_class.view(len(boxes), -1),
                    logits.softmax(dim=1),
                    score_threshold=test.score_threshold,
                    iou_threshold=test.box_nms_threshold,
                    max_detections=test.max_detections,
                )
            )
        mask_logits = self.masks(fpn, [boxes for boxes, _, _ in found], [labels for _, _, labels in found])
        return [Detections(*detection, masks) for detection, masks in zip(found, mask_logits, strict=True)]

    def masks(self, fpn: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """Compute the masks of the detections of each image.

        Args:
            fpn: Maps of the neck, `(B, channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.
            boxes: Boxes `(N, 4)` float32 px of each image.
            labels: Classes `(N,)` int64 of each image, 0-based among the things.

        Returns:
            For each image mask logits `(N, 28, 28)` float32, each from the channel of its class.
        """
        rois = with_image_index(boxes)
        logits = self.mask(roi_features(fpn, rois, self.mask.roi_size)).float()
        chosen = logits[torch.arange(len(rois), device=rois.device), torch.cat(list(labels)) + 1]
        return list(chosen.split([len(b) for b in boxes]))


def with_image_index(boxes: Sequence[Tensor]) -> Tensor:
    """Concatenate the boxes of several images.

    Args:
        boxes: Boxes `(N, 4)` of each image.

    Returns:
        `(sum of N, 5)` image index, x1, y1, x2, y2.
    """
    return torch.cat([F.pad(b, (1, 0), value=float(i)) for i, b in enumerate(boxes)])
