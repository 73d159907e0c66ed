# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Street furniture as meshes: lamps, poles, traffic lights and bins. Slots: 0 pole, 1 traffic light."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from opendr_panoptic_ros.synthetic.render.mesh import Mesh, MeshBuilder, rectangle
from opendr_panoptic_ros.synthetic.render.palette import BLACK, STEEL, Rgb, hsv, paint_color, scaled


class Signal(IntEnum):
    """The state of a traffic light."""

    GREEN = 0
    YELLOW = 1
    RED = 2


_LAMP_COLORS: dict[Signal, Rgb] = {
    Signal.GREEN: (45.0, 235.0, 120.0),
    Signal.YELLOW: (255.0, 190.0, 40.0),
    Signal.RED: (250.0, 45.0, 35.0),
}


def _metal_color(rng: np.random.Generator) -> Rgb:
    """Return the colour of a pole."""
    return hsv(rng.random(), rng.uniform(0, 0.3), rng.uniform(0.2, 0.75))


def add_post(mesh: MeshBuilder, x: float, radius: float, y0: float, y1: float, color: Rgb) -> None:
    """Add an upright post with six sides.

    Args:
        mesh: The mesh that gets the post.
        x: Position of its axis, metres.
        radius: Radius, metres.
        y0: Lower end, metres.
        y1: Upper end, metres.
        color: RGB, 0 to 255.
    """
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = [(x + radius * np.cos(a), radius * np.sin(a)) for a in angle]
    mesh.solid([(p, y0, q) for p, q in ring], [(p, y1, q) for p, q in ring], color)


def street_lamp(rng: np.random.Generator, *, night: bool) -> tuple[Mesh, float]:
    """Return a street lamp, whose arm extends towards -x, and its height in metres.

    Args:
        rng: Random number generator.
        night: Whether the lamp is lit.
    """
    height, color = rng.uniform(4.5, 9.0), _metal_color(rng)
    mesh = MeshBuilder()
    radius = rng.uniform(0.07, 0.11)
    add_post(mesh, 0, radius * 1.5, 0, 1.0, color)
    add_post(mesh, 0, radius, 1.0, height, color)
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
    """Return a bare pole or a bollard and its height in metres.

    Args:
        rng: Random number generator.
    """
    kind = rng.random()
    height = rng.uniform(0.8, 1.1) if kind < 0.25 else rng.uniform(3.0, 8.0)
    mesh = MeshBuilder()
    add_post(mesh, 0, rng.uniform(0.07, 0.13), 0, height, _metal_color(rng))
    if height > 2 and rng.random() < 0.4:
        mesh.box((-0.9, 0.9), (height - 0.6, height - 0.48), (-0.06, 0.06), scaled(STEEL, 0.6))
    return mesh.build(), height


def _add_signal_head(
    mesh: MeshBuilder, x: float, y: float, signals: Sequence[Signal], shown: Signal, case: Rgb
) -> None:
    """Add a signal head with its lamps towards -z; `signals` from below, the lower edge at y."""
    height, half = 0.36 * len(signals) + 0.06, 0.19
    mesh.slot = 1
    mesh.box((x - half, x + half), (y, y + height), (-0.16, 0.1), case)
    for k, signal in enumerate(signals):
        color, is_on = _LAMP_COLORS[signal], signal == shown
        center = y + 0.21 + 0.36 * k
        angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        ring = [(x + 0.15 * np.cos(a), center + 0.15 * np.sin(a), -0.17) for a in angle]
        mesh.face(ring, color if is_on else scaled(color, 0.22), normal=(0, 0, -1), glows=is_on)
    mesh.slot = 0


def traffic_light(rng: np.random.Generator, *, reach: float, signal: Signal) -> Mesh:
    """Return a traffic light that faces -z.

    Args:
        rng: Random number generator.
        reach: Length in metres of an arm over the road towards -x with a second signal head; 0 for no arm.
        signal: Its state.
    """
    color, case = (
        _metal_color(rng),
        scaled(BLACK, 1.2) if rng.random() < 0.7 else hsv(rng.random(), 0.7, rng.uniform(0.3, 0.8)),
    )
    mesh = MeshBuilder()
    top = rng.uniform(5.2, 6.0) if reach else rng.uniform(3.1, 3.6)
    add_post(mesh, 0, 0.09 if reach else 0.07, 0, top, color)
    if reach:
        mesh.box((-reach, 0), (top - 0.2, top - 0.06), (0, 0.14), color)
        _add_signal_head(mesh, -reach + 0.2, top - 1.15, tuple(Signal), signal, case)
    _add_signal_head(mesh, -0.05, 2.2, tuple(Signal), signal, case)
    if rng.random() < 0.4:  # for pedestrians, who cross while the vehicles wait
        for_pedestrians = Signal.GREEN if signal == Signal.RED else Signal.RED
        _add_signal_head(mesh, 0.5, 2.2, (Signal.GREEN, Signal.RED), for_pedestrians, case)
    return mesh.build()


def clutter(rng: np.random.Generator) -> tuple[Mesh, float]:
    """Return a bin or box, which belongs to none of the classes (void), and its height in metres.

    Args:
        rng: Random number generator.
    """
    mesh, color = MeshBuilder(), paint_color(rng)
    w, h = rng.uniform(0.3, 0.6), rng.uniform(0.8, 1.4)
    mesh.box((-w, w), (0, h), (-w * 0.7, w * 0.7), color)
    mesh.box((-w * 1.05, w * 1.05), (h, h + 0.08), (-w * 0.75, w * 0.75), scaled(color, 0.6))
    return mesh.build(), h
