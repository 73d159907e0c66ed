# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A drive: the camera follows its lane and waits at a junction; all others move by a timetable without collisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from opendr_panoptic_ros.synthetic.render.actors import Cast
from opendr_panoptic_ros.synthetic.render.camera import Camera, stream
from opendr_panoptic_ros.synthetic.render.canvas import Pose
from opendr_panoptic_ros.synthetic.render.ground import KERB_M, Street
from opendr_panoptic_ros.synthetic.render.items import Item, Path, fixed
from opendr_panoptic_ros.synthetic.render.paving import lay_ground
from opendr_panoptic_ros.synthetic.render.scenery import Scenery, draw_street
from opendr_panoptic_ros.synthetic.render.weather import Lens, draw_light
from opendr_panoptic_ros.synthetic.render.world import (
    CAMERA_TAG,
    CAST_TAG,
    GROUND_TAG,
    LENS_TAG,
    LIGHT_TAG,
    SCENERY_TAG,
    STREET_TAG,
    World,
    draw_camera,
)

_BEFORE_JUNCTION_M = 8.5
_SHORTEST_WITH_RED_S = 6.0


@dataclass(frozen=True)
class Timetable:
    """How far the main street's traffic has come, and when it waits for the side street.

    travelled_m: by time in seconds. Nobody on the main street moves during `red_s`.
    """

    travelled_m: Callable[[float], float]
    red_s: tuple[float, float]
    total_m: float

    @classmethod
    def plan(cls, duration_s: float, speed_m_s: float) -> Timetable:
        """Drive, wait for up to 7 s around the middle when there is time for it, drive on."""
        times = np.arange(0.0, duration_s + 0.02, 0.02)
        red, share = (np.inf, np.inf), np.ones_like(times)
        if duration_s >= _SHORTEST_WITH_RED_S:
            red = (0.34 * duration_s, 0.34 * duration_s + min(7.0, 0.4 * duration_s))
            share = np.maximum(np.clip((red[0] - times) / 1.8, 0, 1), np.clip((times - red[1]) / 2.5, 0, 1))
        way = np.concatenate([[0.0], np.cumsum(speed_m_s * share)[:-1] * 0.02])
        return cls(lambda time_s: float(np.interp(time_s, times, way)), red, float(way[-1]))

    def signal(self, time_s: float) -> int:
        """What the main street's traffic lights show: 0 green, 1 yellow, 2 red."""
        if not self.red_s[0] - 3.0 < time_s < self.red_s[1]:
            return 0
        return 1 if time_s < self.red_s[0] - 1.5 else 2

    @property
    def waits(self) -> bool:
        """Whether there is a red phase."""
        return bool(np.isfinite(self.red_s[0]))


def draw_drive(
    seed: int, duration_s: float, *, height: int, width: int
) -> tuple[World, Callable[[float], Camera], Lens]:
    """The world of a drive, the camera by time in seconds, and the lens."""
    light, falling = draw_light(stream(seed, LIGHT_TAG))
    rng = stream(seed, STREET_TAG)
    plan = Timetable.plan(duration_s, rng.uniform(7.5, 9.5))
    junction = plan.travelled_m(plan.red_s[0]) + _BEFORE_JUNCTION_M + 1.0 if plan.waits else plan.total_m + 22.0
    street = draw_street(rng, plan.total_m + 75.0, crossings_m=[junction])
    street = _with_two_lanes(street)
    items = Scenery(stream(seed, SCENERY_TAG), street, light, signal=plan.signal).build()
    start = draw_camera(stream(seed, CAMERA_TAG), street, width, height)
    lane = min(x for x, direction in street.lanes if direction > 0)
    start = replace(
        start, position_m=(lane + 0.1, start.position_m[1], 0.0), yaw_rad=0.0, bend_per_m=0.4 * start.bend_per_m
    )
    cast = Cast(stream(seed, CAST_TAG), is_night=light.is_night)
    items += Traffic(cast, street, plan, duration_s, lane).items
    world = World(
        seed, light, lay_ground(stream(seed, GROUND_TAG), street, snow=light.snow), tuple(items), cast.class_of
    )

    def camera(time_s: float) -> Camera:
        x, y, _ = start.position_m
        sway = 0.12 * np.sin(0.7 * time_s), 0.012 * np.sin(0.9 * time_s + 1), 0.004 * np.sin(7.0 * time_s)
        position = (x + sway[0], y, plan.travelled_m(time_s))
        return replace(start, position_m=position, yaw_rad=float(sway[1]), pitch_rad=start.pitch_rad + float(sway[2]))

    return world, camera, Lens.random(stream(seed, LENS_TAG), falling, is_night=light.is_night)


