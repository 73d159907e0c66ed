# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Functions of other libraries without their progress messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast


def without_prints(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, except that `print` in it says nothing.

    A copy with a `print` of its own, because `contextlib.redirect_stdout` would also silence every other thread.
    """
    plain = cast("FunctionType", inspect.unwrap(function))
    quiet = FunctionType(
        plain.__code__,
        {**plain.__globals__, "print": _say_nothing},
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    quiet.__kwdefaults__ = plain.__kwdefaults__
    return quiet


def _say_nothing(*_values: object, **_options: object) -> None:
    pass
