# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The backbone: EfficientNet without squeeze-and-excitation, with leaky ReLUs (paper section 3.1)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from opendr_panoptic_ros.network.layers import Norm, SameConv2d

_NORM_EPS = 1e-3
_EXPANSION = 6

# EfficientNet-B0's stages: blocks, kernel, stride of the first block, channels.
_STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320))
_STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


def scale_channels(channels: int, width: float) -> int:
    """Scale a number of channels and round it to a multiple of 8, as EfficientNet does.

    Args:
        channels: Channels of EfficientNet-B0.
        width: Width multiplier.

    Returns:
        The nearest multiple of 8 that is at least 8 and at least 90 % of `channels * width`.
    """
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def blocks_per_stage(depth: float) -> list[int]:
    """Compute the number of blocks of each stage.

    Args:
        depth: Depth multiplier.

    Returns:
        The numbers of EfficientNet-B0 times `depth`, rounded up.
    """
    return [math.ceil(blocks * depth) for blocks, _, _, _ in _STAGES]


class SeparableBlock(nn.Module):
    """The block of stage 0: a depthwise and a pointwise convolution, a leaky ReLU after each.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the depthwise kernel.
        stride: Stride of the depthwise convolution.
    """

    folds = (("conv_dw", "bn1"), ("conv_pw", "bn2"))

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.has_skip = stride == 1 and in_channels == out_channels
        self.conv_dw = SameConv2d(in_channels, in_channels, kernel, stride, groups=in_channels, bias=False)
        self.bn1 = Norm(in_channels, eps=_NORM_EPS)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = Norm(out_channels, eps=_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, ceil(H / stride), ceil(W / stride))`.
        """
        y = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return y.add_(x) if self.has_skip else y


class InvertedResidual(nn.Module):
    """The block of the other stages: expansion by six, depthwise convolution, projection without activation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the depthwise kernel.
        stride: Stride of the depthwise convolution.
    """

    folds = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.has_skip = stride == 1 and in_channels == out_channels
        wide = in_channels * _EXPANSION
        self.conv_pw = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = Norm(wide, eps=_NORM_EPS)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn2 = Norm(wide, eps=_NORM_EPS)
        self.conv_pwl = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.bn3 = Norm(out_channels, eps=_NORM_EPS, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, ceil(H / stride), ceil(W / stride))`.
        """
        y = self.bn1(self.conv_pw(x))
        y = self.bn2(self.conv_dw(y))
        y = self.bn3(self.conv_pwl(y))
        return y.add_(x) if self.has_skip else y


class Backbone(nn.Module):
    """EfficientNet's features at strides 4, 8, 16 and 32.

    `out_channels` holds the channels of the four outputs: for B5 40, 64, 176, 2048.

    Args:
        width: EfficientNet's width multiplier.
        depth: EfficientNet's depth multiplier.
    """

    folds = (("conv_stem", "bn1"), ("conv_head", "bn2"))
    output_stages = (1, 2, 4)  # the strides 4, 8, 16; the head gives 32

    def __init__(self, *, width: float, depth: float) -> None:
        super().__init__()
        channels = scale_channels(_STEM_CHANNELS, width)
        self.conv_stem = SameConv2d(3, channels, 3, 2, bias=False)
        self.bn1 = Norm(channels, eps=_NORM_EPS)

        self.blocks = nn.ModuleList()
        out_channels = []
        block_counts = blocks_per_stage(depth)
        for stage, (_, kernel, stride, base_channels) in enumerate(_STAGES):
            block_type = SeparableBlock if stage == 0 else InvertedResidual
            stage_blocks: list[nn.Module] = []
            for block in range(block_counts[stage]):
                in_channels, channels = channels, scale_channels(base_channels, width)
                stage_blocks.append(block_type(in_channels, channels, kernel, stride if block == 0 else 1))
            self.blocks.append(nn.Sequential(*stage_blocks))
            if stage in self.output_stages:
                out_channels.append(channels)

        head_channels = scale_channels(HEAD_CHANNELS, width)
        self.conv_head = nn.Conv2d(channels, head_channels, 1, bias=False)
        self.bn2 = Norm(head_channels, eps=_NORM_EPS)
        self.out_channels = (*out_channels, head_channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the features.

        Args:
            x: `(B, 3, H, W)`, normalised; H and W are multiples of 32.

        Returns:
            Four maps `(B, out_channels[i], H / s, W / s)` at the strides s = 4, 8, 16, 32.
        """
        x = self.bn1(self.conv_stem(x))
        outputs = []
        for stage, blocks in enumerate(self.blocks):
            x = blocks(x)
            if stage in self.output_stages:
                outputs.append(x)
        return [*outputs, self.bn2(self.conv_head(x))]
