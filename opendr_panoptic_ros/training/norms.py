# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Norm layers whose statistics are taken over the images of all processes (paper section 4.2, synchronised iABN)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.network.layers import LEAKY_SLOPE, Norm


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes. Its gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


class SyncNorm(Norm):
    """A Norm that uses, in training mode, the mean and variance over the batches of all processes.

    torch's SyncBatchNorm runs on CUDA alone and cannot take the weight of `Norm`. This layer runs on every device. All
    processes must have batches of one size, as the training's loader makes them.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate.

        Args:
            x: `(B, channels, H, W)`.

        Returns:
            A tensor of the same shape and dtype.
        """
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = values.numel() // values.shape[1]
        mine = torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))])
        processes = torch.distributed.get_world_size()
        mean, mean_of_squares = _Sum.apply(mine) / processes
        variance = (mean_of_squares - mean.square()).clamp(min=0)
        with torch.no_grad():
            momentum, total = self.momentum or 0.0, count * processes
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (total / max(total - 1, 1)), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (self.weight.abs() + self.eps) * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        result = (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)
        return F.leaky_relu(result, LEAKY_SLOPE) if self.activation else result


def synchronise_norms_(model: nn.Module) -> None:
    """Make every Norm of a model a SyncNorm, in place; parameters and buffers stay the same objects.

    Args:
        model: The model to change.
    """
    _exchange_(model, Norm, SyncNorm)


def separate_norms_(model: nn.Module) -> None:
    """Make every SyncNorm of a model a Norm, in place; the inverse of `synchronise_norms_`.

    Args:
        model: The model to change.
    """
    _exchange_(model, SyncNorm, Norm)


def _exchange_(model: nn.Module, old: type[Norm], new: type[Norm]) -> None:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is old:
                replacement = new(child.num_features, eps=child.eps, activation=child.activation)
                replacement.momentum = child.momentum
                replacement.weight, replacement.bias = child.weight, child.bias
                for buffer, value in child.named_buffers():
                    setattr(replacement, buffer, value)
                setattr(parent, name, replacement.train(child.training))
