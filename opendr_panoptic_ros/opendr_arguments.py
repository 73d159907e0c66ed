# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What OpenDR's users write in the learner's arguments, in the words of our configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.config import PRESETS
from opendr_panoptic_ros.errors import ConfigError

SCHEDULE_NAMES = {"warmup_iters": "warmup_iterations", "warmup_ratio": "warmup_start", "gamma": "decay"}
"""OpenDR's names, and ours."""


def config_name(name: str | Path | None) -> str | Path:
    """OpenDR's `…/singlegpu_kitti.py` → kitti; None → the user's own default; any other name as it is."""
    if name is None:
        own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "opendr_panoptic_ros/default.yaml"
        return own if own.is_file() else "cityscapes"
    match = re.fullmatch(r"(?:single|multi)gpu_(\w+)\.py", Path(name).name)
    if match is None:
        return name
    return match[1] if match[1] in PRESETS else "cityscapes"  # OpenDR's sample configuration is Cityscapes'


def schedule_values(lr_schedule: Mapping[str, Any], optimizer_config: Mapping[str, Any]) -> dict[str, Any]:
    """OpenDR's dictionaries as values of our ScheduleConfig. Raises ConfigError for what is not supported."""
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
