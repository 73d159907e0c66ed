# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ThingFactory makes cars, trucks, buses, trams, motorcycles, bicycles, riders and people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.synthetic.render.buses import bus
from opendr_panoptic_ros.synthetic.render.cars import car
from opendr_panoptic_ros.synthetic.render.cycles import Cycle, cycle_figure
from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.parts import FigurePart, MeshPart
from opendr_panoptic_ros.synthetic.render.people import Appearance, person_figure
from opendr_panoptic_ros.synthetic.render.pose import Trajectory
from opendr_panoptic_ros.synthetic.render.segment_ids import FIRST_THING_ID, STUFF_IDS
from opendr_panoptic_ros.synthetic.render.trams import tram
from opendr_panoptic_ros.synthetic.render.trucks import truck
from opendr_panoptic_ros.synthetic.render.vehicle_parts import MeshRow, VehicleSize

TRAIN_IDS = {name: CITYSCAPES.names.index(name) for name in CITYSCAPES.names[CITYSCAPES.num_stuff :]}
_VEHICLES: dict[str, Callable[..., tuple[MeshRow, VehicleSize]]] = {
    "car": car,
    "truck": truck,
    "bus": bus,
    "train": tram,
}


class ThingFactory:
    """Makes things, each with its own segment id from `FIRST_THING_ID` up.

    `class_of` is the train id of each segment id, stuff included.

    Args:
        rng: Random number generator of all things.
        is_night: Whether vehicles are lit.
    """

    def __init__(self, rng: np.random.Generator, *, is_night: bool) -> None:
        self.rng, self.is_night = rng, is_night
        self.class_of: dict[int, int] = {segment_id: k for k, segment_id in enumerate(STUFF_IDS)}

    def _new_id(self, name: str) -> int:
        """Return a new segment id of a class."""
        segment_id = max(len(self.class_of) + 1, FIRST_THING_ID)
        self.class_of[segment_id] = TRAIN_IDS[name]
        return segment_id

    def draw_vehicle(self, name: str) -> tuple[MeshPart, VehicleSize]:
        """Return a random vehicle as a part, and its size.

        Args:
            name: "car", "truck", "bus" or "train".
        """
        mesh, size = _VEHICLES[name](self.rng, lit=self.is_night or self.rng.random() < 0.25)
        return MeshPart(mesh), size

    def vehicle(self, name: str, part: MeshPart, size: VehicleSize, trajectory: Trajectory) -> SceneObject:
        """Return a vehicle as an object.

        Args:
            name: Its class, as for `draw_vehicle`.
            part: The part of `draw_vehicle`.
            size: The size of `draw_vehicle`.
            trajectory: Pose by time in seconds.
        """
        return SceneObject((part,), (self._new_id(name),), trajectory, (size[0] / 2, size[2] / 2), size[1])

    def cycle(self, *, motor: bool, ridden: bool, trajectory: Trajectory) -> SceneObject:
        """Return a bicycle or motorcycle; its rider has a segment id of its own.

        Args:
            motor: Whether it is a motorcycle.
            ridden: Whether it has a rider.
            trajectory: Pose by time in seconds.
        """
        rng = self.rng
        machine = Cycle.random(rng, motor=motor)
        look = Appearance.random(rng, adult=True) if ridden else None
        phase, cadence = rng.random(), 0.0 if motor or not ridden else rng.uniform(0.9, 1.3)
        ids: tuple[int, ...] = (self._new_id("motorcycle" if motor else "bicycle"),)
        if ridden:
            ids = (*ids, self._new_id("rider"))
        part = FigurePart(lambda time_s: cycle_figure(machine, look, phase + cadence * time_s))
        return SceneObject((part,), ids, trajectory, (0.3, 0.95 * machine.size), 1.7 if ridden else 1.0)

    def person(self, trajectory: Trajectory, *, walking: bool) -> SceneObject:
        """Return a pedestrian.

        Args:
            trajectory: Pose by time in seconds.
            walking: Whether the legs and arms move.
        """
        rng = self.rng
        look, phase, cadence = Appearance.random(rng), rng.random(), rng.uniform(0.8, 1.0)
        part = FigurePart(lambda time_s: person_figure(look, phase + cadence * time_s, walking=walking))
        return SceneObject((part,), (self._new_id("person"),), trajectory, (0.25, 0.25), look.height)
