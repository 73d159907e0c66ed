# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The neck: features at four strides, fused from coarse to fine and from fine to coarse (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.network.layers import LEAKY_SLOPE, ConvNorm, MergingModule, merged_conv


class TwoWayFPN(MergingModule):
    """Four maps of equal channels from the four maps of the backbone.

    Merged, the two lateral convolutions of a map are one convolution, `lateral_convs`.

    Deviation from the paper, as in the released weights: the output convolutions are full 3×3 ones, not separable.

    Args:
        in_channels: Channels of the backbone's maps, from the finest to the coarsest.
        channels: Channels of each output.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral_convs_top = nn.ModuleList(ConvNorm(c, channels, 1) for c in in_channels)
        # The released weights number this set from the coarsest level on.
        self.lateral_convs_bottom = nn.ModuleList(ConvNorm(c, channels, 1) for c in reversed(in_channels))
        self.fpn_convs = nn.ModuleList(ConvNorm(channels, channels, 3) for _ in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Compute the maps of the neck.

        Args:
            maps: Maps of the backbone, `(B, in_channels[i], H / s, W / s)` at the strides s = 4, 8, 16, 32.

        Returns:
            Maps `(B, channels, H / s, W / s)` at the same strides.
        """
        if self.is_merged:
            laterals = [
                F.leaky_relu(lateral(x), LEAKY_SLOPE, inplace=True)
                for lateral, x in zip(self.lateral_convs, maps, strict=True)
            ]
            top, bottom = (list(side) for side in zip(*(both.chunk(2, dim=1) for both in laterals), strict=True))
        else:
            top = [lateral(x) for lateral, x in zip(self.lateral_convs_top, maps, strict=True)]
            bottom = [lateral(x) for lateral, x in zip(reversed(self.lateral_convs_bottom), maps, strict=True)]
        for i in range(len(top) - 1, 0, -1):
            top[i - 1] = top[i - 1] + F.interpolate(top[i], size=top[i - 1].shape[-2:], mode="nearest")
        for i in range(len(bottom) - 1):
            bottom[i + 1] = bottom[i + 1] + F.interpolate(bottom[i], size=bottom[i + 1].shape[-2:], mode="nearest")
        return [conv(t + b) for conv, t, b in zip(self.fpn_convs, top, bottom, strict=True)]

    @override
    def merge_(self) -> None:
        self.lateral_convs = nn.ModuleList()
        for top, bottom in zip(self.lateral_convs_top, reversed(self.lateral_convs_bottom), strict=True):
            self.lateral_convs.append(merged_conv(cast("list[nn.Conv2d]", [top.conv, bottom.conv])))
        del self.lateral_convs_top, self.lateral_convs_bottom
