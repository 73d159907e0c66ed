# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Options that several commands share."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import typer

from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.cli.main import app
from opendr_panoptic_ros.errors import ConfigError


def test_the_help_lists_the_back_ends() -> None:
    (_, option) = get_args(options.Backend)
    names = re.search(r": (.*)\.", option.help)
    assert names is not None
    assert names[1].split(", ") == ["auto", *BACKENDS]


def test_no_help_has_square_brackets() -> None:
    """Rich would take them for markup and leave their content out; defaults in words are `show_default`."""
    commands = vars(typer.main.get_command(app))["commands"]
    helps = [vars(parameter).get("help") or "" for command in commands.values() for parameter in command.params]
    assert len(helps) > len(commands)
    assert [text for text in helps if "[" in text] == []


def test_class_names() -> None:
    known = ("road", "traffic light", "car")
    assert options.class_names(None, known) == ()
    assert options.class_names(["car, traffic light", "road"], known) == ("car", "traffic light", "road")
    with pytest.raises(ConfigError, match="--classes has 'bus', 'van'; expected some of road, traffic light, car"):
        options.class_names(["bus,car", "van,bus"], known)
