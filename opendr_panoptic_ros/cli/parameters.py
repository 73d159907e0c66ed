# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic parameters`, and the two documents that it writes from the node's table of parameters."""

from __future__ import annotations

import functools
import json
import re
import textwrap
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.ros.parameters import NodeParameters

PARAMETER_FILE = Path("config/panoptic_node.yaml")
DOCUMENT = Path("docs/parameters.md")
_WIDTH = 118
_PARAMETER_FILE_HEAD = """\
# Every parameter of the node, with its default. Copy this file, change it, and start the node with it:
#   ros2 launch opendr_panoptic_ros panoptic.launch.py params_file:=my_robot.yaml
# What is marked "live" can be changed at any time: ros2 param set /opendr/panoptic_segmentation NAME VALUE
# Written by `opendr-panoptic parameters`; docs/parameters.md has the same as a table.

/**:
  ros__parameters:
"""
_DOCUMENT_HEAD = """\
# Parameters of the node

Written by `opendr-panoptic parameters --write .` from the table in `opendr_panoptic_ros/ros/parameters.py`.
`config/panoptic_node.yaml` holds them all, ready to be copied; `opendr-panoptic parameters` prints that file.

- **live**: can be changed at any time and holds from the next frame on, with
  `ros2 param set /opendr/panoptic_segmentation score_threshold 0.7`.
- **configure**: read when the node is configured. Deactivate and clean up the node, set it, configure again.
- **start**: fixed when the process starts.

A value that is not legal is refused; the reason says which are. Whole numbers are taken where a double is meant.

| parameter | type | default | legal values | changed | meaning |
|---|---|---|---|---|---|
"""
_DOCUMENT_TAIL = """
## Quality of service

Images are subscribed best effort with depth 5, which matches every camera; outputs are published reliable with depth 5,
which matches RViz and everything else. Both can be overridden before the topic is made, by its full name:

    qos_overrides./opendr/panoptic/semantic.publisher.reliability: best_effort
    qos_overrides./camera/image_raw.subscription.reliability: reliable
    qos_overrides./camera/image_raw.subscription.depth: 1

When a publisher does not match, `/diagnostics` and the log name both sides' settings.
"""


def parameters(
    write: Annotated[
        Path | None, typer.Option(help=f"Folder of the sources: writes {DOCUMENT} and {PARAMETER_FILE} there.")
    ] = None,
) -> None:
    """Print every parameter of the node with its default, as a parameter file to start from."""
    if write is None:
        typer.echo(parameter_file(), nl=False)
        return
    with user_errors():
        for path, text in ((write / PARAMETER_FILE, parameter_file()), (write / DOCUMENT, document())):
            if not path.parent.is_dir():
                raise PanopticError(f"There is no folder {path.parent}; give the folder of the package's sources.")
            write_whole(path, functools.partial(Path.write_text, data=text, encoding="utf-8"))
            typer.echo(path)


def parameter_file() -> str:
    """The text of a parameter file with every default, commented."""
    return _PARAMETER_FILE_HEAD + "\n".join(_entry(row) for row in fields(NodeParameters))


def document() -> str:
    """The table of parameters, in Markdown."""
    return _DOCUMENT_HEAD + "".join(map(_table_row, fields(NodeParameters))) + _DOCUMENT_TAIL


def _entry(row: Field[Any]) -> str:
    meta = row.metadata
    sentences = [meta["description"], f"Legal: {meta['expected']}." if meta["expected"] else ""]
    text = " ".join(filter(None, [*sentences, "Live." if meta["read_at"] == "frame" else ""]))
    lines = textwrap.wrap(text, _WIDTH, initial_indent="    # ", subsequent_indent="    # ")
    return "\n".join([*lines, f"    {row.name}: {_literal(row.default)}", ""])


def _table_row(row: Field[Any]) -> str:
    meta = row.metadata
    changed = {"frame": "live"}.get(meta["read_at"], meta["read_at"])
    cells = [f"`{row.name}`", _type(row), f"`{_literal(row.default)}`", meta["expected"], changed, meta["description"]]
    return "| " + " | ".join(cells) + " |\n"


def _literal(default: Any) -> str:
    """The value in YAML."""
    value = list(default) if isinstance(default, tuple) else default
    return value if isinstance(value, str) and re.fullmatch(r"[a-z]\w*", value) else json.dumps(value)


def _type(row: Field[Any]) -> str:
    if row.name == "inference_size":
        return "string or integer"
    return {bool: "bool", int: "integer", float: "double", str: "string", tuple: "string array"}[type(row.default)]
