# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Meshes of flat faces, and MeshBuilder, which makes them of boxes, lofts, discs and polygons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray

Color = Sequence[float]
_CUBE = np.array(
    [[(a, 0, 0), (a, 1, 0), (a, 1, 1), (a, 0, 1)] for a in (0, 1)]
    + [[(0, a, 0), (1, a, 0), (1, a, 1), (0, a, 1)] for a in (0, 1)]
    + [[(0, 0, a), (1, 0, a), (1, 1, a), (0, 1, a)] for a in (0, 1)],
    float,
)
"""`(6, 4, 3)` corners of the faces of the unit cube."""
_CUBE_NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)


@dataclass(frozen=True)
class Mesh:
    """Flat faces in local axes, in drawing order.

    Attributes:
        vertices: `(N, 3)` corners of all faces; face i owns `starts[i]:starts[i + 1]`. Metres.
        starts: `(F + 1,)` indices into `vertices`.
        colors: `(F, 3)` RGB, 0 to 255.
        normals: `(F, 3)` outward unit normals.
        slots: `(F,)` index of each face's segment id among the ids of its object.
        two_sided: `(F,)` whether a face is drawn from behind too.
        glows: `(F,)` whether a face is unshaded.
    """

    vertices: FloatArray
    starts: np.ndarray
    colors: FloatArray
    normals: FloatArray
    slots: np.ndarray
    two_sided: np.ndarray
    glows: np.ndarray


