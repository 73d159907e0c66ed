# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Options for processes that have other working folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from opendr_panoptic_ros.files import expand_user

T = TypeVar("T")

# The fields of options that are paths, or names of things that the package or a download has.
_PATHS = {"checkpoint", "config", "ego_mask", "ego_masks", "folder", "label_map"}


def with_absolute_paths(options: T) -> T:
    """Return options whose paths are absolute.

    Args:
        options: A dataclass of options, which may contain others.

    Returns:
        A copy. Names that are not paths of this machine stay as they are.
    """
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = with_absolute_paths(value)
        elif field.name in _PATHS:
            changes[field.name] = tuple(map(_absolute, value)) if isinstance(value, tuple) else _absolute(value)
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return expand_user(value).absolute()
    if isinstance(value, str) and (path := expand_user(value)).exists():
        return str(path.absolute())
    return value
