# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Parts that all vehicles share; length along z, the front at positive z, standing on y = 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray
from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, RUBBER, STEEL, Rgb, hsv, scaled

VehicleSize = tuple[float, float, float]
"""Width, height and length in metres."""
MeshRow = tuple[tuple[float, Mesh], ...]
"""Meshes one behind the other along z, each with the z of its middle."""
REFLECTION: Rgb = (202.0, 215.0, 230.0)


def constant(value: float) -> Callable[[FloatArray], FloatArray]:
    """The same value everywhere."""
    return lambda y: np.full_like(y, value)


def between(y0: float, v0: float, y1: float, v1: float) -> Callable[[FloatArray], FloatArray]:
    """The straight line through two points; it goes on beyond them."""
    return lambda y: v0 + (v1 - v0) * (y - y0) / (y1 - y0)


def glass_color(rng: np.random.Generator) -> Rgb:
    """The colour of windows by day."""
    return hsv(rng.uniform(0.5, 0.65), rng.uniform(0.05, 0.3), rng.uniform(0.14, 0.42))


def wheels(mesh: MeshBuilder, axles_z: list[float], half_width: float, radius: float) -> None:
    """Wheels seen under the body; the near ones are painted again by `near_wheels`."""
    for z in axles_z:
        for side in (-1, 1):
            mesh.disc((side * (half_width - 0.05), radius, z), radius, RUBBER, normal=None)


def near_wheels(
    mesh: MeshBuilder, axles_z: list[float], half_width: float, radius: float, rng: np.random.Generator
) -> None:
    """Wheels on the flanks, with arch, tyre, rim and hub."""
    rim = scaled(STEEL, rng.uniform(0.5, 1.35))
    for side in (-1, 1):
        normal = (side, 0.0, 0.0)
        for z in axles_z:
            mesh.disc((side * (half_width + 0.005), radius * 1.04, z), radius * 1.17, BLACK, normal=normal)
            mesh.disc((side * (half_width + 0.01), radius, z), radius, RUBBER, normal=normal)
            mesh.disc((side * (half_width + 0.02), radius, z), radius * 0.62, rim, normal=normal, sides=10)
            mesh.disc((side * (half_width + 0.03), radius, z), radius * 0.2, scaled(rim, 0.5), normal=normal, sides=6)


def lamps(
    mesh: MeshBuilder,
    depth: Callable[[FloatArray], FloatArray],
    x: float,
    y: float,
    size: tuple[float, float],
    *,
    front: bool,
    lit: bool,
) -> None:
    """Head lamps or tail lamps at ±x, centred at height y."""
    if front:
        color = (255.0, 250.0, 225.0) if lit else (208.0, 212.0, 218.0)
    else:
        color = (228.0, 28.0, 22.0) if lit else (165.0, 24.0, 22.0)
    for side in (-1, 1):
        a = sorted((side * x, side * (x - size[0])))
        mesh.on_end(rectangle(a[0], a[1], y - size[1] / 2, y + size[1] / 2), depth, color, front=front, glows=lit)


def number_plate(mesh: MeshBuilder, depth: Callable[[FloatArray], FloatArray], y: float, *, front: bool) -> None:
    """A plate whose lower edge is at y."""
    mesh.on_end(rectangle(-0.26, 0.26, y, y + 0.12), depth, (235, 235, 225), front=front)
    mesh.on_end(rectangle(-0.2, 0.2, y + 0.03, y + 0.09), depth, (70, 70, 75), front=front)
