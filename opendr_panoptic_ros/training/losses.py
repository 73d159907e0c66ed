# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The six losses of EfficientPS (paper sections 3.3, 3.4), each a mean over what all processes contribute together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.training.data import Truth
from opendr_panoptic_ros.training.targets import BoxTargets, Sampled, mask_targets

_HARDEST = 4  # one in so many pixels counts in the semantic loss
_RPN_BETA = 1 / 9
_BOX_BETA = 1.0


def semantic_loss(logits: Tensor, truths: Sequence[Truth]) -> Tensor:
    """Cross-entropy of the worst quarter of each image's pixels; void ones have none. logits: `(B, classes, H, W)`."""
    target = torch.stack([truth.semantic for truth in truths]).long()
    # One row a pixel is how channels_last logits lie in memory: nothing is copied, and a quarter of the time is saved.
    rows = logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).float()
    per_pixel = F.cross_entropy(rows, target.flatten(), ignore_index=VOID, reduction="none").view(len(truths), -1)
    return per_pixel.topk(per_pixel.shape[1] // _HARDEST, dim=1, sorted=False).values.mean()


def rpn_losses(
    objectness: Tensor,
    deltas: Tensor,
    sampled: Sequence[Sampled],
    truths: Sequence[Truth],
    targets: BoxTargets,
) -> tuple[Tensor, Tensor]:
    """Objectness: binary cross-entropy; boxes: smooth L1 of the positives; both a mean over the sampled anchors.

    objectness: `(B, anchors)` logits. deltas: `(B, anchors, 4)`.
    """
    total = mean_over_processes(sum(len(s.indices) for s in sampled), objectness.device)
    object_loss, box_loss = objectness.new_zeros((), dtype=torch.float32), deltas.new_zeros((), dtype=torch.float32)
    for image, (chosen, truth) in enumerate(zip(sampled, truths, strict=True)):
        num_positive = len(chosen.instances)
        is_object = torch.zeros(len(chosen.indices), device=objectness.device)
        is_object[:num_positive] = 1
        logits = objectness[image, chosen.indices].float()
        object_loss = object_loss + F.binary_cross_entropy_with_logits(logits, is_object, reduction="sum")
        found = deltas[image, chosen.indices[:num_positive]].float()
        wanted = targets.deltas(chosen.boxes[:num_positive], truth.boxes[chosen.instances])
        box_loss = box_loss + F.smooth_l1_loss(found, wanted, beta=_RPN_BETA, reduction="sum")
    return object_loss / total, box_loss / total


def box_losses(
    class_logits: Tensor,
    deltas: Tensor,
    sampled: Sequence[Sampled],
    truths: Sequence[Truth],
    targets: BoxTargets,
) -> tuple[Tensor, Tensor]:
    """Classes: cross-entropy; boxes: smooth L1 of the positives; both a mean over the sampled RoIs of all images.

    class_logits: `(N, 1 + things)`, column 0 background. deltas: `(N, 4 · (1 + things))`. Rows as in `sampled`.
    """
    total = mean_over_processes(len(class_logits), class_logits.device)
    labels, positives, wanted = [], [], []
    for chosen, truth in zip(sampled, truths, strict=True):
        num_positive = len(chosen.instances)
        label = torch.zeros(len(chosen.boxes), dtype=torch.int64, device=class_logits.device)
        label[:num_positive] = truth.labels[chosen.instances] + 1
        labels.append(label)
        positives.append(label > 0)
        wanted.append(targets.deltas(chosen.boxes[:num_positive], truth.boxes[chosen.instances]))
    label, positive = torch.cat(labels), torch.cat(positives)
    class_loss = F.cross_entropy(class_logits.float(), label, reduction="sum")
    found = deltas.float().view(*class_logits.shape, 4)[positive]
    found = found[torch.arange(len(found), device=found.device), label[positive]]
    box_loss = F.smooth_l1_loss(found, torch.cat(wanted), beta=_BOX_BETA, reduction="sum")
    return class_loss / total, box_loss / total


def mask_loss(mask_logits: Tensor, sampled: Sequence[Sampled], truths: Sequence[Truth]) -> Tensor:
    """Binary cross-entropy of each positive's mask, in the channel of its class; a mean over cells and positives.

    mask_logits: `(P, 1 + things, 28, 28)`, the positives of all images; channel 0 is background and never used.
    """
    size = mask_logits.shape[-1]
    labels = torch.cat([t.labels[s.instances] + 1 for s, t in zip(sampled, truths, strict=True)])
    wanted = torch.cat(
        [
            mask_targets(t.instances, s.instances, s.boxes[: len(s.instances)], size)
            for s, t in zip(sampled, truths, strict=True)
        ]
    )
    total = mean_over_processes(len(labels), mask_logits.device)
    found = mask_logits[torch.arange(len(labels), device=labels.device), labels].float()
    return F.binary_cross_entropy_with_logits(found, wanted, reduction="sum") / (total * size**2)


def mean_over_processes(count: int, device: torch.device) -> Tensor:
    """The mean of every process's `count`, as a scalar on `device`; not quite 0 where nothing is held anywhere.

    A sum divided by it, averaged over the processes as their gradients are, is the mean over what all of them hold. A
    crowd over the whole of a crop leaves nothing to count: the sum, 0, divided by it is then 0 and not NaN.
    """
    total = torch.tensor(float(count), device=device)
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total.clamp(min=1e-6)
