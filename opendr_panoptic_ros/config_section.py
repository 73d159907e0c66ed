# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Sections of the configuration: entries with rules for their values, read from and written to plain dicts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from typing_extensions import Self

from opendr_panoptic_ros.errors import ConfigError, plain, quoted


class Rule(NamedTuple):
    """The values that an entry accepts.

    Attributes:
        expected: The values in words, for error messages.
        accepts: Whether a value is one of them.
    """

    expected: str
    accepts: Callable[[Any], bool]


ABOVE_0 = Rule("a number above 0", lambda value: value > 0)
FROM_0 = Rule("0 or more", lambda value: value >= 0)
FROM_1 = Rule("at least 1", lambda value: value >= 1)
SHARE = Rule("0 to 1", lambda value: 0 <= value <= 1)
SHARE_BELOW_1 = Rule("0 up to, not including, 1", lambda value: 0 <= value < 1)


def one_of(*choices: str) -> Rule:
    """Return the rule of an entry with a fixed set of values.

    Args:
        choices: The values.
    """
    return Rule(" or ".join(choices), lambda value: value in choices)


def entry(default: Any, rule: Rule) -> Any:
    """Declare an entry of a section, as a dataclass field.

    Args:
        default: Default value, which also determines the type.
        rule: Rule for the values.
    """
    return dataclasses.field(default=default, metadata={"rule": rule})


def require(holds: bool, name: str, got: object, expected: str) -> None:
    """Raise the error of a value that is not legal.

    Args:
        holds: Whether the value is legal.
        name: Name of the value, such as `model.num_stuff`.
        got: The value.
        expected: The legal values in words.

    Raises:
        ConfigError: The value is not legal.
    """
    if not holds:
        raise ConfigError(f"{name} is {quoted(got)}; expected {expected}.")


def refuse_unknown(values: dict[str, Any], known: set[str], where: str) -> None:
    """Raise the error of entries that do not exist.

    Args:
        values: The entries that were given.
        known: Names of the entries that exist.
        where: What they are entries of.

    Raises:
        ConfigError: An entry does not exist.
    """
    unknown = sorted(plain(name) for name in set(values) - known)
    if unknown:
        named = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise ConfigError(f"{where} has unknown entries {named}; known are {', '.join(sorted(known))}.")


@dataclasses.dataclass(frozen=True)
class Section:
    """Base of the sections: frozen dataclasses whose values are checked against the rules of their entries.

    Attributes:
        section: Name of the section in a configuration file.
    """

    section: ClassVar[str]

    def __post_init__(self) -> None:
        for declared in dataclasses.fields(self):
            rule = declared.metadata.get("rule")
            if rule is not None:
                value = getattr(self, declared.name)
                require(rule.accepts(value), f"{self.section}.{declared.name}", value, rule.expected)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a section, each value cast to the type of its default: YAML has 8 for 8.0, and lists for tuples.

        Args:
            values: Values by name of the entry; entries that are left out have their defaults.

        Returns:
            The section.

        Raises:
            ConfigError: An entry is unknown, or a value is of another type or not legal.
        """
        defaults: dict[str, Any] = {declared.name: declared.default for declared in dataclasses.fields(cls)}
        refuse_unknown(values, set(defaults), cls.section)
        cast: dict[str, Any] = {}
        for name, value in values.items():
            default = defaults[name]
            try:
                if isinstance(default, tuple):
                    _of_type((list, tuple), value)
                    cast[name] = tuple(_number(type(default[0]), v) for v in value)
                elif isinstance(default, str | bool):
                    cast[name] = _of_type(type(default), value)
                else:
                    cast[name] = _number(type(default), value)
            except (TypeError, ValueError, OverflowError) as error:
                raise ConfigError(
                    f"{cls.section}.{name} is {quoted(value)}; expected something like {default!r}."
                ) from error
        return cls(**cast)

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name of the entry, with lists for tuples."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _of_type(wanted: type | tuple[type, ...], value: Any) -> Any:
    """Return the value, or raise TypeError if it is of another type, such as the string "no" for False."""
    if not isinstance(value, wanted):
        raise TypeError(f"not of the type {wanted}")
    return value


def _number(wanted: type, value: Any) -> Any:
    """Convert a value to int or float. YAML reads 1e-4 as a string, so strings are converted too."""
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number) or (wanted is int and not number.is_integer()):
        raise ValueError(f"not a finite {wanted.__name__}")
    return wanted(number)
