# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The paths that parameters may be set to after the start, when every computer of the ROS domain can set them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from opendr_panoptic_ros.errors import quoted
from opendr_panoptic_ros.files import expand_user


class AllowedPaths:
    """Decides which paths parameters may be set to: those of the start, and those inside the allowed folders.

    Args:
        allowed: Folders and files; links are followed. Empty paths are ignored.
        start_values: The parameters at the start, of a table of parameters.py.
    """

    def __init__(self, allowed: Sequence[str], start_values: Any) -> None:
        self._allowed = [path for path in map(_resolved, filter(None, allowed)) if path is not None]
        # By name of a parameter with paths: the values that are accepted in any case.
        self._accepted: dict[str, set[str]] = {
            row.name: {"", *row.metadata["path_names"], *_paths(getattr(start_values, row.name))}
            for row in fields(start_values)
            if row.metadata["path_names"] is not None
        }

    def refusal(self, name: str, value: str | Sequence[str]) -> str:
        """Check a new value of a parameter.

        Args:
            name: Name of the parameter.
            value: A path, or a list of paths.

        Returns:
            The reason why the value is refused, or an empty string. The reason does not depend on whether a file
            exists.
        """
        if name not in self._accepted:
            return ""
        for path in _paths(value):
            if path not in self._accepted[name] and not self._is_inside(path):
                return (
                    f"{name} is {quoted(path)}, which is not inside one of allowed_paths. Start the node with this "
                    "value, or with its folder in allowed_paths."
                )
        return ""

    def _is_inside(self, path: str) -> bool:
        resolved = _resolved(path)
        return resolved is not None and any(resolved.is_relative_to(allowed) for allowed in self._allowed)


def _paths(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _resolved(path: str) -> Path | None:
    """Return the absolute path without links and `..`, or None for a path that no file can have."""
    try:
        return expand_user(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
