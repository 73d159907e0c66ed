# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bicycles and motorcycles as figures; they face positive z and stand on y = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.figure import Figure
from opendr_panoptic_ros.synthetic.render.palette import BLACK, RUBBER, STEEL, Rgb, paint_color, scaled
from opendr_panoptic_ros.synthetic.render.people import Appearance, add_rider


@dataclass(frozen=True)
class Cycle:
    """Colours and proportions of a bicycle or motorcycle.

    Attributes:
        motor: Whether it is a motorcycle.
        color: Colour of the frame.
        second: Colour of basket or tail.
        size: Size as a factor.
        basket: Whether a bicycle has a basket.
    """

    motor: bool
    color: Rgb
    second: Rgb
    size: float
    basket: bool

    @classmethod
    def random(cls, rng: np.random.Generator, *, motor: bool) -> Cycle:
        """Return a random bicycle or motorcycle.

        Args:
            rng: Random number generator.
            motor: Whether it is a motorcycle.
        """
        return cls(motor, paint_color(rng), paint_color(rng), rng.uniform(0.95, 1.1), rng.random() < 0.25)


def cycle_figure(machine: Cycle, look: Appearance | None = None, phase: float = 0.0) -> Figure:
    """Return a bicycle or motorcycle (slot 0) with or without a rider (slot 1).

    Args:
        machine: The bicycle or motorcycle.
        look: Body and clothes of the rider; None for no rider.
        phase: Phase of the pedals in turns.
    """
    figure = Figure()
    if machine.motor:
        _motorcycle(figure, machine)
    else:
        _bicycle(figure, machine)
    if look is None:
        return figure
    figure.slot = 1
    s = machine.size
    if machine.motor:
        foot = 0.34 * s
        add_rider(
            figure,
            look,
            (0, 0.84 * s, -0.22 * s),
            (0.33, 1.0 * s, 0.36 * s),
            ((-0.2, foot, 0.0), (0.2, foot, 0.0)),
            True,
        )
    else:
        turn = 2 * np.pi * phase
        pedals = [
            (side * 0.12, 0.3 * s + side * 0.15 * np.cos(turn), 0.02 + side * 0.15 * np.sin(turn)) for side in (-1, 1)
        ]
        add_rider(figure, look, (0, 0.95 * s, -0.22 * s), (0.25, 1.05 * s, 0.42 * s), (pedals[0], pedals[1]), look.hat)
    return figure


def _bicycle(figure: Figure, machine: Cycle) -> None:
    """Add a bicycle."""
    s, color = machine.size, machine.color
    front, rear, radius = 0.56 * s, -0.54 * s, 0.34 * s
    crank, seat, head = (0.0, 0.3 * s, 0.0), (0.0, 0.88 * s, -0.2 * s), (0.0, 0.82 * s, 0.36 * s)
    figure.wheel((0, radius, rear), radius, RUBBER)
    figure.wheel((0, radius, front), radius, RUBBER)
    tube = 0.026
    for a, b in (
        (crank, seat),
        (crank, head),
        ((0.0, 0.78 * s, -0.17 * s), head),
        ((0.0, radius, rear), crank),
        ((0.0, radius, rear), (0.0, 0.76 * s, -0.16 * s)),
        ((0.0, radius, front), head),
    ):
        figure.limb(a, b, tube, color)
    figure.limb(head, (0.0, 1.0 * s, 0.33 * s), tube, STEEL)
    figure.limb((-0.26, 1.03 * s, 0.36 * s), (0.26, 1.03 * s, 0.36 * s), 0.024, scaled(BLACK, 1.3))
    figure.limb((0, 0.93 * s, -0.28 * s), (0, 0.93 * s, -0.1 * s), 0.055, BLACK)
    figure.limb((-0.06, crank[1], 0), (0.06, crank[1], 0), 0.07, scaled(STEEL, 0.7))
    figure.limb((0, 0.78 * s, rear - 0.1), (0, 0.78 * s, -0.3 * s), 0.03, scaled(STEEL, 0.6))
    figure.limb((0, 0.7 * s, rear - 0.27 * s), (0, 0.72 * s, rear - 0.22 * s), 0.035, (200, 30, 25))
    if machine.basket:
        figure.limb((-0.12, 0.9 * s, 0.52 * s), (0.12, 0.9 * s, 0.52 * s), 0.13, machine.second)


def _motorcycle(figure: Figure, machine: Cycle) -> None:
    """Add a motorcycle."""
    s, color = machine.size, machine.color
    front, rear, radius = 0.72 * s, -0.68 * s, 0.33 * s
    for z in (rear, front):
        figure.wheel((0, radius, z), radius, RUBBER)
        figure.limb((-0.05, radius, z), (0.05, radius, z), 0.2 * s, scaled(BLACK, 1.7))
        figure.limb((0, radius * 2 + 0.02, z - 0.12), (0, radius * 2 + 0.02, z + 0.12), 0.06, color)
    for side in (-0.08, 0.08):
        figure.limb((side, radius, front), (side, 0.92 * s, 0.42 * s), 0.035, STEEL)
        figure.limb((side * 2, 0.3 * s, 0.1), (side * 2, 0.36 * s, rear - 0.05), 0.055, scaled(STEEL, 1.1))
    figure.limb((0, 0.42 * s, -0.12 * s), (0, 0.42 * s, 0.2 * s), 0.2 * s, scaled(BLACK, 1.9))
    figure.limb((0, 0.42 * s, 0.0), (0, radius, rear), 0.07 * s, scaled(BLACK, 1.4))
    figure.limb((0, 0.8 * s, 0.02 * s), (0, 0.82 * s, 0.3 * s), 0.16 * s, color, 0.13 * s)
    figure.limb((0, 0.77 * s, -0.2 * s), (0, 0.82 * s, -0.72 * s), 0.13 * s, scaled(BLACK, 1.2), 0.09 * s)
    figure.limb((0, 0.62 * s, -0.3 * s), (0, 0.72 * s, -0.74 * s), 0.1 * s, machine.second, 0.07 * s)
    figure.limb((-0.36, 1.0 * s, 0.38 * s), (0.36, 1.0 * s, 0.38 * s), 0.03, BLACK)
    figure.limb((0, 0.9 * s, 0.48 * s), (0, 0.9 * s, 0.55 * s), 0.13 * s, (228, 228, 215))
    figure.limb((0, 0.78 * s, -0.8 * s), (0, 0.78 * s, -0.78 * s), 0.06, (210, 25, 20))
