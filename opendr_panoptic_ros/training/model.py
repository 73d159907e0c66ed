# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The network with its losses, as a model of mmengine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.layers import Norm
from opendr_panoptic_ros.network.roi_heads import BOX_STDS, roi_features, with_image_index
from opendr_panoptic_ros.network.rpn import STRIDES, grid_anchors
from opendr_panoptic_ros.training.data import Truth
from opendr_panoptic_ros.training.losses import box_losses, mask_loss, rpn_losses, semantic_loss
from opendr_panoptic_ros.training.targets import BoxTargets

_RPN_STREAM, _BOX_STREAM = 1, 2


class TrainableEfficientPS(BaseModel):
    """An EfficientPS and the losses of its heads.

    The schedule of its configuration sets the precision of the network and whether the norm layers keep their
    statistics. Losses and boxes are computed in float32.

    Args:
        network: The network to train; it holds all weights of the model.
    """

    def __init__(self, network: EfficientPS) -> None:
        super().__init__()
        config = network.config
        self.network = network
        self._dtype = getattr(torch, config.schedule.precision)
        self._proposal_limits = dataclasses.replace(
            config.test, rpn_max_per_level=config.schedule.proposals, rpn_max_proposals=config.schedule.proposals
        )
        self._anchor_targets = BoxTargets(
            positive_iou=0.7,
            negative_iou=0.3,
            keep_best=True,
            num=256,
            positive_fraction=0.5,
            add_truth=False,
            stds=(1.0, 1.0, 1.0, 1.0),
        )
        self._roi_targets = BoxTargets(
            positive_iou=0.5,
            negative_iou=0.5,
            keep_best=False,
            num=config.schedule.rois,
            positive_fraction=0.25,
            add_truth=True,
            stds=BOX_STDS,
        )
        self.register_buffer("_mean", torch.tensor(config.model.pixel_mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(config.model.pixel_std)[:, None, None], persistent=False)

    @override
    def forward(self, images: Tensor, truths: Sequence[Truth], mode: str = "loss") -> dict[str, Tensor]:
        """Compute the losses; training minimises their sum.

        Args:
            images: `(B, 3, H, W)` uint8 RGB, H and W multiples of 32.
            truths: Ground truth of each image.
            mode: "loss", mmengine's word.

        Returns:
            Six scalars, float32, by name.

        Raises:
            ValueError: `mode` is another word.
        """
        if mode != "loss":
            raise ValueError(f"mode is {mode!r}; this model only computes losses, PanopticSegmenter predicts.")
        x = ((images.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            fpn = self.network.neck(self.network.backbone(x))
            semantic_logits = self.network.semantic_head(fpn)
            objectness, deltas = self.network.rpn(fpn)
        losses = {"loss_semantic": semantic_loss(semantic_logits, truths)}

        image_size = (x.shape[2], x.shape[3])
        anchors = torch.cat(
            [
                grid_anchors((o.shape[2], o.shape[3]), stride, self.network.rpn.anchor_scale, x.device)
                for o, stride in zip(objectness, STRIDES, strict=True)
            ]
        )
        sampled = [self._anchor_targets.sample(anchors, truth, stream=_RPN_STREAM) for truth in truths]
        losses["loss_rpn_object"], losses["loss_rpn_box"] = rpn_losses(
            _by_anchor(objectness, 1).squeeze(2), _by_anchor(deltas, 4), sampled, truths, self._anchor_targets
        )

        proposals, _ = self.network.rpn.proposals(
            [o.detach() for o in objectness], [d.detach() for d in deltas], image_size, self._proposal_limits
        )
        sampled = [
            self._roi_targets.sample(boxes, truth, stream=_BOX_STREAM)
            for boxes, truth in zip(proposals, truths, strict=True)
        ]
        heads = self.network.roi_heads
        with torch.autocast(images.device.type, self._dtype, enabled=self._dtype != torch.float32):
            rois = with_image_index([s.boxes for s in sampled])
            class_logits, box_deltas = heads.box(roi_features(fpn, rois, heads.box.roi_size))
            positive_rois = with_image_index([s.boxes[: len(s.instances)] for s in sampled])
            # A batch without instances still runs the mask head, on a RoI without effect, so that every process has a
            # gradient for every weight.
            mask_rois = positive_rois if len(positive_rois) else rois[:1]
            mask_logits = heads.mask(roi_features(fpn, mask_rois, heads.mask.roi_size))
        losses["loss_class"], losses["loss_box"] = box_losses(
            class_logits, box_deltas, sampled, truths, self._roi_targets
        )
        losses["loss_mask"] = mask_loss(mask_logits, sampled, truths)
        return losses

    @override
    def train(self, mode: bool = True) -> TrainableEfficientPS:
        """Set the training mode; norm layers that keep their statistics stay in evaluation mode."""
        super().train(mode)
        schedule = self.network.config.schedule
        if schedule.freeze_norms or schedule.freeze_backbone_norms:
            frozen = self.network if schedule.freeze_norms else self.network.backbone
            for module in frozen.modules():
                if isinstance(module, Norm):
                    module.eval()
        return self

    @override
    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Return the sum of the losses, and all losses averaged over the processes for the log."""
        total = torch.stack(list(losses.values())).sum()
        values = torch.stack([total, *losses.values()]).detach()
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            torch.distributed.all_reduce(values)
            values /= torch.distributed.get_world_size()
        return total, dict(zip(("loss", *losses), values, strict=True))


def _by_anchor(levels: Sequence[Tensor], values: int) -> Tensor:
    """Reshape maps `(B, anchors · values, h, w)` to `(B, all anchors, values)`, in the order of `grid_anchors`."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, values) for level in levels], dim=1)
