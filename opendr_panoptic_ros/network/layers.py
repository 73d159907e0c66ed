# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layers: the norm of the released weights, convolutions with their norm, and the folding of norms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.01


class Norm(nn.BatchNorm2d):
    """Batch norm `act((x - mean) / sqrt(var + eps) * (|weight| + eps) + bias)`.

    The released weights have both signs. The absolute value and the eps on the weight come from the activated batch
    norm they were trained with. In training mode the statistics of the batch are used and tracked, as in BatchNorm2d.

    Args:
        channels: Channels of the input.
        eps: Added to the variance and to the absolute weight.
        activation: Whether `act` is a leaky ReLU; otherwise it is the identity.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, activation: bool = True) -> None:
        super().__init__(channels, eps=eps)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate.

        Args:
            x: `(B, channels, H, W)`.

        Returns:
            A tensor of the same shape and dtype.
        """
        weight = self.weight.abs() + self.eps
        momentum = self.momentum or 0.0
        x = F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias, self.training, momentum, self.eps)
        return F.leaky_relu(x, LEAKY_SLOPE) if self.activation else x


class MergingModule(nn.Module, ABC):
    """A module whose weights have two arrangements: that of the checkpoints, and a faster one for inference.

    `is_merged` tells which one it has. `fold_norms_` changes it after the norms have been folded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_merged = False

    @abstractmethod
    def merge_(self) -> None:
        """Rearrange the weights for inference, in place. The module computes the same as before."""


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: output size `ceil(n / stride)`, the odd pixel of padding last."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, ceil(H / stride), ceil(W / stride))`.
        """
        pad_h, pad_w = self.total_padding(x.shape[-2], 0), self.total_padding(x.shape[-1], 1)
        if pad_h % 2 == 0 and pad_w % 2 == 0:  # symmetric: the convolution pads by itself, without a copy
            return F.conv2d(x, self.weight, self.bias, self.stride, (pad_h // 2, pad_w // 2), 1, self.groups)
        x = F.pad(x, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def total_padding(self, size: int, axis: int) -> int:
        """Compute the padding of both sides of one axis together; the floor of its half lies before the map.

        Args:
            size: Size of the input along the axis.
            axis: 0 for the rows, 1 for the columns.

        Returns:
            The padding in px.
        """
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


class ConvNorm(nn.Module):
    """A convolution without bias, padded to keep the size, and its norm with leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the kernel.
        groups: Number of groups of the convolution.
        dilation: Dilation of the rows and of the columns.
    """

    folds = (("conv", "bn"),)

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, groups: int = 1, dilation: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        padding = (dilation[0] * (kernel // 2), dilation[1] * (kernel // 2))
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=False
        )
        self.bn = Norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise and activate.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, H, W)`.
        """
        return self.bn(self.conv(x))


class SeparableConv(nn.Module):
    """A depthwise 3×3 and a 1×1 convolution, each with norm and leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dilation: Dilation of the rows and of the columns in the depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(in_channels, in_channels, 3, groups=in_channels, dilation=dilation)
        self.pointwise_conv = ConvNorm(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise and activate.

        Args:
            x: `(B, in_channels, H, W)`.

        Returns:
            `(B, out_channels, H, W)`.
        """
        return self.pointwise_conv(self.depthwise_conv(x))


@torch.no_grad()
def fold_norms_(module: nn.Module) -> None:
    """Fold every norm into the convolution before it and replace it by its activation, in place.

    The attribute `folds` of a module lists its pairs of (convolution, norm) by name. The arithmetic is done in float64.
    After that, every `MergingModule` rearranges its weights.

    Args:
        module: The module whose submodules are folded. Modules that are folded already stay as they are.
    """
    children = list(module.modules())
    for child in children:
        for conv_name, norm_name in getattr(child, "folds", ()):
            conv, norm = getattr(child, conv_name), getattr(child, norm_name)
            if not isinstance(norm, Norm):  # folded before
                continue
            scale = (norm.weight.double().abs() + norm.eps) / (norm.running_var.double() + norm.eps).sqrt()
            bias = norm.bias.double() - norm.running_mean.double() * scale
            conv.weight = nn.Parameter((conv.weight.double() * scale[:, None, None, None]).to(conv.weight.dtype))
            conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
            setattr(child, norm_name, nn.LeakyReLU(LEAKY_SLOPE, inplace=True) if norm.activation else nn.Identity())
    for child in children:
        if isinstance(child, MergingModule) and not child.is_merged:
            child.merge_()
            child.is_merged = True


def convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Return a convolution of stride 1, without padding, that has given weights.

    Args:
        weight: `(out_channels, in_channels, h, w)`, the kernels.
        bias: `(out_channels,)`, or None.

    Returns:
        The convolution.
    """
    out_channels, in_channels, height, width = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(in_channels, out_channels, (height, width), bias=bias is not None)
    conv.weight = nn.Parameter(weight.detach())
    conv.bias = None if bias is None else nn.Parameter(bias.detach())
    return conv


def merged_conv(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """Return one convolution that computes the outputs of several 1×1 convolutions of one input.

    Args:
        convs: Convolutions with bias.

    Returns:
        A convolution whose output is the concatenation of their outputs along the channels.
    """
    biases = torch.cat([conv.bias for conv in convs if conv.bias is not None])
    return convolution(torch.cat([conv.weight for conv in convs]), biases)
