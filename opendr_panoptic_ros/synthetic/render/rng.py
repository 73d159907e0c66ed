# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Random number generators that depend only on a seed and a purpose."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What the random numbers of a scene are used for.

    Each purpose has its own generator, so that a change of one part of a scene leaves the others as they are.
    """

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
    """Return a generator that depends only on its arguments, not on the process or on earlier draws.

    Args:
        seed: Seed of the scene, 0 or more.
        tags: The purpose, and further numbers such as the frame.
    """
    return np.random.Generator(np.random.PCG64([seed, *map(int, tags)]))
