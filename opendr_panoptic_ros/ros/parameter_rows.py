# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The rows of a table of parameters: a default, its meaning, the legal values and when a value is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

ReadAt = Literal["start", "configure", "frame"]
"""When a value is read: once at the start, at each configure, or for each frame."""


def parameter(
    default: Any,
    description: str,
    *,
    expected: str = "",
    accepts: Callable[[Any], bool] = lambda _: True,
    limits: tuple[float, float] | None = None,
    read_at: ReadAt = "configure",
    loose: bool = False,
    path_names: tuple[str, ...] | None = None,
) -> Any:
    """Return one row of the table.

    Args:
        default: Default value, whose type is the type of the parameter.
        description: Meaning of the parameter, one or more sentences.
        expected: Description of the legal values, which `accepts` enforces.
        accepts: Whether a value of the right type is legal.
        limits: The smallest and the largest legal value, instead of `accepts`.
        read_at: When the value is read.
        loose: Whether values of other types are passed to `accepts` as well.
        path_names: Of a parameter with paths, the names that are accepted instead of a path; None for others.
    """
    if limits is not None:
        low, high = limits
        expected = expected or (f"{low:.10g} to {high:.10g}" if math.isfinite(high) else f"{low:.10g} or more, finite")

        def accepts(value: Any) -> bool:
            return low <= value <= high and math.isfinite(value)

    if isinstance(default, bool):
        expected = "true or false"
    metadata = {
        "description": description,
        "expected": expected,
        "accepts": accepts,
        "limits": limits,
        "read_at": read_at,
        "loose": loose,
        "path_names": path_names,
    }
    return field(default=default, metadata=metadata)


def one_of(*choices: str) -> dict[str, Any]:
    """Return the keywords of `parameter` for a value out of several.

    Args:
        choices: The legal values.
    """
    return {"expected": "one of " + ", ".join(map(repr, choices)), "accepts": lambda value: value in choices}


def are_strings(value: Any) -> bool:
    """Return whether a value is a list of strings.

    Args:
        value: Any value.
    """
    return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)


def as_integers(value: Any) -> tuple[Any, ...]:
    """Return a value as a tuple: its elements, or the value itself if it has none.

    Args:
        value: An integer, or a list or array of them.
    """
    return (value,) if isinstance(value, int) else tuple(value)


OR_MORE = (0.0, math.inf)
"""Limits of a number that is not negative."""


def autostart() -> Any:
    """Return the row `autostart`, which every managed node has."""
    return parameter(
        True,
        "Whether the node configures and activates itself at the start. If not, it waits for a lifecycle manager.",
        read_at="start",
    )
