# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The file `run.yaml` of a training's folder: its configuration, and how it was started."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.files import write_whole

RUN_FILE = "run.yaml"
"""Name of the file in the folder of a training."""

_DISTRIBUTIONS = ("opendr_panoptic_ros", "torch", "torchvision", "numpy", "mmengine", "mmdet", "mmcv-lite", "mmcv")


def write_run_record(work_dir: Path, config: Config, *, seed: int) -> None:
    """Write the configuration of a training, and add this start of it to the list of starts.

    Args:
        work_dir: Folder of the training.
        config: The configuration that is trained.
        seed: Seed of all random choices.
    """
    path = work_dir / RUN_FILE
    starts = _read(path).get("starts", []) if path.exists() else []
    starts.append(
        {
            "time": dt.datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": list(sys.argv),
            "seed": seed,
            "versions": {"python": platform.python_version(), **_versions()},
            "git": _git_state(),
        }
    )
    text = yaml.safe_dump({"config": config.to_dict(), "starts": starts}, sort_keys=False, allow_unicode=True)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def read_run_config(work_dir: str | Path) -> Config | None:
    """Read the configuration of a training.

    Args:
        work_dir: Folder of the training; `~` is expanded.

    Returns:
        The configuration, or None where the folder has no `run.yaml`.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = Path(work_dir).expanduser() / RUN_FILE
    return Config.from_dict(_read(path).get("config", {})) if path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}; repair or remove it.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not the record of a training; repair or remove it.")
    return content


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {name: installed[name] for name in _DISTRIBUTIONS if name in installed}


def _git_state() -> dict[str, Any] | None:
    """Return the commit of this package's source tree and whether files differ from it; None without git."""
    git = ["git", "-C", str(Path(__file__).resolve().parent)]
    try:
        commit, changes = (
            subprocess.run([*git, *arguments], check=True, capture_output=True, text=True, timeout=10).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "changed": bool(changes.strip())}