class MeshBuilder:
    """Collects faces. `slot` is the slot of the faces that are added next."""

    def __init__(self) -> None:
        self.slot = 0
        self._faces: list[FloatArray] = []
        self._colors: list[Color] = []
        self._normals: list[FloatArray] = []
        self._flags: list[tuple[int, bool, bool]] = []

    def face(
        self,
        points: ArrayLike,
        color: Color,
        *,
        away_from: ArrayLike | None = None,
        normal: ArrayLike | None = None,
        glows: bool = False,
    ) -> None:
        """Add a flat polygon; it is two-sided unless `normal` or `away_from` orients it.

        Args:
            points: `(n, 3)` corners.
            color: RGB, 0 to 255.
            away_from: A point inside the solid that the face belongs to.
            normal: Outward unit normal.
            glows: Whether the face is unshaded.
        """
        corners = np.asarray(points, float)
        if normal is None:
            direction = _newell(corners.tolist())
            if away_from is not None and direction @ (corners[0] - np.asarray(away_from, float)) < 0:
                direction = -direction
        else:
            direction = np.asarray(normal, float)
        self._faces.append(corners)
        self._colors.append(color)
        self._normals.append(direction)
        self._flags.append((self.slot, away_from is None and normal is None, glows))

    def solid(self, ring_a: ArrayLike, ring_b: ArrayLike, color: Color, *, side_colors: Sequence[Color] = ()) -> None:
        """Add the hull between two polygons with the same number of corners: both ends and the strips between them.

        Args:
            ring_a: `(n, 3)` corners of one end.
            ring_b: `(n, 3)` corners of the other end.
            color: RGB, 0 to 255.
            side_colors: Colours of the first strips; the others get `color`.
        """
        a, b = np.asarray(ring_a, float), np.asarray(ring_b, float)
        middle = 0.5 * (a.mean(axis=0) + b.mean(axis=0))
        for i in range(len(a)):
            j = (i + 1) % len(a)
            self.face([a[i], a[j], b[j], b[i]], side_colors[i] if i < len(side_colors) else color, away_from=middle)
        self.face(a, color, away_from=middle)
        self.face(b, color, away_from=middle)

    def box(self, x: Sequence[float], y: Sequence[float], z: Sequence[float], color: Color) -> None:
        """Add a box along the axes.

        Args:
            x: Lower and upper limit.
            y: Lower and upper limit.
            z: Lower and upper limit.
            color: RGB, 0 to 255.
        """
        low, high = np.array([x[0], y[0], z[0]]), np.array([x[1], y[1], z[1]])
        self._faces.extend(low + _CUBE * (high - low))
        self._colors.extend([color] * 6)
        self._normals.extend(_CUBE_NORMALS)
        self._flags.extend([(self.slot, False, False)] * 6)

    def loft(
        self,
        profile_zy: ArrayLike,
        half_width: Callable[[FloatArray], FloatArray],
        color: Color,
        **options: Sequence[Color],
    ) -> None:
        """Add a body given by its side view and its width.

        Args:
            profile_zy: `(n, 2)` side view.
            half_width: Half the width by height y.
            color: RGB, 0 to 255.
            options: Passed to `solid`.
        """
        profile = np.asarray(profile_zy, float)
        x = half_width(profile[:, 1])
        left, right = (np.column_stack([sign * x, profile[:, 1], profile[:, 0]]) for sign in (-1, 1))
        self.solid(left, right, color, **options)

    def on_sides(
        self, zy: ArrayLike, half_width: Callable[[FloatArray], FloatArray], color: Color, *, glows: bool = False
    ) -> None:
        """Add a polygon of the side view to both flanks.

        Args:
            zy: `(n, 2)` corners.
            half_width: Half the width of the body by height y.
            color: RGB, 0 to 255.
            glows: Whether the faces are unshaded.
        """
        points = np.asarray(zy, float)
        x = half_width(points[:, 1]) + 0.01
        for sign in (-1, 1):
            self.face(np.column_stack([sign * x, points[:, 1], points[:, 0]]), color, normal=(sign, 0, 0), glows=glows)

    def on_end(
        self,
        xy: ArrayLike,
        depth: Callable[[FloatArray], FloatArray],
        color: Color,
        *,
        front: bool,
        glows: bool = False,
    ) -> None:
        """Add a polygon of the front view to the front or rear end.

        Args:
            xy: `(n, 2)` corners.
            depth: z of the end by height y, a linear function.
            color: RGB, 0 to 255.
            front: Whether the end faces positive z.
            glows: Whether the face is unshaded.
        """
        points = np.asarray(xy, float)
        sign = 1.0 if front else -1.0
        z = depth(points[:, 1]) + sign * 0.01
        slope = float(depth(np.array([1.0]))[0] - depth(np.array([0.0]))[0])
        normal = np.array([0.0, -sign * slope, 1.0 * sign])
        self.face(
            np.column_stack([points[:, 0], points[:, 1], z]), color, normal=normal / np.linalg.norm(normal), glows=glows
        )

    def disc(
        self, center: Sequence[float], radius: float, color: Color, *, normal: Sequence[float] | None, sides: int = 14
    ) -> None:
        """Add an upright disc perpendicular to the x axis.

        Args:
            center: x, y and z.
            radius: Radius in metres.
            color: RGB, 0 to 255.
            normal: Outward unit normal; None makes the disc two-sided.
            sides: Number of corners.
        """
        angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
        y, z = center[1] + radius * np.cos(angle), center[2] + radius * np.sin(angle)
        self.face(np.column_stack([np.full(sides, center[0]), y, z]), color, normal=normal)

    def build(self) -> Mesh:
        """Return the mesh of the faces added so far."""
        slots, two_sided, glows = zip(*self._flags, strict=True)
        return Mesh(
            vertices=np.concatenate(self._faces),
            starts=np.cumsum([0, *map(len, self._faces)]),
            colors=np.array(self._colors, float),
            normals=np.array(self._normals, float),
            slots=np.array(slots),
            two_sided=np.array(two_sided),
            glows=np.array(glows),
        )


def rectangle(a0: float, a1: float, b0: float, b1: float) -> list[tuple[float, float]]:
    """Return the four corners of a rectangle.

    Args:
        a0: Lower limit of the first coordinate.
        a1: Upper limit of the first coordinate.
        b0: Lower limit of the second coordinate.
        b1: Upper limit of the second coordinate.
    """
    return [(a0, b0), (a1, b0), (a1, b1), (a0, b1)]


def _newell(corners: list[list[float]]) -> FloatArray:
    """Return the unit normal of a flat polygon, convex or not (Newell's method)."""
    nx = ny = nz = 0.0
    x0, y0, z0 = corners[-1]
    for x1, y1, z1 in corners:
        nx += y0 * z1 - z0 * y1
        ny += z0 * x1 - x0 * z1
        nz += x0 * y1 - y0 * x1
        x0, y0, z0 = x1, y1, z1
    length = (nx * nx + ny * ny + nz * nz) ** 0.5 + 1e-9
    return np.array([nx / length, ny / length, nz / length])
