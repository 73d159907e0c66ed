# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The largest maps of the dense part by stripes of rows, on CPUs.

A chain of layers needs memory traffic between any two of them, unless the map is small enough for the cache. Therefore
chains of large maps are computed stripe by stripe, with the rows beside the stripe that the kernels reach. The results
are those of the modules themselves, apart from rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.network.backbone import Backbone, InvertedResidual
from opendr_panoptic_ros.network.layers import LEAKY_SLOPE, ConvNorm, SameConv2d
from opendr_panoptic_ros.network.rpn import RPN
from opendr_panoptic_ros.network.two_way_fpn import TwoWayFPN

_STRIPE_BYTES = 4 * 2**20
_SMALL_BYTES = 4 * _STRIPE_BYTES


def dense_in_stripes(network: EfficientPS, x: Tensor) -> DenseOutputs:
    """Compute the dense part of a network on the CPU.

    Args:
        network: A network with folded norms, in eval mode.
        x: `(B, 3, H, W)`, normalised, in channels_last memory format; H and W are multiples of 32.

    Returns:
        What `network(x)` returns.
    """
    fpn = neck_in_stripes(network.neck, backbone_in_stripes(network.backbone, x))
    objectness, deltas = rpn_in_stripes(network.rpn, fpn)
    return DenseOutputs(fpn, objectness, deltas, network.semantic_head.stride4(fpn))


def backbone_in_stripes(backbone: Backbone, x: Tensor) -> list[Tensor]:
    """Compute the backbone.

    Args:
        backbone: The backbone of a network with folded norms.
        x: `(B, 3, H, W)`, normalised.

    Returns:
        What `backbone(x)` returns.
    """
    x = backbone.bn1(backbone.conv_stem(x))
    outputs = []
    for stage, blocks in enumerate(backbone.blocks):
        for block in cast("nn.Sequential", blocks):
            x = _residual(block, x) if isinstance(block, InvertedResidual) else block(x)
        if stage in backbone.output_stages:
            outputs.append(x)
    return [*outputs, backbone.bn2(backbone.conv_head(x))]


def _residual(block: InvertedResidual, x: Tensor) -> Tensor:
    """Return what the block returns; its wide map exists in stripes only, if it is large."""
    batch, _, height, width = x.shape
    conv = block.conv_dw
    row_bytes = batch * conv.in_channels * width * x.element_size()
    if row_bytes * height <= _SMALL_BYTES:
        return block(x)
    stride, kernel = conv.stride[0], conv.kernel_size[0]
    top, left = (conv.total_padding(size, axis) // 2 for axis, size in enumerate((height, width)))
    right = conv.total_padding(width, 1) - left
    y = _map_like(x, block.conv_pwl.out_channels, -(-height // stride), -(-width // stride))
    for start, stop in _stripes(y.shape[2], row_bytes * stride):
        first, last = start * stride - top, (stop - 1) * stride - top + kernel
        rows = x[:, :, max(first, 0) : min(last, height)]
        wide = block.bn1(block.conv_pw(rows))
        above, below = max(-first, 0), max(last - height, 0)
        wide = block.bn2(_padded_conv(conv, wide, (left, right, above, below)))
        stripe = block.bn3(block.conv_pwl(wide))
        y[:, :, start:stop] = stripe.add_(x[:, :, start:stop]) if block.has_skip else stripe
    return y


def _padded_conv(conv: SameConv2d, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Convolve with a given padding: left, right, above, below."""
    left, right, above, below = padding
    if left == right and above == below:
        return F.conv2d(x, conv.weight, conv.bias, conv.stride, (above, left), 1, conv.groups)
    return F.conv2d(F.pad(x, padding), conv.weight, conv.bias, conv.stride, 0, 1, conv.groups)


def neck_in_stripes(neck: TwoWayFPN, maps: list[Tensor]) -> list[Tensor]:
    """Compute the neck; the lateral maps of the finest level exist in stripes only.

    Args:
        neck: The neck of a network with folded norms.
        maps: Maps of the backbone.

    Returns:
        What `neck(maps)` returns.
    """
    laterals = [_lateral(neck, level, maps[level]) for level in range(1, len(maps))]
    top, bottom = (list(side) for side in zip(*(both.chunk(2, dim=1) for both in laterals), strict=True))
    for i in range(len(top) - 1, 0, -1):
        top[i - 1] = top[i - 1] + _nearest(top[i], top[i - 1])
    # A 1×1 convolution of every second pixel is every second pixel of the convolution.
    shrunk = _lateral(neck, 0, maps[0][:, :, ::2, ::2]).chunk(2, dim=1)[1]
    bottom[0] = bottom[0] + shrunk
    for i in range(len(bottom) - 1):
        bottom[i + 1] = bottom[i + 1] + _nearest(bottom[i], bottom[i + 1])

    conv = cast("ConvNorm", neck.fpn_convs[0]).conv
    batch, _, height, width = maps[0].shape
    finest = _map_like(maps[0], conv.out_channels, height, width)
    for start, stop in _stripes(height, batch * 2 * conv.in_channels * width * finest.element_size(), least=16):
        first, last = max(start - 1, 0), min(stop + 1, height)
        of_top, of_bottom = _lateral(neck, 0, maps[0][:, :, first:last]).chunk(2, dim=1)
        rows = of_top + of_bottom
        coarse = top[0][:, :, first // 2 : (last + 1) // 2].repeat_interleave(2, dim=2)
        coarse = coarse[:, :, first % 2 : first % 2 + last - first]
        rows.unflatten(3, (-1, 2)).add_(coarse[..., None])
        rows = F.pad(rows, (0, 0, int(start == 0), int(stop == height)))
        stripe = F.conv2d(rows, conv.weight, conv.bias, padding=(0, 1))
        finest[:, :, start:stop] = F.leaky_relu(stripe, LEAKY_SLOPE, inplace=True)
    others = [conv(t + b) for conv, t, b in zip(neck.fpn_convs[1:], top, bottom, strict=True)]
    return [finest, *others]


def _lateral(neck: TwoWayFPN, level: int, x: Tensor) -> Tensor:
    """Return the top and the bottom lateral map of a level, concatenated."""
    return F.leaky_relu(neck.lateral_convs[level](x), LEAKY_SLOPE, inplace=True)


def _nearest(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def rpn_in_stripes(rpn: RPN, fpn: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Compute the RPN; its hidden maps exist in stripes only.

    Args:
        rpn: The RPN of a network with folded norms.
        fpn: Maps of the neck.

    Returns:
        What `rpn(fpn)` returns.
    """
    objectness, deltas = [], []
    conv, out = rpn.rpn_conv, rpn.rpn_out
    anchors = out.out_channels // 5
    for level in fpn:
        batch, channels, height, width = level.shape
        outputs = _map_like(level, out.out_channels, height, width)
        for start, stop in _stripes(height, batch * channels * width * level.element_size(), least=32):
            rows = level[:, :, max(start - 1, 0) : min(stop + 1, height)]
            rows = F.pad(rows, (0, 0, int(start == 0), int(stop == height)))
            hidden = F.relu(F.conv2d(rows, conv.weight, conv.bias, padding=(0, 1)), inplace=True)
            outputs[:, :, start:stop] = out(hidden)
        objectness.append(outputs[:, :anchors])
        deltas.append(outputs[:, anchors:])
    return objectness, deltas


def _stripes(height: int, row_bytes: int, least: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the first row and one past the last of each stripe."""
    rows = max(least, _STRIPE_BYTES // row_bytes)
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def _map_like(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Return an empty map in channels_last memory format."""
    shape = (x.shape[0], channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
