# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What stands still along a street: the plots behind the sidewalks, the kerbsides, junctions and the skyline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from opendr_panoptic_ros.synthetic.render import street as furniture
from opendr_panoptic_ros.synthetic.render.builder import BUILDING, POLE, SIGN, VEGETATION, Builder
from opendr_panoptic_ros.synthetic.render.camera import Light, stream
from opendr_panoptic_ros.synthetic.render.facades import facade
from opendr_panoptic_ros.synthetic.render.ground import Street
from opendr_panoptic_ros.synthetic.render.items import Cutout, Item, Panel, fixed
from opendr_panoptic_ros.synthetic.render.textures import Texture

VOID_ID = 0


def draw_street(rng: np.random.Generator, length_m: float, *, crossings_m: list[float]) -> Street:
    """A random cross-section, with side streets of random width that begin at `crossings_m`."""
    lane = rng.uniform(2.9, 3.5)
    per_side = (int(rng.random() < 0.25) + 1, int(rng.random() < 0.3) + 1)
    lanes = [(-lane * (k + 0.5), -1) for k in range(per_side[0])] + [(lane * (k + 0.5), 1) for k in range(per_side[1])]
    parked = (rng.random() < 0.55, rng.random() < 0.55)
    edges = [-lane * per_side[0], lane * per_side[1]]
    parking = []
    kerbs = []
    for side, sign in enumerate((-1, 1)):
        if parked[side]:
            parking.append(edges[side] + sign * 1.15)
        kerbs.append(edges[side] + sign * (2.3 if parked[side] else rng.uniform(0.2, 1.6)))
    verges, walks, fronts = [], [], []
    for side, sign in enumerate((-1, 1)):
        start = kerbs[side]
        width = rng.uniform(1.6, 4.2)
        if rng.random() < 0.4:
            grass = rng.uniform(1.0, 3.0)
            verges.append(
                (min(start + sign * 0.16, start + sign * grass), max(start + sign * 0.16, start + sign * grass))
            )
            start += sign * grass
        walks.append((min(start, start + sign * width), max(start, start + sign * width)))
        fronts.append(start + sign * width)
    crossings = tuple((z, z + rng.uniform(6.5, 9.5)) for z in crossings_m)
    tram = rng.random()
    return Street(
        lane_m=lane, lanes=tuple(sorted(lanes)), parking=tuple(parking), kerbs=(kerbs[0], kerbs[1]),
        verges=tuple(verges), walks=(walks[0], walks[1]), fronts=(fronts[0], fronts[1]), crossings=crossings,
        rails_x=float(rng.choice([x for x, _ in lanes])) if tram < 0.35 else None,
        rails_cross=0 if crossings and 0.2 < tram < 0.55 else None,
        z_range=(-8.0, length_m), green=(rng.random() < 0.5, rng.random() < 0.5),
    )  # fmt: skip


