# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Buses as meshes."""

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


def bus(rng: np.random.Generator, *, lit: bool = False) -> tuple[MeshRow, VehicleSize]:
    """Return a city bus, coach or double-decker, and its size. The doors are on the right.

    Args:
        rng: Random number generator.
        lit: Whether lamps and windows are lit.
    """
    double = rng.random() < 0.15
    half, length = rng.uniform(1.22, 1.28), rng.uniform(10.0, 12.5)
    height = 4.2 if double else rng.uniform(2.95, 3.3)
    front, rear = length / 2, -length / 2
    color, glass = paint_color(rng), glass_color(rng)
    accent = paint_color(rng)
    mesh = MeshBuilder()
    axles = [front - 2.7, rear + 3.0]
    add_inner_wheels(mesh, axles, half, 0.48)
    width = between(0.3, half, height, half * 0.97)
    mesh.loft(
        [
            (rear, 0.32),
            (rear, height - 0.12),
            (rear + 0.15, height),
            (front - 0.3, height),
            (front - 0.1, height - 0.3),
            (front, 1.2),
            (front, 0.3),
        ],
        width,
        color,
    )
    decks = [(1.25, 2.35)] + ([(2.9, 3.8)] if double else [])
    for low, high in decks:
        mesh.on_sides(rectangle(rear + 0.4, front - 0.25, low, high), width, scaled(glass, 0.7))
        count = int(rng.integers(6, 9))
        edges = np.linspace(rear + 0.45, front - 0.3, count + 1)
        for a, b in pairwise(edges):
            mesh.on_sides(rectangle(a + 0.05, b - 0.05, low + 0.05, high - 0.05), width, glass, glows=lit)
            mesh.on_sides(
                [(a + 0.2, low + 0.05), (a + 0.5, low + 0.05), (a + 0.8, high - 0.05), (a + 0.5, high - 0.05)],
                width,
                mixed(glass, REFLECTION, 0.2),
            )
    mesh.on_sides(rectangle(rear + 0.02, front - 0.05, 0.34, 0.34 + rng.uniform(0.15, 0.5)), width, accent)
    if rng.random() < 0.5:
        mesh.on_sides(rectangle(rear + 0.05, front - 0.1, height - 0.4, height - 0.2), width, accent)
    for z in (front - 1.3, -0.6):
        x = half + 0.015
        for a in (z - 0.55, z + 0.03):
            corners = rectangle(a, a + 0.5, 0.36, 2.4)
            mesh.face([(x, y, p) for p, y in corners], scaled(BLACK, 1.5), normal=(1, 0, 0))
            mesh.face([(x + 0.01, y, p) for p, y in rectangle(a + 0.07, a + 0.43, 0.6, 2.3)], glass, normal=(1, 0, 0))
    windscreen = between(1.2, front, height - 0.3, front - 0.1)
    a = half * 0.92
    mesh.on_end(rectangle(-a, a, 1.05, 2.45), windscreen, glass, front=True)
    mesh.on_end(
        [(-a * 0.7, 1.05), (-a * 0.2, 1.05), (a * 0.2, 2.45), (-a * 0.3, 2.45)],
        windscreen,
        mixed(glass, REFLECTION, 0.2),
        front=True,
    )
    if double:
        mesh.on_end(rectangle(-a, a, 2.95, 3.8), windscreen, glass, front=True)
    mesh.on_end(rectangle(-a, a, 2.5, 2.8), windscreen, BLACK, front=True)
    mesh.on_end(rectangle(-a * 0.75, a * 0.55, 2.55, 2.75), windscreen, (250, 170, 40), front=True, glows=True)
    mesh.on_end(rectangle(-a, a, 0.34, 0.6), constant(front), accent, front=True)
    behind = constant(rear)
    mesh.on_end(rectangle(-a * 0.9, a * 0.9, 1.5, 2.4), behind, glass, front=False)
    mesh.on_end(rectangle(-a * 0.6, a * 0.6, 0.6, 1.3), behind, scaled(color, 0.75), front=False)
    mesh.on_end(rectangle(-a * 0.4, a * 0.4, 2.55, 2.75), behind, (250, 170, 40), front=False, glows=True)
    add_lamps(mesh, constant(front), half * 0.93, 0.78, (0.34, 0.22), front=True, lit=lit)
    add_lamps(mesh, behind, half * 0.93, 0.9, (0.22, 0.4), front=False, lit=lit)
    add_number_plate(mesh, constant(front), 0.45, front=True)
    add_number_plate(mesh, behind, 0.45, front=False)
    for side in (-1, 1):
        x2 = sorted((side * half, side * (half + 0.25)))
        mesh.box(x2, (1.9, 2.4), (front - 0.1, front + 0.05), BLACK)
    add_outer_wheels(mesh, axles, half, 0.48, rng)
    return ((0.0, mesh.build()),), (2 * half, height, length)
