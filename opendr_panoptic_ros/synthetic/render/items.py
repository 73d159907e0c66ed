# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Item: something that stands on the ground, made of parts; and the order in which items hide each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from opendr_panoptic_ros.synthetic.render.camera import Camera, Floats, Picture
from opendr_panoptic_ros.synthetic.render.canvas import Canvas, Pose
from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.mesh import Mesh

_SHADOWS_SEEN_M = 80.0

Path = Callable[[float], Pose]
"""Where something is, by time in seconds."""


class Part(Protocol):
    """Something that paints itself at a pose and a time."""

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float, /) -> None:
        """Paint picture and ids."""


@dataclass(frozen=True)
class Solid:
    """Meshes as a part, one behind the other along z, each with the z of its middle."""

    row: tuple[tuple[float, Mesh], ...]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        """Paint the faces that look at the camera, of the farthest mesh first."""
        eye = (np.asarray(canvas.camera.position_m) - (pose.x, pose.y, pose.z)) @ pose.turn(np.array([0.0, 0.0, 1.0]))
        for _, mesh in sorted(self.row, key=lambda entry: -abs(entry[0] - eye)):
            canvas.mesh(mesh, pose, ids)


@dataclass(frozen=True)
class Switching:
    """A part that depends on a state, by time; `draw` makes it, once for each state."""

    draw: Callable[[int], Solid]
    state: Callable[[float], int]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        """Paint the part of that time."""
        self.draw(self.state(time_s)).paint(canvas, pose, ids, time_s)


@dataclass(frozen=True)
class Moving:
    """A figure that may move its limbs."""

    at: Callable[[float], Figure]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        """Paint the figure as it is at that time."""
        self.at(time_s).paint(canvas, pose, ids)


@dataclass(frozen=True)
class Panel:
    """A textured upright rectangle; `normal` None: seen from both sides.

    draw: makes the texture and where it glows; called once, when the panel is first seen.
    """

    draw: Callable[[], tuple[Picture, Picture | None]]
    corners: Floats
    normal: tuple[float, float, float] | None = None

    @cached_property
    def _texture(self) -> tuple[Picture, Picture | None]:
        return self.draw()

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        """Paint it unless it looks away."""
        corners = pose.to_world(self.corners)
        towards = np.asarray(canvas.camera.position_m) - corners[0]
        if self.normal is None:
            across = np.cross(corners[1] - corners[0], (0.0, 1.0, 0.0))
            normal = across / (np.linalg.norm(across) + 1e-9) * np.sign(across @ towards)
        else:
            normal = pose.turn(np.asarray(self.normal))
            if normal @ towards <= 0:
                return
        canvas.panel(lambda: self._texture, corners, normal, ids[0])


@dataclass(frozen=True)
class Cutout:
    """A sprite that faces the camera, its foot `base_m` above the ground. draw: gives its texture."""

    draw: Callable[[], Picture]
    width_m: float
    height_m: float
    base_m: float = 0.0

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        """Paint it."""
        base = np.array([pose.x, pose.y + self.base_m, pose.z])
        canvas.sprite(self.draw, base, self.width_m, self.height_m, ids[0])


@dataclass(frozen=True)
class Item:
    """Parts that move together.

    ids: the segment id of each slot. half_m: half extents in local x and z. bottom_m, top_m: what casts the shadow.
    reach_m: how far parts stick out beyond the extents.
    """

    parts: tuple[Part, ...]
    ids: tuple[int, ...]
    path: Path
    half_m: tuple[float, float]
    top_m: float
    bottom_m: float = 0.0
    casts_shadow: bool = True
    reach_m: float = 0.6

    def footprint(self, time_s: float) -> tuple[float, float, float, float]:
        """x0, x1, z0, z1 in metres of the box around it."""
        pose = self.path(time_s)
        c, s = abs(np.cos(pose.yaw)), abs(np.sin(pose.yaw))
        x, z = self.half_m[0] * c + self.half_m[1] * s, self.half_m[0] * s + self.half_m[1] * c
        return pose.x - x, pose.x + x, pose.z - z, pose.z + z

    def paint(self, canvas: Canvas, time_s: float) -> None:
        """Paint all parts."""
        pose = self.path(time_s)
        for part in self.parts:
            part.paint(canvas, pose, self.ids, time_s)

    def paint_shadow(self, canvas: Canvas, time_s: float) -> None:
        """Darken the ground under it and where it hides the sun."""
        if not self.casts_shadow:
            return
        pose = self.path(time_s)
        x, z = self.half_m
        if canvas.camera.to_camera(np.array([pose.x, 0.0, pose.z]))[2] > _SHADOWS_SEEN_M:
            return
        square = np.array([(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)])
        if self.bottom_m == 0 and max(x, z) > 0.15:
            canvas.shadow(pose.to_world(square * 1.06) * (1, 0, 1), 0.42, contact=True)
        light = canvas.light
        if light.shadow < 0.05:
            return
        away = -np.array([light.to_sun[0], 0.0, light.to_sun[2]]) / light.to_sun[1]
        corners = pose.to_world(square) * (1, 0, 1)
        points = np.concatenate([corners + away * self.bottom_m, corners + away * min(self.top_m, 30.0)])
        canvas.shadow(points, light.shadow, contact=False)


def fixed(x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> Path:
    """The path of what stands still."""
    pose = Pose(x, z, yaw, y)
    return lambda _time_s: pose


def painting_order(boxes: Floats, camera: Camera) -> list[int]:
    """Indices of `(n, 4)` boxes x0, x1, z0, z1 from behind to front.

    Two boxes on either side of an upright plane across x or z: the one on the camera's side may hide the other, not
    the other way round. Boxes that overlap go by distance.
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
