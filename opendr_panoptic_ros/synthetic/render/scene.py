# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A scene: a world at one moment, with its camera and lens."""

from __future__ import annotations

import numpy as np

from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.lens import Lens
from opendr_panoptic_ros.synthetic.render.light import draw_light
from opendr_panoptic_ros.synthetic.render.objects import SceneObject
from opendr_panoptic_ros.synthetic.render.palette import paint_color
from opendr_panoptic_ros.synthetic.render.paving import lay_ground
from opendr_panoptic_ros.synthetic.render.rng import Purpose, rng_for
from opendr_panoptic_ros.synthetic.render.static_placement import StaticObjectPlacer
from opendr_panoptic_ros.synthetic.render.street import Street, draw_street
from opendr_panoptic_ros.synthetic.render.thing_placement import ThingPlacer
from opendr_panoptic_ros.synthetic.render.things import ThingFactory
from opendr_panoptic_ros.synthetic.render.world import World

_SIDEWALK_SHARE = 0.12  # share of scenes that are seen from the sidewalk
_HOOD_SHARE = 0.06  # share of scenes that show the hood of the camera's own car


def draw_camera(rng: np.random.Generator, street: Street, width: int, height: int) -> Camera:
    """Return a random camera in a lane that leads along z, sometimes on the sidewalk.

    Args:
        rng: Random number generator.
        street: Layout of the street.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """
    focal = rng.uniform(0.82, 1.2) * np.sqrt(2.0 * height * width) * 0.92
    lanes = [x for x, direction in street.lanes if direction > 0]
    x = float(rng.choice(lanes)) + rng.normal(0, 0.4)
    yaw = rng.normal(0, 0.05)
    if rng.random() < _SIDEWALK_SHARE:
        x, yaw = sum(street.walks[1]) / 2, rng.normal(-0.1, 0.1)
    return Camera(
        width_px=width,
        height_px=height,
        focal_px=float(focal),
        position_m=(float(x), float(rng.uniform(1.15, 2.1)), 0.0),
        yaw_rad=float(yaw),
        pitch_rad=float(rng.normal(-0.015, 0.03)),
        roll_rad=float(rng.normal(0, 0.012)),
        bend_per_m=float(rng.normal(0, 0.0009)) if rng.random() < 0.6 else 0.0,
    )


def draw_scene(seed: int, *, height: int, width: int) -> tuple[World, Camera, Lens]:
    """Return world, camera and lens of a scene.

    Args:
        seed: Seed of the scene, 0 or more.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
    """
    light, precipitation = draw_light(rng_for(seed, Purpose.LIGHT))
    rng = rng_for(seed, Purpose.STREET)
    crossings = [float(rng.uniform(11, 32))] if rng.random() < 0.55 else []
    street = draw_street(rng, 70.0, crossings_m=crossings)
    camera = draw_camera(rng_for(seed, Purpose.CAMERA), street, width, height)
    objects = [
        obj
        for obj in StaticObjectPlacer(rng_for(seed, Purpose.STATIC_OBJECTS), street, light).place()
        if not _blocks(obj, camera)
    ]
    factory = ThingFactory(rng_for(seed, Purpose.THINGS), is_night=light.is_night)
    objects += ThingPlacer(factory, street, camera).place()
    ground = lay_ground(rng_for(seed, Purpose.GROUND), street, snow=light.snow)
    rng = rng_for(seed, Purpose.HOOD)
    hood = paint_color(rng) if rng.random() < _HOOD_SHARE else None
    world = World(seed, light, ground, tuple(objects), factory.class_of, hood)
    return world, camera, Lens.random(rng_for(seed, Purpose.LENS), precipitation, is_night=light.is_night)


def _blocks(obj: SceneObject, camera: Camera) -> bool:
    """Return whether a pole or tree stands directly in front of the camera."""
    pose, radius = obj.trajectory(0.0), max(obj.half_extents_m)
    is_house = radius >= 3.5
    return not is_house and np.hypot(pose.x - camera.position_m[0], pose.z) < 4.0 + radius
