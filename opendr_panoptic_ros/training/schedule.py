# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The optimiser and the learning rate of a training, fitted to its length."""

from __future__ import annotations

import dataclasses
from typing import Any

from opendr_panoptic_ros.config import ScheduleConfig

_MIN_WARMUP = 3
_POLY_POWER = 0.9


def bounded_schedule(schedule: ScheduleConfig, *, batches_per_epoch: int) -> ScheduleConfig:
    """Fit warm-up and decay to the length of a training; presets are made for datasets of thousands of images.

    The warm-up takes at most a fifth of the training. Where the last decay would come after the end, or before a third
    of the training, all decays are moved in proportion, so that the last one comes after nine tenths.

    Args:
        schedule: The configured schedule.
        batches_per_epoch: Batches of one epoch in one process.

    Returns:
        The schedule to use.
    """
    warmup = min(schedule.warmup_iterations, max(_MIN_WARMUP, schedule.epochs * batches_per_epoch // 5))
    decays = schedule.decay_epochs
    if decays and not schedule.epochs / 3 <= max(decays) < schedule.epochs:
        factor = 0.9 * schedule.epochs / max(decays)
        decays = tuple(epoch for epoch in (round(factor * decay) for decay in decays) if 0 < epoch < schedule.epochs)
    return dataclasses.replace(schedule, warmup_iterations=warmup, decay_epochs=decays)


def optim_wrapper(schedule: ScheduleConfig) -> dict[str, Any]:
    """Return mmengine's configuration of the optimiser.

    Args:
        schedule: The schedule.

    Returns:
        The configuration of an OptimWrapper.
    """
    optimizer: dict[str, Any] = {
        "type": schedule.optimizer,
        "lr": schedule.learning_rate,
        "weight_decay": schedule.weight_decay,
    }
    if schedule.optimizer == "SGD":
        optimizer["momentum"] = schedule.momentum
    wrapper: dict[str, Any] = {"optimizer": optimizer, "accumulative_counts": schedule.accumulate}
    if schedule.backbone_rate != 1:
        wrapper["paramwise_cfg"] = {"custom_keys": {"network.backbone.": {"lr_mult": schedule.backbone_rate}}}
    if schedule.max_gradient_norm > 0:
        wrapper["clip_grad"] = {"max_norm": schedule.max_gradient_norm}
    if schedule.precision == "float16":  # small gradients would become zero without a scaled loss
        return {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic", **wrapper}
    return {"type": "OptimWrapper", **wrapper}


def param_schedulers(schedule: ScheduleConfig, *, batches_per_epoch: int) -> list[dict[str, Any]]:
    """Return mmengine's configurations of warm-up and decay.

    Args:
        schedule: The schedule, fitted to the training by `bounded_schedule`.
        batches_per_epoch: Batches of one epoch in one process.

    Returns:
        The configurations of the schedulers of the learning rate.
    """
    schedulers: list[dict[str, Any]] = []
    warmup = schedule.warmup_iterations if schedule.warmup_iterations > 1 else 0
    if warmup:  # mmengine would stay at the start value of a warm-up of one step
        rise = {"type": "LinearLR", "start_factor": schedule.warmup_start, "by_epoch": False}
        schedulers.append({**rise, "begin": 0, "end": warmup})
    if schedule.decay_rule == "step":
        milestones = list(schedule.decay_epochs)
        schedulers.append({"type": "MultiStepLR", "milestones": milestones, "gamma": schedule.decay, "by_epoch": True})
    else:
        end = schedule.epochs * batches_per_epoch
        fall = {"eta_min": 0.0, "begin": warmup, "end": end, "by_epoch": False}
        if schedule.decay_rule == "cosine":
            schedulers.append({"type": "CosineAnnealingLR", "T_max": end - warmup, **fall})
        else:
            schedulers.append({"type": "PolyLR", "power": _POLY_POWER, **fall})
    return schedulers
