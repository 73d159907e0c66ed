# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Declares, reads and checks the parameters of a node by the table in parameters.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from opendr_panoptic_ros.errors import ConfigError, quoted
from opendr_panoptic_ros.postprocess import check_class_names
from opendr_panoptic_ros.ros.allowed_paths import AllowedPaths
from opendr_panoptic_ros.ros.parameter_rows import OR_MORE, are_strings, as_integers

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

Table = TypeVar("Table")
"""A dataclass of parameters.py."""

_TYPE_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", tuple: "a list of strings"}


def declare_parameters(node: Node, table: type[Any]) -> None:
    """Declare all parameters of a table.

    Args:
        node: The node, with a callback that calls `refusal`.
        table: The table, a dataclass of parameters.py.

    Raises:
        rclpy.exceptions.ParameterException: A value given on the command line or in a file is not legal.
    """
    for row in fields(table):
        # Dynamic typing, because `refusal` accepts integers for floats and names the legal values.
        descriptor = ParameterDescriptor(
            description=row.metadata["description"],
            additional_constraints=row.metadata["expected"],
            read_only=row.metadata["read_at"] == "start",
            dynamic_typing=True,
        )
        low, high = row.metadata["limits"] or OR_MORE
        if math.isfinite(high):  # tools that display sliders need a finite range
            if isinstance(row.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
            else:
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        node.declare_parameter(row.name, default, descriptor)


def read_parameters(node: Node, table: type[Table]) -> Table:
    """Read the present values.

    Args:
        node: A node on which the parameters are declared.
        table: The table, a dataclass of parameters.py.

    Returns:
        The values, each of the type of its default.
    """
    rows: tuple[Field[Any], ...] = fields(cast("Any", table))
    return table(**{row.name: _typed(row, node.get_parameter(row.name).value) for row in rows})


def refusal(
    parameters: list[Parameter[Any]],
    table: type[Any],
    *,
    present: Any,
    class_names: Sequence[str] = (),
    allowed_paths: AllowedPaths | None = None,
) -> str:
    """Check new values of parameters. Parameters that are not in the table are ignored.

    Args:
        parameters: The new values.
        table: The table, a dataclass of parameters.py.
        present: The present values if the node is configured, so that only those read for each frame can be changed;
            None if it is not.
        class_names: Names of the network's classes, if the node is configured.
        allowed_paths: The paths that are accepted; None during the start, which may set any path.

    Returns:
        The reason why the values cannot be set, or an empty string.
    """
    rows = {row.name: row for row in fields(table)}
    for parameter in parameters:
        row = rows.get(parameter.name)
        if row is None:
            continue
        value = cast("Any", parameter.value)
        has_type = row.metadata["loose"] or _has_type_of(row.default, value)
        if not has_type or not row.metadata["accepts"](value):
            expected = row.metadata["expected"] or f"a value such as {row.default!r}"
            kind = "" if has_type else f"{_TYPE_NAMES[type(row.default)]}: "
            return f"{row.name} is {quoted(value)}; expected {kind}{expected}."
        if allowed_paths is not None and (reason := allowed_paths.refusal(row.name, value)):
            return reason
        if present is None:
            continue
        if row.metadata["read_at"] == "configure" and _typed(row, value) != getattr(present, row.name):
            return (
                f"{row.name} is read when the node is configured, and the node is configured now. "
                "Deactivate and clean up the node, set the parameter, then configure again."
            )
        if row.name in {"classes", "mask_classes"}:
            try:
                check_class_names(set(value) - {""}, class_names, row.name)
            except ConfigError as error:
                return str(error)
    return ""


def _typed(row: Field[Any], value: Any) -> Any:
    """Convert a legal value to the type of the row's default."""
    default: Any = row.default
    if row.name == "image_rotation":
        return as_integers(value)
    return value if row.name == "inference_size" else type(default)(value)


def _has_type_of(default: Any, value: Any) -> bool:
    """Whether a value has the type of the default, or is an integer where the default is a float."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return are_strings(value)
    return isinstance(value, type(default))
