# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Segment ids of void and of the stuff classes, the same in all scenes; things have ids above them."""

from __future__ import annotations

from opendr_panoptic_ros.labels import CITYSCAPES

VOID_ID = 0
STUFF_IDS = tuple(range(1, CITYSCAPES.num_stuff + 1))
"""Segment ids of the stuff classes: train id + 1."""
(
    ROAD_ID,
    SIDEWALK_ID,
    BUILDING_ID,
    WALL_ID,
    FENCE_ID,
    POLE_ID,
    LIGHT_ID,
    SIGN_ID,
    VEGETATION_ID,
    TERRAIN_ID,
    SKY_ID,
) = STUFF_IDS
FIRST_THING_ID = len(STUFF_IDS) + 1
