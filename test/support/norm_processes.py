# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""One step of a norm layer in several processes; a module that the started processes can import."""

from __future__ import annotations

import datetime as dt

import torch
import torch.distributed as dist
from torch import Tensor

from opendr_panoptic_ros.network.layers import Norm
from opendr_panoptic_ros.training.norms import SyncNorm

PROCESSES = 2


def drawn() -> tuple[Tensor, ...]:
    """Return images, targets, weight and bias of a norm of 5 channels, the same in every process."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 5, 6, 7), (4, 5, 6, 7), (5,), (5,)]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def step(norm: Norm, images: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Return the result, the gradients and the statistics of one step of training."""
    with torch.no_grad():
        norm.weight.copy_(weight)
        norm.bias.copy_(bias)
    images = images.clone().requires_grad_()
    result = norm(images)
    (result - targets).square().mean().backward()
    assert images.grad is not None
    assert norm.weight.grad is not None
    assert norm.bias.grad is not None
    return {
        "result": result.detach(),
        "images": images.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
        "mean": norm.running_mean,
        "variance": norm.running_var,
    }


def process(rank: int, folder: str) -> None:
    """Run one step on this process's half of the images and save what came out."""
    torch.set_num_threads(1)
    limit = dt.timedelta(minutes=4)
    dist.init_process_group("gloo", f"file://{folder}/meeting", limit, world_size=PROCESSES, rank=rank)
    images, targets, weight, bias = drawn()
    half = slice(2 * rank, 2 * rank + 2)
    torch.save(step(SyncNorm(5), images[half], targets[half], weight, bias), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
