# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Functions of other libraries without their progress messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast


def without_prints(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of a function in which `print` does nothing.

    `contextlib.redirect_stdout` would silence every other thread as well.

    Args:
        function: A Python function; decorators are removed.

    Returns:
        The copy.
    """
    plain = cast("FunctionType", inspect.unwrap(function))
    quiet = FunctionType(
        plain.__code__,
        {**plain.__globals__, "print": _print_nothing},
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    quiet.__kwdefaults__ = plain.__kwdefaults__
    return quiet


def _print_nothing(*_values: object, **_options: object) -> None:
    pass
