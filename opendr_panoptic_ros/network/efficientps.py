# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""EfficientPS, the whole network (Mohan & Valada, IJCV 2021)."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from opendr_panoptic_ros.config import Config, ModelConfig, TestConfig, Thresholds
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network.backbone import Backbone
from opendr_panoptic_ros.network.batched_fusion import batched_visit
from opendr_panoptic_ros.network.batched_heads import batched_detections, batched_proposals
from opendr_panoptic_ros.network.batched_predictions import pack, unpack
from opendr_panoptic_ros.network.enlarged_logits import EnlargedLogits
from opendr_panoptic_ros.network.fusion import PanopticFusion
from opendr_panoptic_ros.network.layers import fold_norms_
from opendr_panoptic_ros.network.predictions import to_prediction
from opendr_panoptic_ros.network.roi_heads import Detections, RoIHeads
from opendr_panoptic_ros.network.rpn import RPN
from opendr_panoptic_ros.network.semantic_head import SemanticHead
from opendr_panoptic_ros.network.two_way_fpn import TwoWayFPN
from opendr_panoptic_ros.prediction import PanopticPrediction

SIZE_DIVISOR = 32
"""Height and width of the network's input are multiples of this."""


class DenseOutputs(NamedTuple):
    """Outputs of the dense part of the network: its convolutions on whole images, before any box is chosen.

    Attributes:
        fpn: Maps of the neck, `(B, fpn_channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.
        objectness: RPN logits of each level, `(B, 3, H / s, W / s)`.
        deltas: RPN box deltas of each level, `(B, 12, H / s, W / s)`.
        semantic_logits: `(B, classes, H / 4, W / 4)`.
    """

    fpn: list[Tensor]
    objectness: list[Tensor]
    deltas: list[Tensor]
    semantic_logits: Tensor


