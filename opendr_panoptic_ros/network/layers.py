# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The network's small parts: the norm with its odd weight, convolutions with their norm, folding the two together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.01


class Norm(nn.BatchNorm2d):
    """`act((x - mean) / sqrt(var + eps) * (|weight| + eps) + bias)`, act a leaky ReLU or nothing.

    The released weights have both signs; the absolute value and the eps on the weight come from the activated batch
    norm they were trained with. In training mode the batch's statistics are used and tracked, as in BatchNorm2d.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, activation: bool = True) -> None:
        super().__init__(channels, eps=eps)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape and dtype."""
        weight = self.weight.abs() + self.eps
        momentum = self.momentum or 0.0
        x = F.batch_norm(x, self.running_mean, self.running_var, weight, self.bias, self.training, momentum, self.eps)
        return F.leaky_relu(x, LEAKY_SLOPE) if self.activation else x


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: output size `ceil(n / stride)`, the odd pixel of padding last."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` → `(B, C', ceil(H / stride), ceil(W / stride))`."""
        (kernel_h, kernel_w), (stride_h, stride_w) = self.kernel_size, self.stride
        pad_h = _same_padding(x.shape[-2], kernel_h, stride_h)
        pad_w = _same_padding(x.shape[-1], kernel_w, stride_w)
        if pad_h % 2 == 0 and pad_w % 2 == 0:  # symmetric: the convolution pads by itself, without a copy
            return F.conv2d(x, self.weight, self.bias, self.stride, (pad_h // 2, pad_w // 2), 1, self.groups)
        x = F.pad(x, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _same_padding(size: int, kernel: int, stride: int) -> int:
    """Total padding of one axis."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


class ConvNorm(nn.Module):
    """A convolution without bias, padded to keep the size, and its norm with leaky ReLU."""

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
        """`(B, in, H, W)` → `(B, out, H, W)`."""
        return self.bn(self.conv(x))


class SeparableConv(nn.Module):
    """A depthwise 3×3 and a 1×1 convolution, each with norm and leaky ReLU; only the depthwise part is dilated."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(in_channels, in_channels, 3, groups=in_channels, dilation=dilation)
        self.pointwise_conv = ConvNorm(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, in, H, W)` → `(B, out, H, W)`."""
        return self.pointwise_conv(self.depthwise_conv(x))


@torch.no_grad()
def fold_norms_(module: nn.Module) -> None:
    """Every norm inside `module` is folded into the convolution before it and replaced by its activation, in place.

    A module says which pairs it owns in `folds`: names of (convolution, norm). The arithmetic is done in float64.
    """
    for child in module.modules():
        for conv_name, norm_name in getattr(child, "folds", ()):
            conv, norm = getattr(child, conv_name), getattr(child, norm_name)
            if not isinstance(norm, Norm):  # folded before
                continue
            scale = (norm.weight.double().abs() + norm.eps) / (norm.running_var.double() + norm.eps).sqrt()
            bias = norm.bias.double() - norm.running_mean.double() * scale
            conv.weight = nn.Parameter((conv.weight.double() * scale[:, None, None, None]).to(conv.weight.dtype))
            conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
            setattr(child, norm_name, nn.LeakyReLU(LEAKY_SLOPE, inplace=True) if norm.activation else nn.Identity())
