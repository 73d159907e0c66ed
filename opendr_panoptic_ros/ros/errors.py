# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Texts of limited length for logs and diagnostics, which may quote messages and parameters of any size."""

from __future__ import annotations

_MAX_CHARACTERS = 500


def describe(error: BaseException) -> str:
    """Describe an error.

    Args:
        error: The error.

    Returns:
        Type and text of the error, shortened to 500 characters.
    """
    return shorten(f"{type(error).__name__}: {error}")


def shorten(text: str) -> str:
    """Limit the length of a text.

    Args:
        text: Any text.

    Returns:
        The text if it has at most 500 characters; else its beginning and its end.
    """
    if len(text) <= _MAX_CHARACTERS:
        return text
    half = _MAX_CHARACTERS // 2 - 3
    return f"{text[:half]} ... {text[-half:]}"