class Scenery:
    """Fills a street. signal: the traffic lights by time: 0 green, 1 yellow, 2 red; always the same if None."""

    def __init__(
        self, rng: np.random.Generator, street: Street, light: Light, *, signal: Callable[[float], int] | None = None
    ) -> None:
        self.rng, self.street, self.light = rng, street, light
        self._make = Builder(rng, is_night=light.is_night)
        state = int(rng.choice([0, 0, 1, 2, 2]))
        self._signal = signal or (lambda _time_s: state)

    def build(self) -> list[Item]:
        """All the items."""
        for side in (0, 1):
            self._plots(side)
            self._kerbside(side)
        self._skyline()
        for number in range(len(self.street.crossings)):
            self._junction(number)
        return self._make.items

    def _plots(self, side: int) -> None:
        """Everything from the sidewalk's far edge on."""
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
                self._make.house(side, front + sign * rng.choice([0.0, 0.0, 0.5]), z, z + length)
            else:
                self._garden(side, front, z, z + length, has_house=rng.random() < 0.6)
            z += length + (rng.uniform(0.5, 4.0) if rng.random() < 0.25 else 0.0)

    def _garden(self, side: int, front: float, z0: float, z1: float, *, has_house: bool) -> None:
        """A fence, wall or hedge along the sidewalk, with plants and perhaps a house behind."""
        rng, sign = self.rng, (-1, 1)[side]
        self._make.boundary(front + sign * 0.12, z0, z1)
        back = front + sign * rng.uniform(4.0, 9.0)
        if has_house and z1 - z0 > 6:
            self._make.house(side, back, z0 + 0.8, z1 - 0.8)
        else:
            for _ in range(int(rng.integers(2, 6))):
                self._make.tree(front + sign * rng.uniform(5, 20), rng.uniform(z0, z1))
        for _ in range(int(rng.integers(0, 4))):
            x, z = front + sign * rng.uniform(1.0, 3.5), rng.uniform(z0 + 0.5, z1 - 0.5)
            self._make.bush(x, z) if rng.random() < 0.6 else self._make.tree(x, z)

    def _kerbside(self, side: int) -> None:
        """Lamps, trees, poles, signs, railings between kerb and sidewalk."""
        rng, street = self.rng, self.street
        sign, kerb = (-1, 1)[side], street.kerbs[side]
        z0, z1 = street.z_range
        x = kerb + sign * 0.5
        step = rng.uniform(16, 30)
        for z in np.arange(z0 + rng.uniform(8, 18), z1, step):
            if street.is_clear(z, 1.0):
                mesh, height = furniture.lamp(rng, night=self.light.is_night)
                self._make.stand(mesh, x, z, height, (POLE, POLE), yaw=0.0 if side else np.pi)
        self._row_of_trees(side)
        for z in np.arange(z0 + rng.uniform(9, 16), z1, rng.uniform(9, 17)):
            if street.is_clear(z, 1.5):
                draw = rng.random()
                mesh, height = furniture.sign(rng) if draw < 0.6 else furniture.pole(rng)
                back = rng.random() < 0.2
                self._make.stand(
                    mesh,
                    x + sign * rng.uniform(-0.1, 0.5),
                    z,
                    height,
                    (POLE, SIGN),
                    yaw=rng.normal(0, 0.12) + back * np.pi,
                )
        if rng.random() < 0.3:
            start = rng.uniform(z0 + 10, max(z1 - 10, z0 + 11))
            length = rng.uniform(6, 14)
            if all(street.is_clear(start + k * length, 1.0) for k in (0.0, 0.25, 0.5, 0.75, 1.0)):
                self._make.boundary(
                    kerb + sign * 0.3, start, start + length, "fence" if rng.random() < 0.7 else "hedge"
                )
        if rng.random() < 0.12:
            mesh, height = furniture.clutter(rng)
            self._make.stand(mesh, kerb + sign * 0.9, rng.uniform(z0 + 12, z0 + 40), height, (VOID_ID,))

    def _row_of_trees(self, side: int) -> None:
        rng, street, make = self.rng, self.street, self._make
        if rng.random() > 0.55:
            return
        sign = (-1, 1)[side]
        verge = next((v for v in street.verges if (v[0] > 0) == bool(side)), None)
        x = (verge[0] + verge[1]) / 2 if verge else street.kerbs[side] + sign * 0.8
        for z in np.arange(street.z_range[0] + 6 + rng.uniform(0, 8), street.z_range[1], rng.uniform(6, 13)):
            if street.is_clear(z, 2.5) and rng.random() < 0.85:
                make.tree(x, z + rng.uniform(-0.5, 0.5), small=rng.random() < 0.4)

    def _junction(self, number: int) -> None:
        """Traffic lights at a side street, and houses or trees along it."""
        rng, street = self.rng, self.street
        a, b = street.crossings[number]
        if rng.random() < 0.8:
            reach = rng.uniform(2.5, 5.0) if rng.random() < 0.4 else 0.0
            for x, z, yaw, arm in (
                (street.kerbs[1] + 0.5, a - 3.9, 0.0, reach), (street.kerbs[0] - 0.5, a - 3.9, 0.0, 0.0),
                (street.kerbs[0] - 0.5, b + 3.9, np.pi, 0.0), (street.kerbs[1] + 0.6, b + 3.6, 0.0, 0.0),
            ):  # fmt: skip
                if rng.random() < 0.85:
                    self._make.traffic_light(x, z, yaw=yaw, reach=arm, signal=self._signal)
        for side, sign in enumerate((-1, 1)):
            for k in range(3):
                if rng.random() < 0.6:
                    self._make.tree(street.fronts[side] + sign * (14 + 9 * k), b + rng.uniform(2, 5))

    def _skyline(self) -> None:
        """Far houses and woods that close the view."""
        rng = self.rng
        z = self.street.z_range[1] + 45
        seed, night = int(rng.integers(2**32)), self.light.is_night

        @cache
        def draw() -> tuple[Texture, Texture]:
            return facade(stream(seed), 16, 14, scale=6, night=night)

        x = -90.0
        while x < 90:
            width = rng.uniform(10, 22)
            at = z + rng.uniform(0, 40)
            if rng.random() < 0.45:
                height = rng.uniform(7, 22)
                corners = np.array(
                    [(-width / 2, 0, 0), (width / 2, 0, 0), (width / 2, height, 0), (-width / 2, height, 0)]
                )
                part = Panel(draw, corners, (0.0, 0.0, -1.0))
                self._make.items.append(
                    Item((part,), (BUILDING,), fixed(x, at), (width / 2, 0.1), height, casts_shadow=False)
                )
            else:
                crown = Cutout(
                    self._make.crown("round" if rng.random() < 0.7 else "tall"), width * 1.3, rng.uniform(8, 17), -1.5
                )
                self._make.items.append(
                    Item((crown,), (VEGETATION,), fixed(x, at), (width / 2, 0.1), 10, casts_shadow=False)
                )
            x += width * 0.75
