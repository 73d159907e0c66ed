# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Street furniture as meshes: lamps, traffic lights, signs, bollards, bins. Slots: 0 pole, 1 light or sign."""

from __future__ import annotations

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, hsv, paint, scaled

RED, YELLOW, GREEN = (250.0, 45.0, 35.0), (255.0, 190.0, 40.0), (45.0, 235.0, 120.0)


def _metal(rng: np.random.Generator) -> Rgb:
    return hsv(rng.random(), rng.uniform(0, 0.3), rng.uniform(0.2, 0.75))


def _post(mesh: MeshBuilder, x: float, radius: float, y0: float, y1: float, color: Rgb) -> None:
    """A round post: three strips of different light, always facing the viewer well enough as a hexagon."""
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = [(x + radius * np.cos(a), radius * np.sin(a)) for a in angle]
    mesh.solid([(p, y0, q) for p, q in ring], [(p, y1, q) for p, q in ring], color)


def lamp(rng: np.random.Generator, *, night: bool) -> tuple[Mesh, float]:
    """A street lamp whose arm reaches to -x, and its height."""
    height, color = rng.uniform(4.5, 9.0), _metal(rng)
    mesh = MeshBuilder()
    radius = rng.uniform(0.07, 0.11)
    _post(mesh, 0, radius * 1.5, 0, 1.0, color)
    _post(mesh, 0, radius, 1.0, height, color)
    if height > 6:
        reach = rng.uniform(0.8, 2.2)
        mesh.box((-reach, 0.05), (height - 0.1, height), (-0.05, 0.05), color)
        mesh.box((-reach - 0.6, -reach), (height - 0.12, height + 0.06), (-0.14, 0.14), scaled(color, 1.1))
        mesh.face(
            [
                (-reach - 0.55, height - 0.13, -0.1),
                (-reach - 0.05, height - 0.13, -0.1),
                (-reach - 0.05, height - 0.13, 0.1),
                (-reach - 0.55, height - 0.13, 0.1),
            ],
            (255, 235, 180),
            glows=night,
        )
    else:
        mesh.box((-0.2, 0.2), (height, height + 0.5), (-0.2, 0.2), scaled(color, 0.8))
        for z in (-0.21, 0.21):
            mesh.face(
                [(x, y, z) for x, y in rectangle(-0.15, 0.15, height + 0.06, height + 0.42)],
                (250, 235, 190),
                glows=night,
            )
    return mesh.build(), height


def pole(rng: np.random.Generator) -> tuple[Mesh, float]:
    """A plain mast: for cables, flags, or a bollard."""
    kind = rng.random()
    height = rng.uniform(0.8, 1.1) if kind < 0.25 else rng.uniform(3.0, 8.0)
    mesh = MeshBuilder()
    _post(mesh, 0, rng.uniform(0.07, 0.13), 0, height, _metal(rng))
    if height > 2 and rng.random() < 0.4:
        mesh.box((-0.9, 0.9), (height - 0.6, height - 0.48), (-0.06, 0.06), scaled(STEEL, 0.6))
    return mesh.build(), height


def _head(mesh: MeshBuilder, x: float, y: float, lamps: int, state: int, case: Rgb) -> None:
    """A signal head with its lamps towards -z; its lower edge at y."""
    height, half = 0.36 * lamps + 0.06, 0.19
    mesh.slot = 1
    mesh.box((x - half, x + half), (y, y + height), (-0.16, 0.1), case)
    for k in range(lamps):
        color = (GREEN, YELLOW, RED)[k] if lamps == 3 else (GREEN, RED)[k]
        on = k == state if lamps == 3 else k == (state > 0)
        center = y + 0.21 + 0.36 * k
        angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        ring = [(x + 0.15 * np.cos(a), center + 0.15 * np.sin(a), -0.17) for a in angle]
        mesh.face(ring, color if on else scaled(color, 0.22), normal=(0, 0, -1), glows=on)
    mesh.slot = 0


def traffic_light(rng: np.random.Generator, *, reach: float, state: int) -> Mesh:
    """A traffic light facing -z; with `reach` an arm holds a second head that far to -x, over the road.

    state: 0 green, 1 yellow, 2 red.
    """
    color, case = (
        _metal(rng),
        scaled(BLACK, 1.2) if rng.random() < 0.7 else hsv(rng.random(), 0.7, rng.uniform(0.3, 0.8)),
    )
    mesh = MeshBuilder()
    top = rng.uniform(5.2, 6.0) if reach else rng.uniform(3.1, 3.6)
    _post(mesh, 0, 0.09 if reach else 0.07, 0, top, color)
    if reach:
        mesh.box((-reach, 0), (top - 0.2, top - 0.06), (0, 0.14), color)
        _head(mesh, -reach + 0.2, top - 1.15, 3, state, case)
    _head(mesh, -0.05, 2.2, 3, state, case)
    if rng.random() < 0.4:
        _head(mesh, 0.5, 2.2, 2, 2 - state, case)
    return mesh.build()