class EfficientPS(nn.Module):
    """The network with random weights.

    `forward` is the dense part. `predict` runs the whole network and fuses the outputs of its heads.

    Args:
        model: Shape of the network.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self._config = Config.for_model(model)
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
        """Create the network of a whole configuration, with random weights.

        Args:
            config: The configuration.

        Returns:
            A network whose `config` is `config`.
        """
        return cls(config.model).with_config(config)

    @property
    def config(self) -> Config:
        """The whole configuration, which is saved with the weights: that of `from_config`, or defaults."""
        return self._config

    def with_config(self, config: Config) -> EfficientPS:
        """Return this network with another configuration.

        Args:
            config: A configuration with the same shape of the network.

        Returns:
            A network that shares all modules and weights with this one.
        """
        network = copy.copy(self)
        network._config = config
        return network

    def forward(self, x: Tensor) -> DenseOutputs:
        """Compute the dense part of the network.

        Args:
            x: `(B, 3, H, W)`, normalised; H and W are multiples of 32.

        Returns:
            The outputs of the neck, the RPN and the semantic head.
        """
        fpn = self.neck(self.backbone(x))
        objectness, deltas = self.rpn(fpn)
        return DenseOutputs(fpn, objectness, deltas, self.semantic_head.stride4(fpn))

    def detect(self, dense: DenseOutputs, image_size: tuple[int, int], test: TestConfig) -> list[Detections]:
        """Detect the instances from the outputs of the dense part.

        Args:
            dense: Outputs of `forward` or of a back end, on the device of the weights.
            image_size: Height and width in px of the images inside the padding at the bottom and right.
            test: Settings of the proposals and of the box head.

        Returns:
            The detections of each image.
        """
        proposals, _ = self.rpn.proposals(dense.objectness, dense.deltas, image_size, test)
        return self.roi_heads(dense.fpn, proposals, image_size, test)

    def head_outputs(
        self, dense: DenseOutputs, image_size: tuple[int, int], test: TestConfig
    ) -> list[tuple[Tensor, Detections]]:
        """Compute the outputs of the heads at the size of the image.

        Args:
            dense: Outputs of `forward` or of a back end, on the device of the weights.
            image_size: Height and width in px of the images inside the padding at the bottom and right.
            test: Settings of the proposals and of the box head.

        Returns:
            For each image the semantic logits `(classes, height, width)` float32, without the padding, and the
            detections.
        """
        height, width = image_size
        detections = self.detect(dense, image_size, test)
        semantic_logits = self.semantic_head.enlarge(dense.semantic_logits)[:, :, :height, :width].float()
        return list(zip(semantic_logits, detections, strict=True))

    def fuse(
        self,
        dense: DenseOutputs,
        image_size: tuple[int, int],
        test: TestConfig,
        *,
        classes: ClassTable,
        output_size: tuple[int, int] | None = None,
        with_confidence: bool = False,
    ) -> list[PanopticPrediction]:
        """Compute the predictions from the outputs of the dense part.

        Args:
            dense: Outputs of `forward` or of a back end, on the device of the weights.
            image_size: Height and width in px of the images inside the padding at the bottom and right.
            test: Settings of the heads and of the fusion.
            classes: Classes of the network.
            output_size: Height and width of the predictions in px; None stands for `image_size`.
            with_confidence: Whether to compute the maps from which `PanopticPrediction.confidence_map` is made.

        Returns:
            One prediction for each image.
        """
        if dense.semantic_logits.is_cuda:
            batched = self._fuse_batched(dense, image_size, test, classes, output_size or image_size, with_confidence)
            if all(prediction is not None for prediction in batched):
                return [prediction for prediction in batched if prediction is not None]
        predictions = []
        for logits, detections in zip(dense.semantic_logits, self.detect(dense, image_size, test), strict=True):
            fused = self.fusion(
                logits,
                detections,
                test,
                stride=self.semantic_head.stride,
                size=image_size,
                with_confidence=with_confidence,
            )
            predictions.append(to_prediction(fused, classes, output_size))
        return predictions

    def _fuse_batched(
        self,
        dense: DenseOutputs,
        image_size: tuple[int, int],
        test: TestConfig,
        classes: ClassTable,
        output_size: tuple[int, int],
        with_confidence: bool,
    ) -> list[PanopticPrediction | None]:
        """Do what `fuse` does in tensors of fixed shapes; the result is None for an image that they do not fit."""
        proposals, is_proposal, is_exact = batched_proposals(self.rpn, dense.objectness, dense.deltas, image_size, test)
        found = batched_detections(self.roi_heads, dense.fpn, proposals, is_proposal, image_size, test)
        stride, num_stuff = self.semantic_head.stride, self.fusion.num_stuff
        results = []
        for i, logits in enumerate(dense.semantic_logits):
            detections = Detections(found.boxes[i], found.scores[i], found.labels[i], found.mask_logits[i])
            visit = batched_visit(
                logits, detections, found.is_valid[i], stride=stride, size=image_size, num_stuff=num_stuff, test=test
            )
            results.append(
                pack(
                    visit.code,
                    EnlargedLogits(logits, stride, image_size),
                    detections.labels,
                    detections.scores,
                    visit.is_exact & is_exact[i] & found.is_exact[i],
                    num_stuff=num_stuff,
                    min_stuff_area=test.min_stuff_area,
                    output_size=output_size,
                    with_confidence=with_confidence,
                )
            )
        return unpack(results, classes)

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
        """Segment a batch of images. The network must be in eval mode.

        Deviation: the published program squeezes the padded logits into the image's size, which shifts semantics
        against instances. Here the padding is cut off.

        Args:
            x: `(B, 3, H, W)`, normalised with the mean and std of the configuration, of the dtype and on the device of
                the weights; H and W are multiples of 32.
            score_threshold: Smallest score of a detection, 0 to 1; None stands for the configuration's value, here
                and below.
            overlap_threshold: Largest share of an instance that instances of higher scores may cover, 0 to 1.
            min_stuff_area: Smallest area of a stuff segment in px of the network's input.
            contain_instances: Whether an instance is restricted to the box of its detection.
            image_size: Height and width in px of the image inside the padding at the bottom and right; None stands for
                all of `x`.
            output_size: Height and width of the predictions in px; None stands for `image_size`.

        Returns:
            One prediction for each image.

        Raises:
            ValueError: `x` has another shape, or the network is in training mode.
            ConfigError: A threshold is outside its range.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % SIZE_DIVISOR or x.shape[3] % SIZE_DIVISOR or 0 in x.shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (B, 3, H, W) with H and W multiples of {SIZE_DIVISOR}."
            )
        if self.training:
            raise ValueError("The network is in training mode; call .eval() before predict.")
        thresholds = Thresholds(score_threshold, overlap_threshold, min_stuff_area, contain_instances)
        test = self.config.test.with_thresholds(thresholds)
        size = image_size or (x.shape[2], x.shape[3])
        return self.fuse(self(x), size, test, classes=self.config.classes, output_size=output_size)

    def fold_norms(self) -> EfficientPS:
        """Return an equal network for inference, in which every norm is folded into the convolution before it.

        Returns:
            A copy in eval mode that shares nothing with this network. It cannot be trained or saved.
        """
        folded = copy.deepcopy(self).eval()
        fold_norms_(folded)
        return folded
