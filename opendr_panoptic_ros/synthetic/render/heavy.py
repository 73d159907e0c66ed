# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Trucks, buses and trams as meshes; length along z, the front at positive z, standing on y = 0."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, masonry, mixed, paint, scaled
from opendr_panoptic_ros.synthetic.render.vehicles import (
    REFLECTION,
    Row,
    Size,
    between,
    constant,
    glass_color,
    lamps,
    near_wheels,
    number_plate,
    wheels,
)


def _cab(
    mesh: MeshBuilder, rng: np.random.Generator, half: float, front: float, top: float, color: Rgb, lit: bool
) -> None:
    """A lorry's cab, 2.1 m deep, its nose at z = front."""
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
    lamps(mesh, constant(front), half * 0.95, 0.85, (0.3, 0.2), front=True, lit=lit)
    number_plate(mesh, constant(front), 0.5, front=True)
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


def truck(rng: np.random.Generator, *, lit: bool = False) -> tuple[Row, Size]:
    """A lorry with a box, tank, tipper or flat load."""
    kind = rng.choice(["box", "tank", "tipper", "flat"], p=[0.5, 0.14, 0.2, 0.16])
    half, length, top = rng.uniform(1.1, 1.25), rng.uniform(6.5, 9.5), rng.uniform(2.4, 2.9)
    front, rear = length / 2, -length / 2
    color, load = paint(rng), paint(rng)
    mesh = MeshBuilder()
    axles = [front - 1.3, rear + 1.2, rear + 2.4][: 3 if length > 7.5 else 2]
    wheels(mesh, axles[1:], half, 0.5)
    mesh.box((-half * 0.7, half * 0.7), (0.5, 1.0), (rear, front - 1), BLACK)
    cargo = (rear, front - 2.25)
    behind = constant(rear)
    height = top
    if kind == "box":
        height = top + rng.uniform(0.2, 0.8)
        mesh.box((-half, half), (0.95, height), cargo, load)
        stripe, y = paint(rng), rng.uniform(1.5, height - 1.0)
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
        heap = masonry(rng) if kind == "tipper" else paint(rng)
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
    lamps(mesh, behind, half * 0.95, 0.86, (0.25, 0.16), front=False, lit=lit)
    number_plate(mesh, behind, 0.62, front=False)
    mesh.on_sides(
        rectangle(cargo[0] + 2.9 if len(axles) > 2 else cargo[0] + 1.9, cargo[1] - 0.6, 0.5, 0.9),
        constant(half * 0.97),
        scaled(BLACK, 1.6),
    )
    near_wheels(mesh, axles[1:], half, 0.5, rng)
    cab = MeshBuilder()
    wheels(cab, axles[:1], half, 0.5)
    _cab(cab, rng, half, front, top, color, lit)
    near_wheels(cab, axles[:1], half, 0.5, rng)
    return ((-1.1, mesh.build()), (front - 1.05, cab.build())), (2 * half, height, length)


def bus(rng: np.random.Generator, *, lit: bool = False) -> tuple[Row, Size]:
    """A city bus, coach or double-decker: wheels, doors on the right, a window band, a destination sign."""
    double = rng.random() < 0.15
    half, length = rng.uniform(1.22, 1.28), rng.uniform(10.0, 12.5)
    height = 4.2 if double else rng.uniform(2.95, 3.3)
    front, rear = length / 2, -length / 2
    color, glass = paint(rng), glass_color(rng)
    accent = paint(rng)
    mesh = MeshBuilder()
    axles = [front - 2.7, rear + 3.0]
    wheels(mesh, axles, half, 0.48)
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
    lamps(mesh, constant(front), half * 0.93, 0.78, (0.34, 0.22), front=True, lit=lit)
    lamps(mesh, behind, half * 0.93, 0.9, (0.22, 0.4), front=False, lit=lit)
    number_plate(mesh, constant(front), 0.45, front=True)
    number_plate(mesh, behind, 0.45, front=False)
    for side in (-1, 1):
        x2 = sorted((side * half, side * (half + 0.25)))
        mesh.box(x2, (1.9, 2.4), (front - 0.1, front + 0.05), BLACK)
    near_wheels(mesh, axles, half, 0.48, rng)
    return ((0.0, mesh.build()),), (2 * half, height, length)


def train(rng: np.random.Generator, *, lit: bool = False) -> tuple[Row, Size]:
    """A tram: joined cars with bellows, slanted noses at both ends, skirts instead of wheels, a pantograph."""
    half, height = rng.uniform(1.15, 1.3), rng.uniform(3.2, 3.5)
    cars, each = int(rng.integers(2, 5)), rng.uniform(6.5, 8.5)
    look = (paint(rng), paint(rng), glass_color(rng))
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
    """One car between two z; the first has a nose to the rear, the last one to the front."""
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
        lamps(mesh, skirt, half * 0.9, 0.8, (0.3, 0.18), front=sign > 0, lit=lit)


def _pantograph(mesh: MeshBuilder, z: float, y: float) -> None:
    """A folding arm and its bow above y."""
    for (y0, z0), (y1, z1) in (((y, z - 0.7), (y + 0.6, z + 0.3)), ((y + 0.6, z + 0.3), (y + 1.15, z - 0.6))):
        mesh.face([(0, y0, z0 - 0.06), (0, y0, z0 + 0.06), (0, y1, z1 + 0.06), (0, y1, z1 - 0.06)], BLACK)
        for x in (-0.3, 0.22):
            mesh.face([(x, y0, z0), (x + 0.08, y0, z0), (x + 0.08, y1, z1), (x, y1, z1)], BLACK)
    mesh.box((-0.8, 0.8), (y + 1.15, y + 1.22), (z - 0.65, z - 0.55), BLACK)
