# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Random weights with which an untrained network predicts several classes and instances in every image."""

from __future__ import annotations

import torch
from torch import nn

# Standard deviation of a weight times the square root of its fan-in; the first ending that matches counts. Signals keep
# their size through the blocks, and the last layers spread far enough for several classes to win pixels.
_GAINS = (
    ("conv_pwl", 0.5),
    ("conv_pw", 1.15),
    ("conv_dw", 1.15),
    ("semantic_head.conv_logits", 4.0),
    ("mask.conv_logits", 5.0),
    ("fc_cls", 9.0),
    ("fc_reg", 0.35),
    ("rpn_reg", 0.35),
    # Context from afar counts little: its dilated kernels reach past the border from everywhere in a small image, and
    # with random weights that alone would decide about most pixels.
    ("lateral_convs_ss.0.conv.conv", 0.1),
    ("lateral_convs_ss.1.conv.conv", 0.1),
    ("", 1.3),
)


@torch.no_grad()
def seed_weights_(network: nn.Module, seed: int) -> None:
    """Draw every weight of `network`, in place; the same seed gives the same network on every machine."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in network.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            continue
        gain = next(gain for ending, gain in _GAINS if name.endswith(ending))
        weight = torch.randn(module.weight.shape, generator=generator)
        fan_in = weight[0].numel()
        if fan_in >= 40:  # without the common part, which would drown what differs between the inputs
            weight -= weight.flatten(1).mean(1).view(-1, *(1 for _ in weight.shape[1:]))
        module.weight.copy_(weight * gain / fan_in**0.5)
        if module.bias is not None:
            module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
