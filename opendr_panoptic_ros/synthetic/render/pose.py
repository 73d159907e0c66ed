# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Pose and trajectory of an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray


@dataclass(frozen=True)
class Pose:
    """Where an object stands, in metres, and where it faces: yaw 0 looks along z, positive to the right."""

    x: float
    z: float
    yaw: float = 0.0
    y: float = 0.0

    def to_world(self, points: FloatArray) -> FloatArray:
        """`(..., 3)` local points in world axes."""
        return self.turn(points) + np.array([self.x, self.y, self.z])

    def turn(self, directions: FloatArray) -> FloatArray:
        """`(..., 3)` local directions in world axes."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return directions @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


Trajectory = Callable[[float], Pose]
"""Where something is, by time in seconds."""


def stationary(x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> Trajectory:
    """The trajectory of what stands still."""
    pose = Pose(x, z, yaw, y)
    return lambda _time_s: pose
