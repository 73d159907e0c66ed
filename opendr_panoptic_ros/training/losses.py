# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The six losses of EfficientPS (paper sections 3.3 and 3.4), each a mean over the samples of all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from opendr_panoptic_ros.labels import VOID
from opendr_panoptic_ros.training.data import Truth
from opendr_panoptic_ros.training.targets import BoxTargets, Sampled, mask_targets

_HARDEST = 4  # the semantic loss uses the hardest quarter of the pixels
_RPN_BETA = 1 / 9
_BOX_BETA = 1.0


def semantic_loss(logits: Tensor, truths: Sequence[Truth]) -> Tensor:
    """Compute the semantic loss: the cross-entropy of the hardest quarter of each image's pixels.

    Args:
        logits: `(B, classes, H, W)` float.
        truths: Ground truth of each image; the loss of void pixels is 0.

    Returns:
        Scalar float32.
    """
    target = torch.stack([truth.semantic for truth in truths]).long()
    # Channels_last logits are stored as one row for each pixel: nothing is copied, and a quarter of the time is saved.
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
    """Compute the losses of the RPN, means over the sampled anchors of all images.

    Args:
        objectness: `(B, anchors)` logits.
        deltas: `(B, anchors, 4)` float.
        sampled: The sampled anchors of each image.
        truths: Ground truth of each image.
        targets: Encodes the targets of the boxes.

    Returns:
        Binary cross-entropy of the objectness, and smooth L1 of the deltas of positive anchors; scalars, float32.
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
    """Compute the losses of the box head, means over the sampled RoIs of all images.

    Args:
        class_logits: `(N, 1 + things)` float, column 0 = background; rows in the order of `sampled`.
        deltas: `(N, 4 · (1 + things))` float, rows as `class_logits`.
        sampled: The sampled RoIs of each image.
        truths: Ground truth of each image.
        targets: Encodes the targets of the boxes.

    Returns:
        Cross-entropy of the classes, and smooth L1 of the deltas of positive RoIs; scalars, float32.
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
    """Compute the mask loss: binary cross-entropy in the channel of the class, a mean over cells and positives.

    Args:
        mask_logits: `(P, 1 + things, 28, 28)` float, the positive RoIs of all images; channel 0 is unused.
        sampled: The sampled RoIs of each image.
        truths: Ground truth of each image.

    Returns:
        Scalar float32.
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
    """Return the mean count per process, at least 1e-6.

    Dividing a local sum by it makes the gradient average over processes the global mean. The lower limit turns the
    loss of a crop without any sample (a crowd region covers all of it) into 0 instead of NaN.

    Args:
        count: Number of samples in this process.
        device: Where to put the result.

    Returns:
        Scalar float32.
    """
    total = torch.tensor(float(count), device=device)
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total.clamp(min=1e-6)
