# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""TrafficPlacer puts the things into a drive; they move without collisions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.pose import Pose, Trajectory, heading, stationary
from opendr_panoptic_ros.synthetic.render.street import KERB_HEIGHT_M, Street
from opendr_panoptic_ros.synthetic.render.things import ThingFactory
from opendr_panoptic_ros.synthetic.render.timetable import STOP_BEFORE_JUNCTION_M, Timetable


class TrafficPlacer:
    """Places the things of a drive: all traffic but the camera's own car.

    Args:
        factory: Makes the things; its random number generator is used for the trajectories too.
        street: Layout of the street; its first side street is the junction.
        plan: Timetable of the main street.
        duration_s: Duration of the drive in seconds.
        own_lane: x of the camera's lane, metres.
    """

    def __init__(
        self, factory: ThingFactory, street: Street, plan: Timetable, duration_s: float, own_lane: float
    ) -> None:
        self.factory, self.street, self.plan, self.duration_s, self.rng = factory, street, plan, duration_s, factory.rng
        self.own_lane = own_lane
        self._objects: list[SceneObject] = []
        self._junction = street.crossings[0]

    def place(self) -> list[SceneObject]:
        """Return the things."""
        self._ahead(self.own_lane)
        self._overtaken()
        self._oncoming()
        self._parked()
        if self.plan.waits:
            self._cross_traffic()
        self._people()
        return self._objects

    def _vehicle(self, name: str, trajectory_of_length: Callable[[float], Trajectory]) -> float:
        """Add a vehicle whose trajectory may depend on its length."""
        part, size = self.factory.draw_vehicle(name)
        self._objects.append(self.factory.vehicle(name, part, size, trajectory_of_length(size[2])))
        return size[2]

    def _flow(self, x: float, z: float, rate: float = 1.0) -> Trajectory:
        """Return the trajectory of a vehicle on the main street.

        It moves at `rate` times the speed of the camera; negative rates are oncoming.
        """
        yaw = heading(rate)
        return lambda time_s: Pose(x, z + rate * self.plan.travelled_m(time_s), yaw)

    def _ahead(self, lane: float) -> None:
        """Add a vehicle that stays ahead in the camera's lane and waits beyond the junction."""
        gap = STOP_BEFORE_JUNCTION_M + 1.0 + self._junction[1] - self._junction[0] + self.rng.uniform(4.5, 7.0)
        name = str(self.rng.choice(["car", "car", "truck", "bus"]))
        self._vehicle(name, lambda length: self._flow(lane, gap + length / 2))

    def _overtaken(self) -> None:
        """Add a car in the right lane and a cyclist.

        The car falls behind the camera before the red phase and overtakes it afterwards.
        """
        x = max(x for x, direction in self.street.lanes if direction > 0)
        red = self.plan.red_s if self.plan.waits else (0.45 * self.duration_s, 0.55 * self.duration_s)

        def gap(time_s: float) -> float:
            before = np.clip(time_s / red[0], 0, 1)
            after = np.clip((time_s - red[1]) / (0.9 * (self.duration_s - red[1])), 0, 1)
            share = np.cos(np.pi * before) if time_s < red[1] else -np.cos(np.pi * after)
            return float(4.0 + 12.0 * share)

        self._vehicle("car", lambda _: lambda time_s: Pose(x, gap(time_s) + self.plan.travelled_m(time_s)))
        cycle_x = self.street.kerbs[1] - 0.7 if not any(p > 0 for p in self.street.parking) else x + 1.25
        z = self.rng.uniform(20, 26)
        if self.plan.waits:  # the cyclist waits beyond the junction and is overtaken later
            z = self._junction[1] + 4.5 - 0.42 * self.plan.travelled_m(self.plan.red_s[0])
        trajectory = self._flow(cycle_x, z, 0.42)
        self._objects.append(self.factory.cycle(motor=False, ridden=True, trajectory=trajectory))

    def _oncoming(self) -> None:
        """Add oncoming vehicles; those that would wait in the junction wait beyond it."""
        names = ["bus", "truck", "motorcycle", "train", "car", "car", "car", "car", "car"]
        self.rng.shuffle(names)
        a, b = self._junction
        lanes = [x for x, direction in self.street.lanes if direction < 0]
        for number, x in enumerate(sorted(lanes)):
            z = self.rng.uniform(14, 28)
            stopped = self.plan.travelled_m(self.plan.red_s[0]) if self.plan.waits else -np.inf
            for name in names[number :: len(lanes)]:
                if z > 2 * self.plan.total_m + 60:
                    break
                part, size = (None, (0.0, 0.0, 2.2)) if name == "motorcycle" else self.factory.draw_vehicle(name)
                middle = z + size[2] / 2
                if a - 5 - size[2] / 2 < middle - stopped < b + 4 + size[2] / 2:  # it would stop in the junction
                    middle = stopped + b + 4.5 + size[2] / 2
                trajectory = self._flow(x, middle, -1.0)
                if part is None:
                    self._objects.append(self.factory.cycle(motor=True, ridden=True, trajectory=trajectory))
                else:
                    self._objects.append(self.factory.vehicle(name, part, size, trajectory))
                z = middle + size[2] / 2 + self.rng.uniform(6, 22)

    def _parked(self) -> None:
        """Add parked cars and trucks along the kerbs, and parked cycles on the sidewalks."""
        a, b = self._junction
        for x in self.street.parking:
            z, end = 8.0 + self.rng.uniform(0, 6), self.street.z_range[1] - 20
            while z < end:
                name = "truck" if self.rng.random() < 0.1 else "car"
                part, size = self.factory.draw_vehicle(name)
                if not a - 6 - size[2] < z < b + 6 and self.rng.random() < 0.6:
                    self._objects.append(
                        self.factory.vehicle(name, part, size, stationary(x, z + size[2] / 2, heading(x)))
                    )
                z += size[2] + self.rng.uniform(0.8, 6.0)
        for side in (0, 1):
            front, sign = self.street.fronts[side], (-1, 1)[side]
            for z in np.arange(self.rng.uniform(10, 20), self.street.z_range[1] - 30, self.rng.uniform(18, 30)):
                if not a - 3 < z < b + 3:
                    trajectory = stationary(
                        front - sign * 0.5, z, self.rng.choice([0, np.pi]) + self.rng.normal(0, 0.2), KERB_HEIGHT_M
                    )
                    self._objects.append(
                        self.factory.cycle(motor=self.rng.random() < 0.4, ridden=False, trajectory=trajectory)
                    )

    def _cross_traffic(self) -> None:
        """Add vehicles that wait in the side street and cross while the main street waits."""
        names = [["car"], ["truck"], ["bus"], ["train"], ["car", "car"]]
        for direction in (1, -1):
            z = self.street.side_street_lane(direction)
            edge = self.street.fronts[0] - 1.0 if direction > 0 else self.street.fronts[1] + 1.0
            for name in names[int(self.rng.integers(len(names)))]:
                part, size = self.factory.draw_vehicle(name)
                start = edge - direction * size[2] / 2
                trajectory = self._crossing(start, z, direction, self.rng.uniform(8.5, 10.0), KERB_HEIGHT_M)
                self._objects.append(self.factory.vehicle(name, part, size, trajectory))
                edge -= direction * (size[2] + 1.5)

    def _crossing(self, x: float, z: float, direction: int, speed_m_s: float, y: float) -> Trajectory:
        """Return a trajectory that starts at x when the main street waits and continues along x."""
        begin = self.plan.red_s[0] + 0.2

        def trajectory(time_s: float) -> Pose:
            since = max(time_s - begin, 0.0)
            way = 0.5 * since**2 * speed_m_s if since < 1 else (since - 0.5) * speed_m_s
            return Pose(x + direction * way, z, direction * np.pi / 2, y)

        return trajectory

    def _people(self) -> None:
        """Add pedestrians on the sidewalks, clear of the side street, and some who cross in front of the camera."""
        a, b = self._junction
        for _ in range(int(4 + 0.14 * self.plan.total_m)):
            walk = self.street.walks[int(self.rng.integers(2))]
            x, z = self.rng.uniform(walk[0] + 0.4, walk[1] - 0.4), self.rng.uniform(6, self.plan.total_m + 30)
            speed = self.rng.choice([-1, 1]) * self.rng.uniform(1.1, 1.6) if self.rng.random() < 0.8 else 0.0
            end = z + speed * self.duration_s
            if min(z, end) < b + 1 and max(z, end) > a - 1:
                continue
            yaw = heading(speed) if speed else self.rng.uniform(-np.pi, np.pi)
            self._objects.append(self.factory.person(_walk(x, z, speed, yaw), walking=speed != 0))
        if self.plan.waits:
            for z in (a - 2.8, a - 1.9, a - 1.0):  # from the right, so that the lanes of the camera are clear first
                x = self.street.kerbs[1] + self.rng.uniform(0.3, 1.6)
                trajectory = self._crossing(x, z, -1, self.rng.uniform(1.6, 2.1), 0.0)
                self._objects.append(self.factory.person(trajectory, walking=True))


def _walk(x: float, z: float, speed_m_s: float, yaw: float) -> Trajectory:
    """Return the trajectory of a pedestrian along the sidewalk."""
    return lambda time_s: Pose(x, z + speed_m_s * time_s, yaw, KERB_HEIGHT_M)
