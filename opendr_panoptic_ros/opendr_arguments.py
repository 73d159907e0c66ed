# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenDR's arguments of the learner, translated into our configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.config import PRESETS
from opendr_panoptic_ros.errors import ConfigError

SCHEDULE_NAMES = {"warmup_iters": "warmup_iterations", "warmup_ratio": "warmup_start", "gamma": "decay"}
"""Our name of each of OpenDR's entries."""


def config_name(name: str | Path | None) -> str | Path:
    """Translate a name of OpenDR's configuration files.

    Args:
        name: A YAML file, a preset, or OpenDR's name such as `…/singlegpu_kitti.py`. None = the user's own default,
            `~/.config/opendr_panoptic_ros/default.yaml`, where there is one, else cityscapes.

    Returns:
        A name for `Config.load`; kitti for the example above.
    """
    if name is None:
        own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "opendr_panoptic_ros/default.yaml"
        return own if own.is_file() else "cityscapes"
    match = re.fullmatch(r"(?:single|multi)gpu_(\w+)\.py", Path(name).name)
    if match is None:
        return name
    return match[1] if match[1] in PRESETS else "cityscapes"  # OpenDR's sample configuration is Cityscapes'


def schedule_values(lr_schedule: Mapping[str, Any], optimizer_config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate OpenDR's dictionaries into values of ScheduleConfig.

    Args:
        lr_schedule: policy, warmup, warmup_iters, warmup_ratio, step, gamma.
        optimizer_config: grad_clip.

    Returns:
        Values by the names of ScheduleConfig.

    Raises:
        ConfigError: An entry is not supported.
    """
    values: dict[str, Any] = {}
    for key, value in lr_schedule.items():
        if key in SCHEDULE_NAMES:
            values[SCHEDULE_NAMES[key]] = value
        elif key == "step":
            values["decay_epochs"] = value if isinstance(value, Sequence) else (value,)
        elif (key, value) == ("warmup", None):
            values["warmup_iterations"] = 0
        elif (key, value) not in (("policy", "step"), ("warmup", "linear")):
            raise ConfigError(
                f"lr_schedule has {key}={value!r}; known are policy='step', warmup='linear', step, "
                f"{', '.join(SCHEDULE_NAMES)}."
            )
    for key, value in optimizer_config.items():
        if key == "grad_clip" and (value is None or (isinstance(value, Mapping) and "max_norm" in value)):
            values["max_gradient_norm"] = value["max_norm"] if value else 0.0
        elif key != "type":
            raise ConfigError(f"optimizer_config has {key}={value!r}; known is grad_clip={{'max_norm': 35}}.")
    return values
