# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Things as items: cars, trucks, buses, trams, motorcycles, bicycles, riders, people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.render import heavy, people, vehicles
from opendr_panoptic_ros.synthetic.render.items import Item, Moving, Path, Solid

TRAIN_IDS = {name: CITYSCAPES.names.index(name) for name in CITYSCAPES.names[CITYSCAPES.num_stuff :]}
_VEHICLES: dict[str, Callable[..., tuple[vehicles.Row, vehicles.Size]]] = {
    "car": vehicles.car, "truck": heavy.truck, "bus": heavy.bus, "train": heavy.train
}  # fmt: skip
_FIRST_THING_ID = 12


class Cast:
    """Makes things and gives each an id of its own, from 12 on. class_of: train id by segment id."""

    def __init__(self, rng: np.random.Generator, *, is_night: bool) -> None:
        self.rng, self.is_night = rng, is_night
        self.class_of: dict[int, int] = {k + 1: k for k in range(CITYSCAPES.num_stuff)}

    def _new_id(self, name: str) -> int:
        segment_id = max(len(self.class_of) + 1, _FIRST_THING_ID)
        self.class_of[segment_id] = TRAIN_IDS[name]
        return segment_id

    def vehicle(self, name: str) -> tuple[Solid, tuple[float, float, float]]:
        """A car, truck, bus or train as a part, and its width, height, length in metres."""
        mesh, size = _VEHICLES[name](self.rng, lit=self.is_night or self.rng.random() < 0.25)
        return Solid(mesh), size

    def place_vehicle(self, name: str, part: Solid, size: tuple[float, float, float], path: Path) -> Item:
        """That vehicle on a path."""
        return Item((part,), (self._new_id(name),), path, (size[0] / 2, size[2] / 2), size[1])

    def place_cycle(self, *, motor: bool, ridden: bool, path: Path) -> Item:
        """A bicycle or motorcycle, with a rider of its own id when `ridden`."""
        rng = self.rng
        machine = people.Cycle.random(rng, motor=motor)
        look = people.Look.random(rng, adult=True) if ridden else None
        phase, cadence = rng.random(), 0.0 if motor or not ridden else rng.uniform(0.9, 1.3)
        ids: tuple[int, ...] = (self._new_id("motorcycle" if motor else "bicycle"),)
        if ridden:
            ids = (*ids, self._new_id("rider"))
        part = Moving(lambda time_s: people.cycle(machine, look, phase + cadence * time_s))
        return Item((part,), ids, path, (0.3, 0.95 * machine.size), 1.7 if ridden else 1.0)

    def place_person(self, path: Path, *, walking: bool) -> Item:
        """A pedestrian."""
        rng = self.rng
        look, phase, cadence = people.Look.random(rng), rng.random(), rng.uniform(0.8, 1.0)
        part = Moving(lambda time_s: people.person(look, phase + cadence * time_s, walking=walking))
        return Item((part,), (self._new_id("person"),), path, (0.25, 0.25), look.height)
