# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Trucks as meshes."""

from __future__ import annotations

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, masonry_color, mixed, paint_color, scaled
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


def _cab(
    mesh: MeshBuilder, rng: np.random.Generator, half: float, front: float, top: float, color: Rgb, lit: bool
) -> None:
    """Add the cab of a truck, 2.1 m long, with its front at z = `front`."""
    glass, back = glass_color(rng), front - 2.1
    width = between(0.5, half, top, half * 0.94)
    mesh.loft([(back, 0.5), (back, top), (front - 0.35, top), (front, top * 0.55), (front, 0.45)], width, color)
    windscreen = between(top * 0.55, front, top, front - 0.35)
    a = half * 0.88
    mesh.on_end(rectangle(-a, a, top * 0.57, top * 0.86), windscreen, glass, front=True)
    mesh.on_end(
        [(0, top * 0.57), (a * 0.5, top * 0.57), (a * 0.3, top * 0.86), (-a * 0.2, top * 0.86)],
        windscreen,
        mixed(glass, REFLECTION, 0.25),
        front=True,
    )
    mesh.on_end(
        rectangle(-half * 0.6, half * 0.6, top * 0.3, top * 0.5), constant(front), scaled(BLACK, 1.5), front=True
    )
    for k in range(3):
        y = top * (0.33 + 0.055 * k)
        mesh.on_end(rectangle(-half * 0.58, half * 0.58, y, y + 0.04), constant(front), STEEL, front=True)
    mesh.on_end(rectangle(-half, half, 0.45, 0.72), constant(front), scaled(color, 0.5), front=True)
    add_lamps(mesh, constant(front), half * 0.95, 0.85, (0.3, 0.2), front=True, lit=lit)
    add_number_plate(mesh, constant(front), 0.5, front=True)
    mesh.on_sides(
        [(front - 1.3, top * 0.57), (front - 0.18, top * 0.57), (front - 0.42, top * 0.85), (front - 1.3, top * 0.85)],
        width,
        glass,
    )
    mesh.on_sides(rectangle(front - 1.42, front - 1.4, 0.6, top * 0.86), width, scaled(color, 0.55))
    mesh.on_sides(rectangle(front - 1.3, front - 1.1, top * 0.48, top * 0.51), width, scaled(color, 0.5))
    for side in (-1, 1):
        x = sorted((side * half, side * (half + 0.22)))
        mesh.box(x, (top * 0.55, top * 0.8), (front - 0.3, front - 0.18), BLACK)


def truck(rng: np.random.Generator, *, lit: bool = False) -> tuple[MeshRow, VehicleSize]:
    """Return a truck with a box, tank, tipper or flat bed, and its size.

    Args:
        rng: Random number generator.
        lit: Whether lamps and windows are lit.
    """
    kind = rng.choice(["box", "tank", "tipper", "flat"], p=[0.5, 0.14, 0.2, 0.16])
    half, length, top = rng.uniform(1.1, 1.25), rng.uniform(6.5, 9.5), rng.uniform(2.4, 2.9)
    front, rear = length / 2, -length / 2
    color, load = paint_color(rng), paint_color(rng)
    mesh = MeshBuilder()
    axles = [front - 1.3, rear + 1.2, rear + 2.4][: 3 if length > 7.5 else 2]
    add_inner_wheels(mesh, axles[1:], half, 0.5)
    mesh.box((-half * 0.7, half * 0.7), (0.5, 1.0), (rear, front - 1), BLACK)
    cargo = (rear, front - 2.25)
    behind = constant(rear)
    height = top
    if kind == "box":
        height = top + rng.uniform(0.2, 0.8)
        mesh.box((-half, half), (0.95, height), cargo, load)
        stripe, y = paint_color(rng), rng.uniform(1.5, height - 1.0)
        mesh.on_sides(rectangle(cargo[0] + 0.3, cargo[1] - 0.3, y, y + rng.uniform(0.25, 0.8)), constant(half), stripe)
        if rng.random() < 0.5:
            for z in np.arange(cargo[0] + 0.4, cargo[1] - 0.2, 0.6):
                mesh.on_sides(rectangle(z, z + 0.05, 1.0, height - 0.05), constant(half), scaled(load, 0.75))
        mesh.on_end(rectangle(-half * 0.93, -0.03, 1.05, height - 0.12), behind, scaled(load, 0.85), front=False)
        mesh.on_end(rectangle(0.03, half * 0.93, 1.05, height - 0.12), behind, scaled(load, 0.85), front=False)
        for x in (-0.3, 0.25):
            mesh.on_end(rectangle(x, x + 0.05, 1.05, height - 0.12), behind, STEEL, front=False)

    elif kind == "tank":
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = [(half * 0.95 * np.cos(a), 1.0 + 0.85 * (1 + np.sin(a)), 0) for a in angle]
        tones = [scaled(load, 0.75 + 0.35 * float(np.sin(a + 0.3))) for a in angle]
        mesh.solid(
            [(x, y, cargo[0]) for x, y, _ in ring], [(x, y, cargo[1]) for x, y, _ in ring], load, side_colors=tones
        )
        height = max(top, 2.75)
    else:
        wall = rng.uniform(1.5, 2.1) if kind == "tipper" else 1.35
        heap = masonry_color(rng) if kind == "tipper" else paint_color(rng)
        z = (cargo[0] + 0.15, cargo[1] - 0.15)
        high = wall + (0.5 if kind == "tipper" else rng.uniform(0.4, 1.0))
        inset = 0.9 if kind == "tipper" else 0.1
        middle = (z[0] + z[1]) / 2
        mesh.loft(
            [
                (z[0], wall - 0.3),
                (min(z[0] + inset, middle), high),
                (max(z[1] - inset, middle), high),
                (z[1], wall - 0.3),
            ],
            between(wall - 0.3, half * 0.92, high, half * (0.5 if kind == "tipper" else 0.85)),
            heap,
        )
        mesh.box((-half, half), (0.95, wall), cargo, load)
        for post in np.arange(cargo[0] + 0.1, cargo[1], 0.9):
            mesh.on_sides(rectangle(post, post + 0.1, 0.95, wall), constant(half), scaled(load, 0.65))
    mesh.on_end(rectangle(-half, half, 0.6, 0.8), behind, (190, 40, 30), front=False)
    add_lamps(mesh, behind, half * 0.95, 0.86, (0.25, 0.16), front=False, lit=lit)
    add_number_plate(mesh, behind, 0.62, front=False)
    mesh.on_sides(
        rectangle(cargo[0] + 2.9 if len(axles) > 2 else cargo[0] + 1.9, cargo[1] - 0.6, 0.5, 0.9),
        constant(half * 0.97),
        scaled(BLACK, 1.6),
    )
    add_outer_wheels(mesh, axles[1:], half, 0.5, rng)
    cab = MeshBuilder()
    add_inner_wheels(cab, axles[:1], half, 0.5)
    _cab(cab, rng, half, front, top, color, lit)
    add_outer_wheels(cab, axles[:1], half, 0.5, rng)
    return ((-1.1, mesh.build()), (front - 1.05, cab.build())), (2 * half, height, length)
