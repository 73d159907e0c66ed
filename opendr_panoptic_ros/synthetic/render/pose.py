# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Poses and trajectories of objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray


@dataclass(frozen=True)
class Pose:
    """Position and heading of an object.

    Attributes:
        x: Position to the right, metres.
        z: Position along the street, metres.
        yaw: Heading in radians: 0 faces along z, positive values turn to the right.
        y: Height above the ground, metres.
    """

    x: float
    z: float
    yaw: float = 0.0
    y: float = 0.0

    def to_world(self, points: FloatArray) -> FloatArray:
        """Transform local points to world axes.

        Args:
            points: `(..., 3)` points in local axes, metres.

        Returns:
            `(..., 3)` points in world axes, metres.
        """
        return self.turn(points) + np.array([self.x, self.y, self.z])

    def turn(self, directions: FloatArray) -> FloatArray:
        """Rotate local directions into world axes.

        Args:
            directions: `(..., 3)` vectors in local axes.

        Returns:
            `(..., 3)` vectors in world axes.
        """
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return directions @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


Trajectory = Callable[[float], Pose]
"""Pose by time in seconds."""


def heading(direction: float) -> float:
    """Return the yaw of an object on the main street, in radians.

    Args:
        direction: Positive along z, negative against it.
    """
    return 0.0 if direction > 0 else np.pi


def stationary(x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> Trajectory:
    """Return the trajectory of an object that does not move.

    Args:
        x: Position to the right, metres.
        z: Position along the street, metres.
        yaw: Heading in radians.
        y: Height above the ground, metres.
    """
    pose = Pose(x, z, yaw, y)
    return lambda _time_s: pose
