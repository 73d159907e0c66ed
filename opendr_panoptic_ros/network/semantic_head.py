# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The semantic head: a class for every pixel (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.network.layers import ConvNorm, MergingModule, SeparableConv, convolution


def _enlarge(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)


class DensePredictionCells(nn.Module):
    """DPC: context at several scales, from a small graph of dilated separable convolutions.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        dilations = ((1, 6), (1, 1), (6, 21), (18, 15), (6, 3))  # (h, w) of a, b, c, d, e
        self.convs = nn.ModuleList(SeparableConv(in_channels, in_channels, dilation=d) for d in dilations)
        self.conv = ConvNorm(5 * in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, H, W)`.
        """
        a = self.convs[0](x)
        b, c, d = (self.convs[i](a) for i in (1, 2, 3))
        e = self.convs[4](d)
        return self.conv(torch.cat((a, b, c, d, e), dim=1))


class TwoSeparableConvs(nn.Module):
    """Two separable convolutions: LSFE, the fine features, and the first part of MC, the alignment between scales.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(SeparableConv(in_channels, out_channels), SeparableConv(out_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, H, W)`.
        """
        return self.convs(x)


class SemanticHead(MergingModule):
    """Logits of all stuff and thing classes, in the order of their train ids.

    The last convolution and the enlargements before it are linear and commute. Merged, the head computes the logits of
    each scale at the stride of the scale, with the convolutions `scale_logits`, and enlarges logits, not features.

    Args:
        in_channels: Channels of each map of the neck.
        channels: Channels inside the head.
        num_classes: Number of stuff and thing classes together.
    """

    stride = 4

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        # Two of each, from coarse to fine: DPC on P3 and P2, LSFE on P1 and P0, MC after s2 and after s1.
        self.lateral_convs_ss = nn.ModuleList(DensePredictionCells(in_channels, channels) for _ in range(2))
        self.lateral_convs_ls = nn.ModuleList(TwoSeparableConvs(in_channels, channels) for _ in range(2))
        self.aligning_convs = nn.ModuleList(TwoSeparableConvs(channels, channels) for _ in range(2))
        self.conv_logits = nn.Conv2d(4 * channels, num_classes, 1)

    def stride4(self, fpn: Sequence[Tensor]) -> Tensor:
        """Compute the logits at a quarter of the input's size.

        Args:
            fpn: Maps of the neck, `(B, in_channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.

        Returns:
            `(B, num_classes, H / 4, W / 4)`.
        """
        p0, p1, p2, p3 = fpn
        s3 = self.lateral_convs_ss[0](p3)
        s2 = self.lateral_convs_ss[1](p2)
        s1 = self.lateral_convs_ls[0](p1) + _enlarge(self.aligning_convs[0](s2 + _enlarge(s3, 2)), 2)
        if self.is_merged:
            # s0 is a sum of LSFE's and MC's features, which have the same weights in the last convolution.
            of_s0, of_s1, of_s2, of_s3 = self.scale_logits
            logits = of_s0(self.lateral_convs_ls[1](p0))
            logits = logits + _enlarge(of_s1(torch.cat((self.aligning_convs[1](s1), s1), dim=1)), 2)
            return logits + _enlarge(of_s2(s2), 4) + _enlarge(of_s3(s3), 8)
        s0 = self.lateral_convs_ls[1](p0) + _enlarge(self.aligning_convs[1](s1), 2)
        return self.conv_logits(torch.cat((s0, _enlarge(s1, 2), _enlarge(s2, 4), _enlarge(s3, 8)), dim=1))

    @override
    def merge_(self) -> None:
        s0, s1, s2, s3 = self.conv_logits.weight.chunk(4, dim=1)
        self.scale_logits = nn.ModuleList(
            convolution(weight.contiguous(), self.conv_logits.bias if weight is s0 else None)
            for weight in (s0, torch.cat((s0, s1), dim=1), s2, s3)
        )
        del self.conv_logits

    def enlarge(self, logits: Tensor) -> Tensor:
        """Resize the logits of `stride4` to the input's size, bilinearly.

        Args:
            logits: `(B, num_classes, H / 4, W / 4)`.

        Returns:
            `(B, num_classes, H, W)`.
        """
        return _enlarge(logits, self.stride)

    def forward(self, fpn: Sequence[Tensor]) -> Tensor:
        """Compute the logits at the size of the network's input.

        Args:
            fpn: Maps of the neck, `(B, in_channels, H / s, W / s)` at the strides s = 4, 8, 16, 32.

        Returns:
            `(B, num_classes, H, W)`.
        """
        return self.enlarge(self.stride4(fpn))
