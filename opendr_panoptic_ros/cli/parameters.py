# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic parameters`: prints a parameter file of the node."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import Field, fields
from typing import Any

import typer

_WIDTH = 118
_HEAD = """\
# All parameters of the node, with their defaults. Copy this file, change it, and start the node with it:
#   ros2 launch opendr_panoptic_ros panoptic.launch.py params_file:=my_robot.yaml
# Parameters marked "Live" can be changed at any time: ros2 param set /opendr/panoptic_segmentation NAME VALUE
# Printed by `opendr-panoptic parameters`; docs/parameters.md contains the same as a table.

/**:
  ros__parameters:
"""


def parameters() -> None:
    """Print all parameters of the node with their defaults, as a parameter file to start from."""
    typer.echo(parameter_file(), nl=False)


def parameter_file() -> str:
    """Return a commented parameter file with all defaults."""
    from opendr_panoptic_ros.ros.parameters import NodeParameters

    return _HEAD + "\n".join(_entry(row) for row in fields(NodeParameters))


def literal(default: Any) -> str:
    """Return a default value in YAML.

    Args:
        default: The value.

    Returns:
        A scalar or a list on one line.
    """
    value = list(default) if isinstance(default, tuple) else default
    return value if isinstance(value, str) and re.fullmatch(r"[a-z]\w*", value) else json.dumps(value)


def _entry(row: Field[Any]) -> str:
    meta = row.metadata
    sentences = [meta["description"], f"Legal: {meta['expected']}." if meta["expected"] else ""]
    text = " ".join(filter(None, [*sentences, "Live." if meta["read_at"] == "frame" else ""]))
    lines = textwrap.wrap(text, _WIDTH, initial_indent="    # ", subsequent_indent="    # ")
    return "\n".join([*lines, f"    {row.name}: {literal(row.default)}", ""])
