# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ThingPlacer puts the things into a scene."""

from __future__ import annotations

import numpy as np

from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.pose import heading, stationary
from opendr_panoptic_ros.synthetic.render.street import KERB_HEIGHT_M, Street
from opendr_panoptic_ros.synthetic.render.things import ThingFactory

_MAX_ATTEMPTS = 14
"""A thing for which no free place was found after this number of attempts is left out."""


class ThingPlacer:
    """Places a random number of things where they are plausible, in view and without overlap.

    Args:
        factory: Makes the things; its random number generator is used for the places too.
        street: Layout of the street.
        camera: Camera of the scene.
    """

    _PROBABILITIES = (("bus", 0.3), ("truck", 0.32), ("train", 0.3), ("motorcycle", 0.4), ("bicycle", 0.45))

    def __init__(self, factory: ThingFactory, street: Street, camera: Camera) -> None:
        self.factory, self.street, self.camera, self.rng = factory, street, camera, factory.rng
        self._taken: list[tuple[float, float, float, float]] = []
        self._objects: list[SceneObject] = []

    def place(self) -> list[SceneObject]:
        """Return the things."""
        rng = self.rng
        wanted = [name for name, probability in self._PROBABILITIES if rng.random() < probability]
        wanted += ["bicycle"] * int(rng.random() < 0.15) + ["motorcycle"] * int(rng.random() < 0.1)
        for name in wanted:
            if name in ("bicycle", "motorcycle"):
                self._cycle(motor=name == "motorcycle")
            else:
                self._vehicle(name)
        for _ in range(int(rng.integers(1, 6))):
            self._vehicle("car")
        for _ in range(int(rng.integers(0, 6))):
            self._person()
        return self._objects

    def _is_free(self, box: tuple[float, float, float, float], margin: float = 0.35) -> bool:
        """Return whether a footprint keeps a distance from all others."""
        x0, x1, z0, z1 = box
        return not any(
            x0 - margin < b1 and x1 + margin > b0 and z0 - margin < c1 and z1 + margin > c0
            for b0, b1, c0, c1 in self._taken
        )

    def _in_view(self, x: float, z: float, nearest: float) -> bool:
        """Return whether a point 0.8 m above the ground is in the image and not nearer than `nearest` metres."""
        point = self.camera.to_camera(np.array([x, 0.8, z]))
        if point[2] < nearest:
            return False
        column, row = self.camera.to_pixels(point)
        width, height = self.camera.width_px, self.camera.height_px
        return 0.02 * width < column < 0.98 * width and row < 1.1 * height

    def _add(self, obj: SceneObject) -> None:
        self._taken.append(obj.footprint(0.0))
        self._objects.append(obj)

    def _spot(self, length: float, farthest: float) -> tuple[float, float, float]:
        """Return a random x, z and yaw for a vehicle: in a lane, parked, or in the side street."""
        rng, street = self.rng, self.street
        draw = rng.random()
        z = 5.0 + (farthest - 5.0) * rng.random() ** 1.2 + length / 2
        if street.crossings and draw < 0.33:
            x, direction = rng.uniform(-9, 9), 1 if rng.random() < 0.5 else -1
            z = street.side_street_lane(direction)
            return x, z, direction * np.pi / 2 + rng.normal(0, 0.06 if rng.random() < 0.6 else 0.4)
        if street.parking and draw < 0.62:
            x = float(rng.choice(street.parking))
            return x + rng.normal(0, 0.06), z, heading(x) + rng.normal(0, 0.02)
        x, direction = street.lanes[int(rng.integers(len(street.lanes)))]
        turning = rng.normal(0, 0.35) if rng.random() < 0.15 else rng.normal(0, 0.02)
        return x + rng.normal(0, 0.15), z, heading(direction) + turning

    def _vehicle(self, name: str) -> None:
        """Place a vehicle, if there is a free place."""
        part, size = self.factory.draw_vehicle(name)
        big = name != "car"
        for _ in range(_MAX_ATTEMPTS):
            x, z, yaw = self._spot(size[2], 24.0 if big else 34.0)
            if name == "train":
                is_crossing = abs(np.sin(yaw)) > 0.5
                if not is_crossing and self.street.rails_x is not None and self.rng.random() < 0.7:
                    x = self.street.rails_x
                yaw = round(yaw / (np.pi / 2)) * np.pi / 2
            probe = SceneObject((), (), stationary(x, z, yaw), (size[0] / 2, size[2] / 2), size[1])
            box = probe.footprint(0.0)
            is_ahead = box[0] - 0.8 < self.camera.position_m[0] < box[1] + 0.8
            nearest = 9.0 if big else 6.0
            if box[2] < nearest * (1.0 if is_ahead else 0.55):
                continue
            if self._is_free(box) and self._in_view(float(np.clip(x, box[0], box[1])), max(box[2], 3.0), 3.0):
                self._add(self.factory.vehicle(name, part, size, stationary(x, z, yaw)))
                return

    def _cycle(self, *, motor: bool) -> None:
        """Place a bicycle or motorcycle, ridden or parked, if there is a free place."""
        rng, street = self.rng, self.street
        ridden = rng.random() < 0.68
        for _ in range(_MAX_ATTEMPTS):
            z = rng.uniform(4.5, 17.0)
            if ridden or (motor and rng.random() < 0.4):
                x, direction = street.lanes[int(rng.integers(len(street.lanes)))]
                x += direction * rng.uniform(0.2, 0.45) * street.lane_m
                yaw = heading(direction) + rng.normal(0, 0.12)
                y = 0.0
                if street.crossings and rng.random() < 0.35:
                    a, b = street.crossings[0]
                    x, z, yaw, y = (
                        rng.uniform(-7, 7),
                        rng.uniform(a, b),
                        rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.15),
                        KERB_HEIGHT_M,
                    )
            else:
                walk = street.walks[int(rng.integers(2))]
                x, yaw, y = rng.uniform(*walk), rng.uniform(-np.pi, np.pi), KERB_HEIGHT_M
            if self._is_free((x - 0.6, x + 0.6, z - 0.8, z + 0.8), 0.1) and self._in_view(x, z, 4.0):
                self._add(self.factory.cycle(motor=motor, ridden=ridden, trajectory=stationary(x, z, yaw, y)))
                return

    def _person(self) -> None:
        """Place a pedestrian, if there is a free place."""
        rng, street = self.rng, self.street
        for _ in range(_MAX_ATTEMPTS):
            z, y = rng.uniform(4.5, 22.0), KERB_HEIGHT_M
            draw = rng.random()
            if street.crossings and draw < 0.3:
                a, b = street.crossings[0]
                x, z, y = rng.uniform(*street.kerbs), (a - 2.0 if draw < 0.2 else b + 2.0) + rng.normal(0, 0.5), 0.0
                yaw = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.15)
            elif draw < 0.4:
                x, yaw, y = rng.uniform(*street.kerbs), rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.3), 0.0
            else:
                x = rng.uniform(*street.walks[int(rng.integers(2))])
                yaw = (
                    rng.choice([0.0, np.pi]) + rng.normal(0, 0.25)
                    if rng.random() < 0.75
                    else rng.uniform(-np.pi, np.pi)
                )
            if self._is_free((x - 0.2, x + 0.2, z - 0.2, z + 0.2), 0.15) and self._in_view(x, z, 4.0):
                self._add(self.factory.person(stationary(x, z, yaw, y), walking=rng.random() < 0.7))
                return