def _with_two_lanes(street: Street) -> Street:
    """The street, widened on the right so that there is a second lane to be overtaken in."""
    if sum(direction > 0 for _, direction in street.lanes) > 1:
        return street
    add = street.lane_m

    def moved(values: tuple[float, float]) -> tuple[float, float]:
        return (values[0] + add, values[1] + add) if values[0] > 0 else values

    return replace(
        street,
        lanes=tuple(sorted([*street.lanes, (1.5 * street.lane_m, 1)])),
        parking=tuple(x + add if x > 0 else x for x in street.parking),
        kerbs=(street.kerbs[0], street.kerbs[1] + add),
        verges=tuple(moved(verge) for verge in street.verges),
        walks=(street.walks[0], moved(street.walks[1])),
        fronts=(street.fronts[0], street.fronts[1] + add),
    )


class Traffic:
    """Everybody else on the street. `items` is complete after construction."""

    def __init__(self, cast: Cast, street: Street, plan: Timetable, duration_s: float, own_lane: float) -> None:
        self.cast, self.street, self.plan, self.duration_s, self.rng = cast, street, plan, duration_s, cast.rng
        self.items: list[Item] = []
        self._junction = street.crossings[0]
        self._ahead(own_lane)
        self._overtaken()
        self._oncoming()
        self._parked()
        if plan.waits:
            self._cross_traffic()
        self._people()

    def _vehicle(self, name: str, path_of_length: Callable[[float], Path]) -> float:
        """Add a vehicle; its path may depend on its length, which is returned."""
        part, size = self.cast.vehicle(name)
        self.items.append(self.cast.place_vehicle(name, part, size, path_of_length(size[2])))
        return size[2]

    def _flow(self, x: float, z: float, rate: float = 1.0) -> Path:
        """With the main street's traffic: `rate` of the camera's way from z on; negative towards it."""
        yaw = 0.0 if rate > 0 else np.pi
        return lambda time_s: Pose(x, z + rate * self.plan.travelled_m(time_s), yaw)

    def _ahead(self, lane: float) -> None:
        """A vehicle that stays ahead in our own lane, beyond the junction when all wait."""
        gap = _BEFORE_JUNCTION_M + 1.0 + self._junction[1] - self._junction[0] + self.rng.uniform(4.5, 7.0)
        name = str(self.rng.choice(["car", "car", "truck", "bus"]))
        self._vehicle(name, lambda length: self._flow(lane, gap + length / 2))

    def _overtaken(self) -> None:
        """A car in the right lane that falls behind the camera before the red phase and comes back after it."""
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
        if self.plan.waits:  # it waits beyond the junction, where the camera overtakes it later
            z = self._junction[1] + 4.5 - 0.42 * self.plan.travelled_m(self.plan.red_s[0])
        path = self._flow(cycle_x, z, 0.42)
        self.items.append(self.cast.place_cycle(motor=False, ridden=True, path=path))

    def _oncoming(self) -> None:
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
                part, size = (None, (0.0, 0.0, 2.2)) if name == "motorcycle" else self.cast.vehicle(name)
                middle = z + size[2] / 2
                if a - 5 - size[2] / 2 < middle - stopped < b + 4 + size[2] / 2:  # would wait in the junction
                    middle = stopped + b + 4.5 + size[2] / 2
                path = self._flow(x, middle, -1.0)
                if part is None:
                    self.items.append(self.cast.place_cycle(motor=True, ridden=True, path=path))
                else:
                    self.items.append(self.cast.place_vehicle(name, part, size, path))
                z = middle + size[2] / 2 + self.rng.uniform(6, 22)

    def _parked(self) -> None:
        a, b = self._junction
        for x in self.street.parking:
            z, end = 8.0 + self.rng.uniform(0, 6), self.street.z_range[1] - 20
            while z < end:
                name = "truck" if self.rng.random() < 0.1 else "car"
                part, size = self.cast.vehicle(name)
                if not a - 6 - size[2] < z < b + 6 and self.rng.random() < 0.6:
                    yaw = 0.0 if x > 0 else np.pi
                    self.items.append(self.cast.place_vehicle(name, part, size, fixed(x, z + size[2] / 2, yaw)))
                z += size[2] + self.rng.uniform(0.8, 6.0)
        for side in (0, 1):
            front, sign = self.street.fronts[side], (-1, 1)[side]
            for z in np.arange(self.rng.uniform(10, 20), self.street.z_range[1] - 30, self.rng.uniform(18, 30)):
                if not a - 3 < z < b + 3:
                    path = fixed(front - sign * 0.5, z, self.rng.choice([0, np.pi]) + self.rng.normal(0, 0.2), KERB_M)
                    self.items.append(self.cast.place_cycle(motor=self.rng.random() < 0.4, ridden=False, path=path))

    def _cross_traffic(self) -> None:
        """Vehicles that wait in the side street and cross while the main street waits."""
        a, b = self._junction
        names = [["car"], ["truck"], ["bus"], ["train"], ["car", "car"]]
        for direction, z in ((1, a + 0.27 * (b - a)), (-1, a + 0.73 * (b - a))):
            edge = self.street.fronts[0] - 1.0 if direction > 0 else self.street.fronts[1] + 1.0
            for name in names[int(self.rng.integers(len(names)))]:
                part, size = self.cast.vehicle(name)
                start = edge - direction * size[2] / 2
                path = self._crossing(start, z, direction, self.rng.uniform(8.5, 10.0), KERB_M)
                self.items.append(self.cast.place_vehicle(name, part, size, path))
                edge -= direction * (size[2] + 1.5)

    def _crossing(self, x: float, z: float, direction: int, speed_m_s: float, y: float) -> Path:
        """Waits at x until the main street waits, then goes on along x for good."""
        begin = self.plan.red_s[0] + 0.2

        def path(time_s: float) -> Pose:
            since = max(time_s - begin, 0.0)
            way = 0.5 * since**2 * speed_m_s if since < 1 else (since - 0.5) * speed_m_s
            return Pose(x + direction * way, z, direction * np.pi / 2, y)

        return path

    def _people(self) -> None:
        """Pedestrians along the sidewalks, who keep out of the side street, and some who cross before the camera."""
        a, b = self._junction
        for _ in range(int(4 + 0.14 * self.plan.total_m)):
            walk = self.street.walks[int(self.rng.integers(2))]
            x, z = self.rng.uniform(walk[0] + 0.4, walk[1] - 0.4), self.rng.uniform(6, self.plan.total_m + 30)
            speed = self.rng.choice([-1, 1]) * self.rng.uniform(1.1, 1.6) if self.rng.random() < 0.8 else 0.0
            end = z + speed * self.duration_s
            if min(z, end) < b + 1 and max(z, end) > a - 1:
                continue
            yaw = (0.0 if speed > 0 else np.pi) if speed else self.rng.uniform(-np.pi, np.pi)
            self.items.append(self.cast.place_person(_walk(x, z, speed, yaw), walking=speed != 0))
        if self.plan.waits:
            for z in (a - 2.8, a - 1.9, a - 1.0):  # from the right, so that our lanes are clear first
                x = self.street.kerbs[1] + self.rng.uniform(0.3, 1.6)
                path = self._crossing(x, z, -1, self.rng.uniform(1.6, 2.1), 0.0)
                self.items.append(self.cast.place_person(path, walking=True))


def _walk(x: float, z: float, speed_m_s: float, yaw: float) -> Path:
    return lambda time_s: Pose(x, z + speed_m_s * time_s, yaw, KERB_M)
