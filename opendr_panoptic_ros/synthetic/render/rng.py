# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Random number generators that depend on a seed and a purpose only."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What the random numbers of a scene are for: a change in one of them leaves the others as they are."""

    LIGHT = 1
    STREET = 2
    STATIC_OBJECTS = 3
    GROUND = 4
    SKY = 5
    THINGS = 6
    CAMERA = 7
    LENS = 8
    SENSOR = 9
    HOOD = 10


def rng_for(seed: int, *tags: int) -> np.random.Generator:
    """Return a generator."""
    return np.random.Generator(np.random.PCG64([seed, *map(int, tags)]))
