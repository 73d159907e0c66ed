# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Trams as meshes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, mixed, paint_color, scaled
from opendr_panoptic_ros.synthetic.render.vehicle_parts import (
    REFLECTION,
    MeshRow,
    VehicleSize,
    add_lamps,
    between,
    constant,
    glass_color,
)


def tram(rng: np.random.Generator, *, lit: bool = False) -> tuple[MeshRow, VehicleSize]:
    """Return a tram of 2 to 4 cars, and its size.

    Args:
        rng: Random number generator.
        lit: Whether lamps and windows are lit.
    """
    half, height = rng.uniform(1.15, 1.3), rng.uniform(3.2, 3.5)
    cars, each = int(rng.integers(2, 5)), rng.uniform(6.5, 8.5)
    look = (paint_color(rng), paint_color(rng), glass_color(rng))
    with_pantograph = int(rng.integers(cars))
    row: list[tuple[float, Mesh]] = []
    for i in range(cars):
        middle = (i - (cars - 1) / 2) * each
        mesh = MeshBuilder()
        _tram_car(
            mesh,
            (middle - each / 2 + 0.25, middle + each / 2 - 0.25),
            half,
            height,
            look,
            first=i == 0,
            last=i == cars - 1,
            lit=lit,
        )
        if i == with_pantograph:
            _pantograph(mesh, middle + rng.uniform(-0.2, 0.2) * each, height + 0.3)
        row.append((middle, mesh.build()))
        if i < cars - 1:
            bellows = MeshBuilder()
            for k in range(3):
                z = middle + each / 2 - 0.26 + 0.17 * k
                bellows.box(
                    (-half * 0.9, half * 0.9), (0.35, height - 0.15), (z, z + 0.1), scaled(BLACK, 1.2 + 0.4 * (k % 2))
                )
            row.append((middle + each / 2, bellows.build()))
    return tuple(row), (2 * half, height, cars * each)


def _tram_car(
    mesh: MeshBuilder,
    span: tuple[float, float],
    half: float,
    height: float,
    look: tuple[Rgb, Rgb, Rgb],
    *,
    first: bool,
    last: bool,
    lit: bool,
) -> None:
    """Add one car between two z; the first car has a nose at the rear, the last one at the front."""
    (z0, z1), (color, accent, glass) = span, look
    width = between(0.25, half, height, half * 0.92)
    mesh.box((-half * 0.6, half * 0.6), (0.02, 0.4), (z0 + 0.7, z1 - 0.7), scaled(BLACK, 0.8))
    profile = [(z0, 0.22), (z0, height), (z1, height), (z1, 0.22)]
    if first:
        profile[:2] = [(z0, 0.22), (z0 - 0.1, 0.9), (z0 + 0.9, height - 0.15), (z0 + 1.2, height)]
    if last:
        profile[-2:] = [(z1 - 1.2, height), (z1 - 0.9, height - 0.15), (z1 + 0.1, 0.9), (z1, 0.22)]
    mesh.loft(profile, width, color)
    ends = (z0 + (1.1 if first else 0.25), z1 - (1.1 if last else 0.25))
    mesh.on_sides(rectangle(*ends, 1.25, 2.5), width, scaled(glass, 0.75))
    edges = np.linspace(*ends, 5)
    for k, (a, b) in enumerate(pairwise(edges)):
        if k == 2:
            mesh.on_sides(rectangle(a + 0.05, b - 0.05, 0.36, 2.5), width, scaled(accent, 0.8))
            mesh.on_sides(rectangle(a + 0.15, (a + b) / 2 - 0.04, 0.7, 2.35), width, glass)
            mesh.on_sides(rectangle((a + b) / 2 + 0.04, b - 0.15, 0.7, 2.35), width, glass)
        else:
            mesh.on_sides(rectangle(a + 0.06, b - 0.06, 1.32, 2.43), width, glass, glows=lit)
            mesh.on_sides(
                [(a + 0.2, 1.32), (a + 0.5, 1.32), (a + 0.9, 2.43), (a + 0.6, 2.43)],
                width,
                mixed(glass, REFLECTION, 0.2),
            )
    mesh.on_sides(rectangle(z0, z1, 0.24, 0.5), width, scaled(accent, 0.7))
    mesh.on_sides(rectangle(z0 + 0.3, z1 - 0.3, 2.65, 2.9), width, accent)
    mesh.box(
        (-half * 0.6, half * 0.6),
        (height, height + 0.3),
        (0.7 * z0 + 0.3 * z1, 0.3 * z0 + 0.7 * z1),
        scaled(STEEL, 0.85),
    )
    for is_end, sign, z in ((last, 1, z1), (first, -1, z0)):
        if not is_end:
            continue
        depth = between(0.9, z + sign * 0.1, height - 0.15, z - sign * 0.9)
        a, b = half * 0.86, half * 0.8
        mesh.on_end([(-a, 1.25), (a, 1.25), (b, 2.55), (-b, 2.55)], depth, glass, front=sign > 0)
        mesh.on_end(
            [(-a * 0.6, 1.25), (0, 1.25), (b * 0.3, 2.55), (-b * 0.2, 2.55)],
            depth,
            mixed(glass, REFLECTION, 0.2),
            front=sign > 0,
        )
        mesh.on_end(rectangle(-b * 0.6, b * 0.6, 2.65, 2.88), depth, (250, 180, 50), front=sign > 0, glows=True)
        skirt = constant(z + sign * 0.1)
        mesh.on_end(rectangle(-half * 0.98, half * 0.98, 0.26, 0.66), skirt, accent, front=sign > 0)
        add_lamps(mesh, skirt, half * 0.9, 0.8, (0.3, 0.18), front=sign > 0, lit=lit)


def _pantograph(mesh: MeshBuilder, z: float, y: float) -> None:
    """Add a pantograph above height y."""
    for (y0, z0), (y1, z1) in (((y, z - 0.7), (y + 0.6, z + 0.3)), ((y + 0.6, z + 0.3), (y + 1.15, z - 0.6))):
        mesh.face([(0, y0, z0 - 0.06), (0, y0, z0 + 0.06), (0, y1, z1 + 0.06), (0, y1, z1 - 0.06)], BLACK)
        for x in (-0.3, 0.22):
            mesh.face([(x, y0, z0), (x + 0.08, y0, z0), (x + 0.08, y1, z1), (x, y1, z1)], BLACK)
    mesh.box((-0.8, 0.8), (y + 1.15, y + 1.22), (z - 0.65, z - 0.55), BLACK)
