# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""YAML files that the user names or that are part of the package. They are small and may come from anyone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from opendr_panoptic_ros.errors import ConfigError, plain
from opendr_panoptic_ros.files import expand_user, is_file, read_small

_MAX_BYTES = 64 << 10


class _Loader(yaml.SafeLoader):
    """Reads YAML without aliases, because nested ones expand a few hundred bytes to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


def find_yaml(path_or_name: str | Path, names: Sequence[str], folder: str, *, what: str = "") -> Path:
    """Return the path of a YAML file that the user names.

    Args:
        path_or_name: A path, in which `~` is expanded, or one of `names`.
        names: Names of the files that are part of the package.
        folder: Folder of these files in the package.
        what: What the file contains, for the error message.

    Returns:
        The path of an existing file.

    Raises:
        ConfigError: There is no such file.
    """
    if str(path_or_name) in names:
        return Path(str(resources.files("opendr_panoptic_ros"))) / folder / f"{path_or_name}.yaml"
    try:
        path = expand_user(path_or_name)
    except OSError as error:
        raise ConfigError(f"{plain(str(path_or_name), 100)} cannot be read: {error.strerror}.") from error
    if not is_file(path):
        purpose = f" for {what}" if what else ""
        raise ConfigError(
            f"There is no file {plain(str(path), 100)}{purpose}; give a YAML file or one of {', '.join(names)}."
        )
    return path


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a mapping. The errors do not quote the file, which may be a file of secrets that was named by mistake.

    Args:
        path: A YAML file.

    Returns:
        The mapping.

    Raises:
        ConfigError: The file cannot be read, or holds no mapping.
    """
    try:
        values = yaml.load(read_small(path, limit_bytes=_MAX_BYTES), _Loader)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f": the fault is in line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{path} is not YAML that can be read{place}; aliases (*) are not supported.") from error
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML that can be read.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected a mapping of sections to values.")
    return values
