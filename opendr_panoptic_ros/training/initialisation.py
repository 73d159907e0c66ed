"""Weights to start from: random ones, those of an EfficientNet, or those of another EfficientPS."""

from __future__ import annotations

import torch
from torch import nn

from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.layers import LEAKY_SLOPE


@torch.no_grad()
def initialise_weights_(network: EfficientPS, *, seed: int) -> None:
    """Draw the weights that training starts from, in place; the same seed gives the same ones.

    Signals keep their variance through the convolutions; the last layers start near zero, so that no class, box or
    proposal is preferred.
    """
    near_zero = {
        network.rpn.rpn_conv: 0.01,
        network.rpn.rpn_cls: 0.01,
        network.rpn.rpn_reg: 0.01,
        network.roi_heads.box.fc_cls: 0.01,
        network.roi_heads.box.fc_reg: 0.001,
        network.semantic_head.conv_logits: 0.01,
        network.roi_heads.mask.conv_logits: 0.01,
    }
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if module in near_zero:
                nn.init.normal_(module.weight, std=near_zero[module], generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
