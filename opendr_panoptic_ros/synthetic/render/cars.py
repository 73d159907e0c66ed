# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Cars as meshes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, mixed, paint_color, scaled
from opendr_panoptic_ros.synthetic.render.vehicle_parts import (
    REFLECTION,
    MeshRow,
    VehicleSize,
    add_inner_wheels,
    add_lamps,
    add_number_plate,
    add_outer_wheels,
    between,
    constant,
    glass_color,
)


def car(rng: np.random.Generator, *, lit: bool = False) -> tuple[MeshRow, VehicleSize]:
    """Return a hatchback, saloon, estate, off-roader or van, and its size.

    Args:
        rng: Random number generator.
        lit: Whether lamps and windows are lit.
    """
    kind = rng.choice(["hatch", "sedan", "estate", "suv", "van"], p=[0.28, 0.26, 0.14, 0.2, 0.12])
    low, tall = {
        "hatch": (3.7, 1.48),
        "sedan": (4.5, 1.44),
        "estate": (4.6, 1.5),
        "suv": (4.4, 1.72),
        "van": (4.9, 1.95),
    }[str(kind)]
    length, height = low * rng.uniform(0.94, 1.08), tall * rng.uniform(0.97, 1.04)
    half = rng.uniform(0.84, 0.95)
    belt = height * (0.6 if kind != "van" else 0.52)
    radius = 0.36 if kind in ("suv", "van") else rng.uniform(0.3, 0.34)
    front, rear = length / 2, -length / 2
    body_color, glass = paint_color(rng), glass_color(rng)
    trim = body_color if rng.random() < 0.6 else scaled(BLACK, 1.4)
    hood = front - {"van": 0.75, "hatch": 0.95}.get(str(kind), 1.25)
    trunk = rear + {"sedan": 0.95}.get(str(kind), 0.06)
    clearance = 0.2 if kind != "suv" else 0.28
    mesh = MeshBuilder()
    axles = [front - 0.78, rear + 0.75]
    add_inner_wheels(mesh, axles, half, radius)
    width = between(clearance, half, belt, half * 0.97)
    nose = belt - (0.12 if kind != "van" else 0.02)
    mesh.loft(
        [
            (rear + 0.08, clearance),
            (rear, 0.5),
            (rear + 0.04, belt),
            (hood, belt),
            (front - 0.12, nose),
            (front, 0.55),
            (front - 0.06, clearance),
        ],
        width,
        body_color,
    )
    slant = 0.75 if kind != "van" else 0.5
    rear_slant = {"sedan": 0.6, "hatch": 0.3}.get(str(kind), 0.12)
    roof = (trunk + rear_slant, hood - slant)
    cabin = between(belt, half * 0.95, height, half * 0.78)
    mesh.loft(
        [
            (trunk, belt),
            (roof[0], height - 0.04),
            ((roof[0] + roof[1]) / 2, height),
            (roof[1], height - 0.04),
            (hood, belt),
        ],
        cabin,
        body_color,
    )
    top, sill = height - 0.12, belt + 0.05
    back, fore = between(belt, trunk, height - 0.04, roof[0]), between(belt, hood, height - 0.04, roof[1])
    pillars = np.linspace(
        float(back(np.array(sill))) + 0.14, float(fore(np.array(sill))) - 0.12, 3 if length < 4.2 else 4
    )
    for a, b in pairwise(pillars):
        upper = [max(a, roof[0] + 0.06) + 0.05, min(b, roof[1] - 0.0) - 0.05]
        if kind == "van" and a == pillars[0] and rng.random() < 0.4:
            continue
        mesh.on_sides([(a + 0.04, sill), (b - 0.04, sill), (upper[1], top), (upper[0], top)], cabin, glass)
        mesh.on_sides(
            [(b - 0.3, sill), (b - 0.14, sill), (upper[1] - 0.1, top), (upper[1] - 0.25, top)],
            cabin,
            mixed(glass, REFLECTION, 0.25),
        )
    for depth, is_front in ((fore, True), (back, False)):
        a, b = half * 0.86, half * 0.7
        mesh.on_end([(-a, sill), (a, sill), (b, top + 0.03), (-b, top + 0.03)], depth, glass, front=is_front)
        mesh.on_end(
            [(a * 0.2, sill), (a * 0.55, sill), (b * 0.2, top), (-b * 0.1, top)],
            depth,
            mixed(glass, REFLECTION, 0.22),
            front=is_front,
        )
    mesh.on_sides(rectangle(rear + 0.5, front - 0.45, clearance, clearance + 0.09), width, scaled(trim, 0.55))
    for seam in pillars[1:]:
        mesh.on_sides(rectangle(seam - 0.012, seam + 0.012, 0.33, belt - 0.02), width, scaled(body_color, 0.55))
        mesh.on_sides(rectangle(seam - 0.32, seam - 0.14, belt - 0.17, belt - 0.12), width, scaled(body_color, 0.6))
    ahead = between(0.5, front, nose, front - 0.1)
    behind = between(0.5, rear, belt, rear + 0.04)
    mesh.on_end(
        rectangle(-half * 0.95, half * 0.95, clearance + 0.02, 0.4),
        constant(front - 0.02),
        scaled(trim, 0.6),
        front=True,
    )
    mesh.on_end(
        rectangle(-half * 0.95, half * 0.95, clearance + 0.02, 0.4),
        constant(rear + 0.03),
        scaled(trim, 0.6),
        front=False,
    )
    mesh.on_end(rectangle(-0.42, 0.42, nose - 0.24, nose - 0.06), ahead, scaled(BLACK, rng.uniform(0.8, 2)), front=True)
    lamp = (rng.uniform(0.22, 0.38), rng.uniform(0.12, 0.24))
    add_lamps(mesh, ahead, half * 0.95, nose - 0.14, lamp, front=True, lit=lit)
    add_lamps(
        mesh, behind, half * 0.95, belt - 0.2, (lamp[1], lamp[0]) if rng.random() < 0.5 else lamp, front=False, lit=lit
    )
    for is_front, depth in ((True, constant(front)), (False, behind)):
        add_number_plate(mesh, depth, 0.42 if is_front else 0.56, front=is_front)
    for side in (-1, 1):
        x = sorted((side * half, side * (half + 0.17)))
        mesh.box(x, (sill, sill + 0.14), (hood - 0.45, hood - 0.33), scaled(trim, 0.8))
    add_outer_wheels(mesh, axles, half, radius, rng)
    return ((0.0, mesh.build()),), (2 * half, height, length)