def sign(rng: np.random.Generator) -> tuple[Mesh, float]:
    """One or two traffic signs on a post, facing -z, seen grey from behind."""
    mesh = MeshBuilder()
    if rng.random() < 0.14:
        return _board(rng, mesh)
    height = rng.uniform(2.4, 3.2)
    _post(mesh, 0, 0.045, 0, height, STEEL)
    mesh.slot = 1
    y = height - 0.42
    for _ in range(2 if rng.random() < 0.3 else 1):
        _plate(rng, mesh, y, rng.uniform(0.36, 0.48))
        y -= 0.85
    return mesh.build(), height


def _plate(rng: np.random.Generator, mesh: MeshBuilder, y: float, r: float) -> None:
    kind = int(rng.integers(0, 7))
    blue, white, red = (20.0, 80.0, 175.0), (238.0, 238.0, 235.0), (200.0, 25.0, 32.0)
    corners = {0: 16, 1: 16, 2: 3, 3: 8, 4: 4, 5: 4, 6: 3}[kind]
    turn = {2: np.pi / 2, 3: np.pi / 8, 4: np.pi / 4, 5: np.pi / 2, 6: -np.pi / 2}.get(kind, 0.0)
    outer, inner, third = [
        (red, white, BLACK),
        (blue, blue, white),
        (red, white, BLACK),
        (red, red, white),
        (blue, blue, white),
        (white, (245.0, 195.0, 30.0), (245.0, 195.0, 30.0)),
        (red, white, white),
    ][kind]
    if kind == 4:
        r *= 1.2

    def ring(radius: float, z: float) -> list[tuple[float, float, float]]:
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
        return [(radius * np.cos(a), y + radius * np.sin(a), z) for a in angle]

    mesh.face(ring(r, -0.06), scaled(STEEL, 0.9), normal=(0, 0, 1))
    mesh.face(ring(r, -0.065), outer, normal=(0, 0, -1))
    mesh.face(ring(r * 0.74, -0.07), inner, normal=(0, 0, -1))
    if kind == 1:
        mesh.face(
            [
                (-0.08, y - 0.2, -0.075),
                (0.02, y - 0.2, -0.075),
                (0.02, y + 0.02, -0.075),
                (0.2, y + 0.02, -0.075),
                (-0.03, y + 0.24, -0.075),
                (-0.26, y + 0.02, -0.075),
                (-0.08, y + 0.02, -0.075),
            ],
            third,
            normal=(0, 0, -1),
        )
    elif kind not in (5, 6):
        h, w = (0.06, 0.24) if kind == 3 else (rng.uniform(0.08, 0.17), rng.uniform(0.06, 0.17))
        offset = -0.06 if kind == 2 else 0
        mesh.face(
            [(a, b, -0.075) for a, b in rectangle(-w, w, y + offset - h, y + offset + h)], third, normal=(0, 0, -1)
        )


def _board(rng: np.random.Generator, mesh: MeshBuilder) -> tuple[Mesh, float]:
    """A direction board on two posts."""
    half, y, tall = rng.uniform(0.9, 1.5), rng.uniform(1.6, 2.4), rng.uniform(0.9, 1.4)
    back = [(20.0, 80.0, 175.0), (15.0, 110.0, 70.0), (245.0, 205.0, 60.0), (235.0, 235.0, 232.0)][int(rng.integers(4))]
    ink = (30.0, 30.0, 35.0) if sum(back) > 450 else (240.0, 240.0, 240.0)
    for x in (-half * 0.7, half * 0.7):
        _post(mesh, x, 0.06, 0, y + tall, STEEL)
    mesh.slot = 1
    mesh.face([(a, b, 0.06) for a, b in rectangle(-half, half, y, y + tall)], scaled(STEEL, 0.9), normal=(0, 0, 1))
    mesh.face([(a, b, -0.08) for a, b in rectangle(-half, half, y, y + tall)], ink, normal=(0, 0, -1))
    mesh.face(
        [(a, b, -0.085) for a, b in rectangle(-half + 0.06, half - 0.06, y + 0.06, y + tall - 0.06)],
        back,
        normal=(0, 0, -1),
    )
    for k in range(2):
        b = y + tall * (0.22 + 0.36 * k)
        mesh.face(
            [(p, q, -0.09) for p, q in rectangle(-half * 0.8, half * rng.uniform(0, 0.5), b, b + 0.16)],
            ink,
            normal=(0, 0, -1),
        )
        mesh.face(
            [(half * 0.6, b, -0.09), (half * 0.85, b + 0.08, -0.09), (half * 0.6, b + 0.16, -0.09)],
            ink,
            normal=(0, 0, -1),
        )
    return mesh.build(), y + tall


def clutter(rng: np.random.Generator) -> tuple[Mesh, float]:
    """A bin, box or bench: in none of the classes, so void."""
    mesh, color = MeshBuilder(), paint(rng)
    w, h = rng.uniform(0.3, 0.6), rng.uniform(0.8, 1.4)
    mesh.box((-w, w), (0, h), (-w * 0.7, w * 0.7), color)
    mesh.box((-w * 1.05, w * 1.05), (h, h + 0.08), (-w * 0.75, w * 0.75), scaled(color, 0.6))
    return mesh.build(), h
