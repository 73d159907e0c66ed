# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Parts of objects: meshes, figures, textured panels and billboards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from typing_extensions import override

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray, PixelArray
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.mesh import Mesh
from opendr_panoptic_ros.synthetic.render.pose import Pose


class Part(Protocol):
    """Something that paints itself at a pose and a time."""

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float, /) -> None:
        """Paint image and segment ids.

        Args:
            canvas: The canvas to paint on.
            pose: Where the object stands.
            ids: Segment id of each slot.
            time_s: Time in seconds.
        """


@dataclass(frozen=True)
class MeshPart(Part):
    """Meshes in a row along z.

    Attributes:
        row: Each mesh with the z of its centre.
    """

    row: tuple[tuple[float, Mesh], ...]

    @override
    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        eye = (np.asarray(canvas.camera.position_m) - (pose.x, pose.y, pose.z)) @ pose.turn(np.array([0.0, 0.0, 1.0]))
        for _, mesh in sorted(self.row, key=lambda entry: -abs(entry[0] - eye)):
            canvas.draw_mesh(mesh, pose, ids)


@dataclass(frozen=True)
class SwitchedPart(Part):
    """A part with several states.

    Attributes:
        draw: Returns the part in a state.
        state: State by time in seconds.
    """

    draw: Callable[[Any], MeshPart]
    state: Callable[[float], Any]

    @override
    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        self.draw(self.state(time_s)).paint(canvas, pose, ids, time_s)


@dataclass(frozen=True)
class FigurePart(Part):
    """A figure that may move its limbs.

    Attributes:
        at: Figure by time in seconds.
    """

    at: Callable[[float], Figure]

    @override
    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], time_s: float) -> None:
        self.at(time_s).paint(canvas, pose, ids)


@dataclass(frozen=True)
class PanelPart(Part):
    """A textured upright rectangle.

    Attributes:
        draw: Returns the texture and its glow, see `Canvas.draw_panel`; called once, when the panel is first in view.
        corners: `(4, 3)` in local axes: bottom left, bottom right, top right and top left of the texture.
        normal: Outward unit normal in local axes; None for a panel that is seen from both sides.
    """

    draw: Callable[[], tuple[PixelArray, PixelArray | None]]
    corners: FloatArray
    normal: tuple[float, float, float] | None = None

    @cached_property
    def _texture(self) -> tuple[PixelArray, PixelArray | None]:
        return self.draw()

    @override
    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
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
class BillboardPart(Part):
    """A cut-out that faces the camera.

    Attributes:
        draw: Returns the cut-out, see `Canvas.draw_billboard`.
        width_m: Width in metres.
        height_m: Height in metres.
        base_m: Height of its lower edge above the ground, metres.
    """

    draw: Callable[[], PixelArray]
    width_m: float
    height_m: float
    base_m: float = 0.0

    @override
    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int], _time_s: float) -> None:
        base = np.array([pose.x, pose.y + self.base_m, pose.z])
        canvas.draw_billboard(self.draw, base, self.width_m, self.height_m, ids[0])
