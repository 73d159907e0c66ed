# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Finds the virtual environment with the node's Python packages, for the launch files.

The executables start with `#!/usr/bin/env python3`; they use the environment whose `bin` folder comes first in PATH.
This module runs in the Python of `ros2 launch`, so it uses the standard library only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

NO_ENVIRONMENT = "none"
"""The launch argument `venv` that selects no environment."""


def find_virtual_env(given: str, prefix: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the virtual environment to use.

    Args:
        given: The launch argument `venv`: a folder, "none", or an empty string to search: first `VIRTUAL_ENV` (the
            active environment), then `.venv` in the workspace of the package.
        prefix: Installation prefix of the package, `WORKSPACE/install` or `WORKSPACE/install/PACKAGE`.
        environment: The environment variables.

    Returns:
        The folder of the environment; None if there is none, or if the one found is for another Python version.

    Raises:
        ValueError: `given` is not a virtual environment, or is one of another Python version.
    """
    if given == NO_ENVIRONMENT:
        return None
    if given:
        folder = Path(given).expanduser().absolute()
        fault = _fault(folder)
        if fault:
            raise ValueError(f"venv:={given}: {fault}.")
        return folder
    active = environment.get("VIRTUAL_ENV", "")
    candidates = [Path(active)] if active else []
    candidates += [folder.parent / ".venv" for folder in (prefix, *prefix.parents[:1]) if folder.name == "install"]
    return next((folder for folder in candidates if not _fault(folder)), None)


def activation(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that activate a virtual environment for a process.

    Args:
        folder: The virtual environment.
        environment: The present environment variables.

    Returns:
        The variables to set.
    """
    path = [str(folder / "bin"), *filter(None, [environment.get("PATH")])]
    return {"VIRTUAL_ENV": str(folder), "PATH": os.pathsep.join(path)}


def _fault(folder: Path) -> str:
    """Return why a folder cannot be used, or an empty string."""
    try:
        configuration = (folder / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "it is not a virtual environment (there is no pyvenv.cfg)"
    if not (folder / "bin" / "python3").exists():
        return "it has no bin/python3"
    version = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", configuration, re.MULTILINE)
    if version and (int(version[1]), int(version[2])) != sys.version_info[:2]:
        return (
            f"it is for Python {version[1]}.{version[2]}, and ROS runs on {sys.version_info[0]}.{sys.version_info[1]}; "
            "make it with the Python of ROS"
        )
    return ""
