# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""StaticObjectPlacer puts the static objects along a street: plots, kerbsides, junctions and the skyline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from opendr_panoptic_ros.synthetic.render import furniture
from opendr_panoptic_ros.synthetic.render.facades import facade
from opendr_panoptic_ros.synthetic.render.furniture import Signal
from opendr_panoptic_ros.synthetic.render.light import Light
from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.parts import BillboardPart, PanelPart
from opendr_panoptic_ros.synthetic.render.pose import stationary
from opendr_panoptic_ros.synthetic.render.rng import rng_for
from opendr_panoptic_ros.synthetic.render.segment_ids import BUILDING_ID, POLE_ID, SIGN_ID, VEGETATION_ID, VOID_ID
from opendr_panoptic_ros.synthetic.render.signs import traffic_sign
from opendr_panoptic_ros.synthetic.render.static_objects import StaticObjectFactory
from opendr_panoptic_ros.synthetic.render.street import Street
from opendr_panoptic_ros.synthetic.render.textures import Texture


class StaticObjectPlacer:
    """Places the static objects of a street.

    Args:
        rng: Random number generator.
        street: Layout of the street.
        light: Light of the scene.
        signal: State of the traffic lights by time in seconds; None for a random signal that does not change.
    """

    def __init__(
        self, rng: np.random.Generator, street: Street, light: Light, *, signal: Callable[[float], Signal] | None = None
    ) -> None:
        self.rng, self.street, self.light = rng, street, light
        self._factory = StaticObjectFactory(rng, is_night=light.is_night)
        shown = Signal(int(rng.choice([Signal.GREEN] * 2 + [Signal.YELLOW] + [Signal.RED] * 2)))
        self._signal = signal or (lambda _time_s: shown)

    def place(self) -> list[SceneObject]:
        """Return the objects."""
        for side in (0, 1):
            self._plots(side)
            self._kerbside(side)
        self._skyline()
        for number in range(len(self.street.crossings)):
            self._junction(number)
        return self._factory.objects

    def _plots(self, side: int) -> None:
        """Place what lies beyond the far edge of a sidewalk."""
        rng, street = self.rng, self.street
        sign, front = (-1, 1)[side], street.fronts[side]
        z, end = street.z_range[0], street.z_range[1] + 30
        urban = rng.uniform(0.15, 0.85)
        while z < end:
            length = rng.uniform(7, 20)
            for a, b in street.crossings:
                if a - 2 < z < b + 1.5:
                    z = b + 1.5
                elif z < a - 2 < z + length:
                    length = a - 2 - z
            if length < 3:
                z += length + 0.1
                continue
            if rng.random() < urban:
                self._factory.add_house(side, front + sign * rng.choice([0.0, 0.0, 0.5]), z, z + length)
            else:
                self._garden(side, front, z, z + length, has_house=rng.random() < 0.6)
            z += length + (rng.uniform(0.5, 4.0) if rng.random() < 0.25 else 0.0)

    def _garden(self, side: int, front: float, z0: float, z1: float, *, has_house: bool) -> None:
        """Place a fence, wall or hedge along the sidewalk, with plants and with or without a house behind it."""
        rng, sign = self.rng, (-1, 1)[side]
        self._factory.add_boundary(front + sign * 0.12, z0, z1)
        back = front + sign * rng.uniform(4.0, 9.0)
        if has_house and z1 - z0 > 6:
            self._factory.add_house(side, back, z0 + 0.8, z1 - 0.8)
        else:
            for _ in range(int(rng.integers(2, 6))):
                self._factory.add_tree(front + sign * rng.uniform(5, 20), rng.uniform(z0, z1))
        for _ in range(int(rng.integers(0, 4))):
            x, z = front + sign * rng.uniform(1.0, 3.5), rng.uniform(z0 + 0.5, z1 - 0.5)
            self._factory.add_bush(x, z) if rng.random() < 0.6 else self._factory.add_tree(x, z)

    def _kerbside(self, side: int) -> None:
        """Place lamps, trees, poles, signs and railings between kerb and sidewalk."""
        rng, street = self.rng, self.street
        sign, kerb = (-1, 1)[side], street.kerbs[side]
        z0, z1 = street.z_range
        x = kerb + sign * 0.5
        step = rng.uniform(16, 30)
        for z in np.arange(z0 + rng.uniform(8, 18), z1, step):
            if street.is_clear(z, 1.0):
                mesh, height = furniture.street_lamp(rng, night=self.light.is_night)
                self._factory.add_furniture(mesh, x, z, height, (POLE_ID, POLE_ID), yaw=0.0 if side else np.pi)
        self._row_of_trees(side)
        for z in np.arange(z0 + rng.uniform(9, 16), z1, rng.uniform(9, 17)):
            if street.is_clear(z, 1.5):
                draw = rng.random()
                mesh, height = traffic_sign(rng) if draw < 0.6 else furniture.pole(rng)
                back = rng.random() < 0.2
                self._factory.add_furniture(
                    mesh,
                    x + sign * rng.uniform(-0.1, 0.5),
                    z,
                    height,
                    (POLE_ID, SIGN_ID),
                    yaw=rng.normal(0, 0.12) + back * np.pi,
                )
        if rng.random() < 0.3:
            start = rng.uniform(z0 + 10, max(z1 - 10, z0 + 11))
            length = rng.uniform(6, 14)
            if all(street.is_clear(start + k * length, 1.0) for k in (0.0, 0.25, 0.5, 0.75, 1.0)):
                self._factory.add_boundary(
                    kerb + sign * 0.3, start, start + length, "fence" if rng.random() < 0.7 else "hedge"
                )
        if rng.random() < 0.12:
            mesh, height = furniture.clutter(rng)
            self._factory.add_furniture(mesh, kerb + sign * 0.9, rng.uniform(z0 + 12, z0 + 40), height, (VOID_ID,))

    def _row_of_trees(self, side: int) -> None:
        """Place trees along a kerb, or none."""
        rng, street, factory = self.rng, self.street, self._factory
        if rng.random() > 0.55:
            return
        sign = (-1, 1)[side]
        verge = next((v for v in street.verges if (v[0] > 0) == bool(side)), None)
        x = (verge[0] + verge[1]) / 2 if verge else street.kerbs[side] + sign * 0.8
        for z in np.arange(street.z_range[0] + 6 + rng.uniform(0, 8), street.z_range[1], rng.uniform(6, 13)):
            if street.is_clear(z, 2.5) and rng.random() < 0.85:
                factory.add_tree(x, z + rng.uniform(-0.5, 0.5), small=rng.random() < 0.4)

    def _junction(self, number: int) -> None:
        """Place traffic lights at a side street, and trees along it."""
        rng, street = self.rng, self.street
        a, b = street.crossings[number]
        if rng.random() < 0.8:
            reach = rng.uniform(2.5, 5.0) if rng.random() < 0.4 else 0.0
            for x, z, yaw, arm in (
                (street.kerbs[1] + 0.5, a - 3.9, 0.0, reach),
                (street.kerbs[0] - 0.5, a - 3.9, 0.0, 0.0),
                (street.kerbs[0] - 0.5, b + 3.9, np.pi, 0.0),
                (street.kerbs[1] + 0.6, b + 3.6, 0.0, 0.0),
            ):
                if rng.random() < 0.85:
                    self._factory.add_traffic_light(x, z, yaw=yaw, reach=arm, signal=self._signal)
        for side, sign in enumerate((-1, 1)):
            for k in range(3):
                if rng.random() < 0.6:
                    self._factory.add_tree(street.fronts[side] + sign * (14 + 9 * k), b + rng.uniform(2, 5))

    def _skyline(self) -> None:
        """Place distant houses and trees that close the view."""
        rng = self.rng
        z = self.street.z_range[1] + 45
        seed, night = int(rng.integers(2**32)), self.light.is_night

        @cache
        def draw() -> tuple[Texture, Texture]:
            return facade(rng_for(seed), 16, 14, scale=6, night=night)

        x = -90.0
        while x < 90:
            width = rng.uniform(10, 22)
            at = z + rng.uniform(0, 40)
            if rng.random() < 0.45:
                height = rng.uniform(7, 22)
                corners = np.array(
                    [(-width / 2, 0, 0), (width / 2, 0, 0), (width / 2, height, 0), (-width / 2, height, 0)]
                )
                part = PanelPart(draw, corners, (0.0, 0.0, -1.0))
                self._factory.objects.append(
                    SceneObject(
                        (part,), (BUILDING_ID,), stationary(x, at), (width / 2, 0.1), height, casts_shadow=False
                    )
                )
            else:
                crown = BillboardPart(
                    self._factory.crown_texture("round" if rng.random() < 0.7 else "tall"),
                    width * 1.3,
                    rng.uniform(8, 17),
                    -1.5,
                )
                self._factory.objects.append(
                    SceneObject((crown,), (VEGETATION_ID,), stationary(x, at), (width / 2, 0.1), 10, casts_shadow=False)
                )
            x += width * 0.75
