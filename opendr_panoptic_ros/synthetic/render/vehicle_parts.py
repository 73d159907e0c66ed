# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Parts that all vehicles share. The front of a vehicle is at positive z; it stands on y = 0."""

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
    """Return a function with one value everywhere.

    Args:
        value: The value.
    """
    return lambda y: np.full_like(y, value)


def between(y0: float, v0: float, y1: float, v1: float) -> Callable[[FloatArray], FloatArray]:
    """Return the linear function through two points.

    Args:
        y0: Argument of the first point.
        v0: Value of the first point.
        y1: Argument of the second point.
        v1: Value of the second point.
    """
    return lambda y: v0 + (v1 - v0) * (y - y0) / (y1 - y0)


def glass_color(rng: np.random.Generator) -> Rgb:
    """Return the colour of windows by day.

    Args:
        rng: Random number generator.
    """
    return hsv(rng.uniform(0.5, 0.65), rng.uniform(0.05, 0.3), rng.uniform(0.14, 0.42))


def add_inner_wheels(mesh: MeshBuilder, axles_z: list[float], half_width: float, radius: float) -> None:
    """Add wheels that are seen under the body; `add_outer_wheels` paints the near ones again.

    Args:
        mesh: The mesh of the vehicle.
        axles_z: z of each axle, metres.
        half_width: Half the width of the vehicle, metres.
        radius: Radius of the wheels, metres.
    """
    for z in axles_z:
        for side in (-1, 1):
            mesh.disc((side * (half_width - 0.05), radius, z), radius, RUBBER, normal=None)


def add_outer_wheels(
    mesh: MeshBuilder, axles_z: list[float], half_width: float, radius: float, rng: np.random.Generator
) -> None:
    """Add wheels on the flanks, with arch, tyre, rim and hub.

    Args:
        mesh: The mesh of the vehicle.
        axles_z: z of each axle, metres.
        half_width: Half the width of the vehicle, metres.
        radius: Radius of the wheels, metres.
        rng: Random number generator for the colour of the rims.
    """
    rim = scaled(STEEL, rng.uniform(0.5, 1.35))
    for side in (-1, 1):
        normal = (side, 0.0, 0.0)
        for z in axles_z:
            mesh.disc((side * (half_width + 0.005), radius * 1.04, z), radius * 1.17, BLACK, normal=normal)
            mesh.disc((side * (half_width + 0.01), radius, z), radius, RUBBER, normal=normal)
            mesh.disc((side * (half_width + 0.02), radius, z), radius * 0.62, rim, normal=normal, sides=10)
            mesh.disc((side * (half_width + 0.03), radius, z), radius * 0.2, scaled(rim, 0.5), normal=normal, sides=6)


def add_lamps(
    mesh: MeshBuilder,
    depth: Callable[[FloatArray], FloatArray],
    x: float,
    y: float,
    size: tuple[float, float],
    *,
    front: bool,
    lit: bool,
) -> None:
    """Add a pair of head lamps or tail lamps.

    Args:
        mesh: The mesh of the vehicle.
        depth: z of the front or rear end by height y.
        x: Distance of their outer edge from the centre, metres.
        y: Height of their centre, metres.
        size: Width and height, metres.
        front: Whether they are head lamps.
        lit: Whether they are on.
    """
    if front:
        color = (255.0, 250.0, 225.0) if lit else (208.0, 212.0, 218.0)
    else:
        color = (228.0, 28.0, 22.0) if lit else (165.0, 24.0, 22.0)
    for side in (-1, 1):
        a = sorted((side * x, side * (x - size[0])))
        mesh.on_end(rectangle(a[0], a[1], y - size[1] / 2, y + size[1] / 2), depth, color, front=front, glows=lit)


def add_number_plate(mesh: MeshBuilder, depth: Callable[[FloatArray], FloatArray], y: float, *, front: bool) -> None:
    """Add a number plate.

    Args:
        mesh: The mesh of the vehicle.
        depth: z of the front or rear end by height y.
        y: Height of its lower edge, metres.
        front: Whether it is at the front.
    """
    mesh.on_end(rectangle(-0.26, 0.26, y, y + 0.12), depth, (235, 235, 225), front=front)
    mesh.on_end(rectangle(-0.2, 0.2, y + 0.03, y + 0.09), depth, (70, 70, 75), front=front)
