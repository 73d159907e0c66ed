# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""SceneObject, and the order in which objects hide each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray
from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.parts import Part
from opendr_panoptic_ros.synthetic.render.pose import Trajectory

_SHADOWS_SEEN_M = 80.0


@dataclass(frozen=True)
class SceneObject:
    """Parts that move together.

    Attributes:
        parts: The parts, in drawing order.
        ids: The segment id of each slot of the parts.
        trajectory: Pose by time in seconds.
        half_extents_m: Half the extent along the local x and z axes, in metres.
        top_m: Upper edge of what casts a shadow, in metres above the ground.
        bottom_m: Lower edge of what casts a shadow, in metres above the ground.
        casts_shadow: Whether the object casts a shadow.
        reach_m: How far parts extend beyond the half extents, in metres.
    """

    parts: tuple[Part, ...]
    ids: tuple[int, ...]
    trajectory: Trajectory
    half_extents_m: tuple[float, float]
    top_m: float
    bottom_m: float = 0.0
    casts_shadow: bool = True
    reach_m: float = 0.6

    def footprint(self, time_s: float) -> tuple[float, float, float, float]:
        """Return x0, x1, z0, z1 of the bounding box on the ground, metres.

        Args:
            time_s: Time in seconds.
        """
        pose = self.trajectory(time_s)
        c, s = abs(np.cos(pose.yaw)), abs(np.sin(pose.yaw))
        half_x, half_z = self.half_extents_m
        x, z = half_x * c + half_z * s, half_x * s + half_z * c
        return pose.x - x, pose.x + x, pose.z - z, pose.z + z

    def paint(self, canvas: Canvas, time_s: float) -> None:
        """Paint all parts.

        Args:
            canvas: The canvas to paint on.
            time_s: Time in seconds.
        """
        pose = self.trajectory(time_s)
        for part in self.parts:
            part.paint(canvas, pose, self.ids, time_s)

    def paint_shadow(self, canvas: Canvas, time_s: float) -> None:
        """Darken the ground under the object and where it hides the sun.

        Args:
            canvas: The canvas to paint on.
            time_s: Time in seconds.
        """
        if not self.casts_shadow:
            return
        pose = self.trajectory(time_s)
        x, z = self.half_extents_m
        if canvas.camera.to_camera(np.array([pose.x, 0.0, pose.z]))[2] > _SHADOWS_SEEN_M:
            return
        square = np.array([(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)])
        if self.bottom_m == 0 and max(x, z) > 0.15:
            canvas.add_shadow(pose.to_world(square * 1.06) * (1, 0, 1), 0.42, contact=True)
        light = canvas.light
        if light.shadow < 0.05:
            return
        away = -np.array([light.to_sun[0], 0.0, light.to_sun[2]]) / light.to_sun[1]
        corners = pose.to_world(square) * (1, 0, 1)
        points = np.concatenate([corners + away * self.bottom_m, corners + away * min(self.top_m, 30.0)])
        canvas.add_shadow(points, light.shadow, contact=False)


def painting_order(boxes: FloatArray, camera: Camera) -> list[int]:
    """Return the order in which objects are painted, from back to front.

    Of two boxes on either side of an upright plane across x or z, only the one on the camera's side may hide the other.
    Boxes that overlap are ordered by distance.

    Args:
        boxes: `(n, 4)` footprints x0, x1, z0, z1, metres.
        camera: The camera that sees the objects.

    Returns:
        Indices of the boxes.
    """
    x, _, z = camera.position_m
    low, high, eye = boxes[:, [0, 2]], boxes[:, [1, 3]], np.array([x, z])
    before = (high[:, None] <= low[None] + 1e-6) & (eye >= high)[:, None]  # i below j along an axis, the eye above i
    after = (low[:, None] >= high[None] - 1e-6) & (eye <= low)[:, None]
    cannot_hide = (before | after).any(axis=2)
    first = cannot_hide & ~cannot_hide.T  # i must be painted before j
    waiting = first.sum(axis=0).astype(float)
    distance = np.hypot(*(boxes.reshape(-1, 2, 2).mean(axis=2) - eye).T)
    order: list[int] = []
    urgency = distance / (distance.max() + 1.0)
    for _ in range(len(boxes)):
        pick = int(np.argmin(waiting - urgency))
        order.append(pick)
        waiting -= first[pick]
        waiting[pick] = np.inf
    return order
