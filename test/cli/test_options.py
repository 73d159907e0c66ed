# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Options that several commands share."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.cli import options
from opendr_panoptic_ros.errors import ConfigError


def test_the_help_lists_the_back_ends() -> None:
    (_, option) = get_args(options.Backend)
    names = re.search(r": (.*)\.", option.help)
    assert names is not None
    assert names[1].split(", ") == ["auto", *BACKENDS]


def test_class_names() -> None:
    known = ("road", "traffic light", "car")
    assert options.class_names(None, known) == ()
    assert options.class_names(["car, traffic light", "road"], known) == ("car", "traffic light", "road")
    with pytest.raises(ConfigError, match="--classes has 'bus', 'van'; expected some of road, traffic light, car"):
        options.class_names(["bus,car", "van,bus"], known)
