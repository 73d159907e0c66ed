# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A drive: a world, a camera that follows its lane and waits at a junction, and a lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.lens import Lens
from opendr_panoptic_ros.synthetic.render.light import draw_light
from opendr_panoptic_ros.synthetic.render.paving import lay_ground
from opendr_panoptic_ros.synthetic.render.rng import Purpose, rng_for
from opendr_panoptic_ros.synthetic.render.scene import draw_camera
from opendr_panoptic_ros.synthetic.render.static_placement import StaticObjectPlacer
from opendr_panoptic_ros.synthetic.render.street import Street, draw_street
from opendr_panoptic_ros.synthetic.render.things import ThingFactory
from opendr_panoptic_ros.synthetic.render.timetable import STOP_BEFORE_JUNCTION_M, Timetable
from opendr_panoptic_ros.synthetic.render.traffic import TrafficPlacer
from opendr_panoptic_ros.synthetic.render.world import World


def draw_drive(
    seed: int, duration_s: float, *, height: int, width: int
) -> tuple[World, Callable[[float], Camera], Lens]:
    """Return the world of a drive, the camera by time in seconds, and the lens.

    Args:
        seed: Seed of the drive, 0 or more.
        duration_s: Duration of the drive in seconds; the street is as long as the drive requires.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
    """
    light, precipitation = draw_light(rng_for(seed, Purpose.LIGHT))
    rng = rng_for(seed, Purpose.STREET)
    plan = Timetable.plan(duration_s, rng.uniform(7.5, 9.5))
    junction = plan.travelled_m(plan.red_s[0]) + STOP_BEFORE_JUNCTION_M + 1.0 if plan.waits else plan.total_m + 22.0
    street = draw_street(rng, plan.total_m + 75.0, crossings_m=[junction])
    street = _with_two_lanes(street)
    objects = StaticObjectPlacer(rng_for(seed, Purpose.STATIC_OBJECTS), street, light, signal=plan.signal).place()
    start = draw_camera(rng_for(seed, Purpose.CAMERA), street, width, height)
    lane = min(x for x, direction in street.lanes if direction > 0)
    start = replace(
        start, position_m=(lane + 0.1, start.position_m[1], 0.0), yaw_rad=0.0, bend_per_m=0.4 * start.bend_per_m
    )
    factory = ThingFactory(rng_for(seed, Purpose.THINGS), is_night=light.is_night)
    objects += TrafficPlacer(factory, street, plan, duration_s, lane).place()
    ground = lay_ground(rng_for(seed, Purpose.GROUND), street, snow=light.snow)
    world = World(seed, light, ground, tuple(objects), factory.class_of)

    def camera(time_s: float) -> Camera:
        x, y, _ = start.position_m
        sway = 0.12 * np.sin(0.7 * time_s), 0.012 * np.sin(0.9 * time_s + 1), 0.004 * np.sin(7.0 * time_s)
        position = (x + sway[0], y, plan.travelled_m(time_s))
        return replace(start, position_m=position, yaw_rad=float(sway[1]), pitch_rad=start.pitch_rad + float(sway[2]))

    return world, camera, Lens.random(rng_for(seed, Purpose.LENS), precipitation, is_night=light.is_night)


def _with_two_lanes(street: Street) -> Street:
    """Return the street, widened on the right if necessary, so that two lanes lead along z."""
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
