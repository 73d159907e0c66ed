# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import functools

from opendr_panoptic_ros.formats.silence import without_prints


def _noisy(x, *, factor=2):
    print("working")
    return x * factor


def _decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("called")
        return function(*args, **kwargs)

    return wrapper


def test_same_result_without_a_word(capsys):
    assert without_prints(_noisy)(3) == 6
    assert without_prints(_decorated(_noisy))(3, factor=5) == 15
    assert capsys.readouterr().out == ""
    _noisy(1)
    assert capsys.readouterr().out == "working\n"  # the original still speaks
