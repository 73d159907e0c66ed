# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Errors caused by wrong input. Each message states what was given, what was expected and what to do."""

from __future__ import annotations

import reprlib


class PanopticError(Exception):
    """Base class of the package's errors."""


class CheckpointError(PanopticError, ValueError):
    """A checkpoint is missing, unreadable, unsafe, or does not fit the network."""


class ConfigError(PanopticError, ValueError):
    """A configuration file or value is missing, unknown, or out of its range."""


class DatasetError(PanopticError, ValueError):
    """A dataset folder or file is missing, unreadable, or inconsistent."""


class ImageEncodingError(PanopticError, ValueError):
    """An image message has an unknown encoding, or its data does not fit its header."""


class DownloadError(PanopticError, OSError):
    """A download failed: no network, no such file, or unexpected content."""


class _ShortRepr(reprlib.Repr):
    """Formats at most the outer two levels of a nested value and the beginning of a long one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = 4
        self.maxstring = self.maxother = 200

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - the library's interface
        return repr(x) if abs(x) < 10**40 else "a number of more than 40 digits"


_SHORT = _ShortRepr()
SHOWN_CHARACTERS = 40
"""Largest number of characters that a message quotes of a file's or a peer's content."""


def quoted(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """Return foreign content in a form that is safe in a message: one line of printable ASCII, truncated.

    Args:
        value: Anything; a large or deeply nested value is not formatted as a whole.
        limit: Largest number of characters.

    Returns:
        The beginning of the value as `repr` writes it.
    """
    return _cut(_SHORT.repr(value), limit)


def plain(name: object, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the name of an entry of a foreign file like `quoted`, but text without quotation marks.

    Args:
        name: Text, or a value that takes its place.
        limit: Largest number of characters.

    Returns:
        The beginning of the name; characters that are not printable are escaped.
    """
    return _cut(_SHORT.repr(name)[1:-1] if isinstance(name, str) else _SHORT.repr(name), limit)


def reason(error: BaseException | None) -> str:
    """Return the text of an error for the user.

    Args:
        error: The error.

    Returns:
        Its text; that of an unexpected error, one that is not a PanopticError, begins with the name of its type.
    """
    return str(error) if isinstance(error, PanopticError) else f"{type(error).__name__}: {error}"


def _cut(text: str, limit: int) -> str:
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
