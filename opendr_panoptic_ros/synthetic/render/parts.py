# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Parts of objects: meshes, figures, textured panels and billboards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray, PixelArray
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.mesh import Mesh
from opendr_panoptic_ros.synthetic.render.pose import Pose


class Part(Protocol):
    """Something that paints itself at a pose and a time."""

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float, /) -> None:
        """Paint picture and ids."""


@dataclass(frozen=True)
class MeshPart:
    """Meshes as a part, one behind the other along z, each with the z of its middle."""

    row: tuple[tuple[float, Mesh], ...]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        """Paint the faces that look at the camera, of the farthest mesh first."""
        eye = (np.asarray(canvas.camera.position_m) - (pose.x, pose.y, pose.z)) @ pose.turn(np.array([0.0, 0.0, 1.0]))
        for _, mesh in sorted(self.row, key=lambda entry: -abs(entry[0] - eye)):
            canvas.draw_mesh(mesh, pose, ids)


@dataclass(frozen=True)
class SwitchedPart:
    """A part that depends on a state, by time; `draw` makes it, once for each state."""

    draw: Callable[[Any], MeshPart]
    state: Callable[[float], Any]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        """Paint the part of that time."""
        self.draw(self.state(time_s)).paint(canvas, pose, ids, time_s)


@dataclass(frozen=True)
class FigurePart:
    """A figure that may move its limbs."""

    at: Callable[[float], Figure]

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        """Paint the figure as it is at that time."""
        self.at(time_s).paint(canvas, pose, ids)


@dataclass(frozen=True)
class PanelPart:
    """A textured upright rectangle; `normal` None: seen from both sides.

    draw: makes the texture and where it glows; called once, when the panel is first seen.
    """

    draw: Callable[[], tuple[PixelArray, PixelArray | None]]
    corners: FloatArray
    normal: tuple[float, float, float] | None = None

    @cached_property
    def _texture(self) -> tuple[PixelArray, PixelArray | None]:
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
        canvas.draw_panel(lambda: self._texture, corners, normal, ids[0])


@dataclass(frozen=True)
class BillboardPart:
    """A sprite that faces the camera, its foot `base_m` above the ground. draw: gives its texture."""

    draw: Callable[[], PixelArray]
    width_m: float
    height_m: float
    base_m: float = 0.0

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        """Paint it."""
        base = np.array([pose.x, pose.y + self.base_m, pose.z])
        canvas.draw_billboard(self.draw, base, self.width_m, self.height_m, ids[0])
