# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""EfficientPS, whole (Mohan & Valada, IJCV 2021)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from opendr_panoptic_ros.config import Config, ModelConfig, TestConfig, Thresholds
from opendr_panoptic_ros.network.backbone import Backbone
from opendr_panoptic_ros.network.fusion import PanopticFusion, to_prediction
from opendr_panoptic_ros.network.layers import fold_norms_
from opendr_panoptic_ros.network.roi_heads import Detections, RoIHeads
from opendr_panoptic_ros.network.rpn import RPN
from opendr_panoptic_ros.network.semantic_head import SemanticHead
from opendr_panoptic_ros.network.two_way_fpn import TwoWayFPN
from opendr_panoptic_ros.prediction import PanopticPrediction

SIZE_DIVISOR = 32
"""Height and width of the network's input are multiples of this."""


class EfficientPS(nn.Module):
    """The network with random weights, in the shape that `model` gives.

    `config`: the whole configuration, kept with the weights when they are saved; built from `model` and defaults here,
    or given to `from_config`.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.config = Config.for_model(model)
        self.backbone = Backbone(width=model.backbone_width, depth=model.backbone_depth)
        self.neck = TwoWayFPN(self.backbone.out_channels, model.fpn_channels)
        self.semantic_head = SemanticHead(
            model.fpn_channels, model.semantic_channels, model.num_stuff + model.num_things
        )
        self.rpn = RPN(model.fpn_channels, anchor_scale=model.anchor_scale)
        self.roi_heads = RoIHeads(model.fpn_channels, box_head_width=model.box_head_width, num_things=model.num_things)
        self.fusion = PanopticFusion(model.num_stuff)

    @classmethod
    def from_config(cls, config: Config) -> EfficientPS:
        """The network of a whole configuration, with random weights."""
        network = cls(config.model)
        network.config = config
        return network

    def forward(self, x: Tensor, image_size: tuple[int, int], test: TestConfig) -> list[tuple[Tensor, Detections]]:
        """What the heads say about each image of a batch, before the fusion.

        x, image_size: as `predict` takes them. Returns semantic logits `(classes, height, width)` float32, without the
        padding, and the detections of each image.
        """
        height, width = image_size
        fpn = self.neck(self.backbone(x))
        objectness, deltas = self.rpn(fpn)
        proposals, _ = self.rpn.proposals(objectness, deltas, image_size, test)
        detections = self.roi_heads(fpn, proposals, image_size, test)
        semantic_logits = self.semantic_head(fpn)[:, :, :height, :width].float()
        return list(zip(semantic_logits, detections, strict=True))

    @torch.inference_mode()
    def predict(
        self,
        x: Tensor,
        *,
        score_threshold: float | None = None,
        overlap_threshold: float | None = None,
        min_stuff_area: int | None = None,
        contain_instances: bool | None = None,
        image_size: tuple[int, int] | None = None,
        output_size: tuple[int, int] | None = None,
    ) -> list[PanopticPrediction]:
        """The panoptic segmentation of each image of a batch.

        x: `(B, 3, H, W)`, normalised with the config's mean and std, H and W multiples of 32; of the dtype and on the
            device of the weights.
        score_threshold, overlap_threshold, min_stuff_area, contain_instances: the config's values where None.
        image_size: height and width of the image inside the padding at the bottom and right; all of x where None.
        output_size: height and width of the predictions; image_size where None.

        Raises ValueError for an x of another shape. The network must be in eval mode.
        Deviation: the published program squeezes the padded logits into the image's size, which shifts semantics
        against instances; here the padding is cut off.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % SIZE_DIVISOR or x.shape[3] % SIZE_DIVISOR or 0 in x.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (B, 3, H, W) with H and W multiples of {SIZE_DIVISOR}."
            )
        if self.training:
            raise ValueError("The network is in training mode; call .eval() before predict.")
        image_size = image_size or (x.shape[2], x.shape[3])
        thresholds = Thresholds(score_threshold, overlap_threshold, min_stuff_area, contain_instances)
        test = self.config.test.with_thresholds(thresholds)
        return [
            to_prediction(self.fusion(logits, detections, test), self.config.classes, output_size)
            for logits, detections in self(x, image_size, test)
        ]

    def fold_norms(self) -> EfficientPS:
        """An equal network for inference, in which every norm is folded into the convolution before it.

        The copy shares nothing with this network and cannot be trained or saved.
        """
        folded = copy.deepcopy(self).eval()
        fold_norms_(folded)
        return folded
