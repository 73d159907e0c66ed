# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""World: a street with its things, under a light, seen by a camera. A scene is a world at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.actors import Cast
from opendr_panoptic_ros.synthetic.render.camera import Camera, Floats, Light, stream
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.ground import KERB_M, STUFF_IDS, Ground, Street, paint_sky
from opendr_panoptic_ros.synthetic.render.items import Item, fixed, painting_order
from opendr_panoptic_ros.synthetic.render.palette import Rgb, paint
from opendr_panoptic_ros.synthetic.render.paving import lay_ground
from opendr_panoptic_ros.synthetic.render.scenery import VOID_ID, Scenery, draw_street
from opendr_panoptic_ros.synthetic.render.weather import Lens, draw_light, reflect

LIGHT_TAG, STREET_TAG, SCENERY_TAG, GROUND_TAG, SKY_TAG, CAST_TAG, CAMERA_TAG, LENS_TAG, SENSOR_TAG, HOOD_TAG = range(
    1, 11
)
_SIGHT_M = 170.0
_HOOD_SHARE = 0.06


@dataclass(frozen=True)
class World:
    """Everything but the camera. class_of: train id by segment id; id 0 is void, as is the camera car's own hood."""

    seed: int
    light: Light
    ground: Ground
    items: tuple[Item, ...]
    class_of: dict[int, int]
    hood: Rgb | None = None

    def paint(self, camera: Camera, time_s: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """`(H, W, 3)` uint8 RGB and `(H, W)` int32 segment ids."""
        canvas = Canvas(camera, self.light)
        paint_sky(canvas, stream(self.seed, SKY_TAG))
        boxes = np.array([item.footprint(time_s) for item in self.items])
        z = camera.position_m[2]
        seen = (boxes[:, 3] > z + 0.5) & (boxes[:, 2] < z + _SIGHT_M)
        items = [item for item, is_seen in zip(self.items, seen, strict=True) if is_seen]
        for item in items:
            item.paint_shadow(canvas, time_s)
        self.ground.paint(canvas)
        in_view = _in_view(items, boxes[seen], camera)
        for index in painting_order(boxes[seen], camera):
            if in_view[index]:
                items[index].paint(canvas, time_s)
        if self.light.wetness > 0.1:
            is_wet = (canvas.ids == STUFF_IDS[0]) | (canvas.ids == STUFF_IDS[1])
            reflect(canvas.image, is_wet, sum(camera.horizon_px) / 2, self.light.wetness)
        if self.hood is not None:
            _paint_hood(canvas, self.hood)
        return canvas.image, canvas.ids


def _paint_hood(canvas: Canvas, color: Rgb) -> None:
    """The camera car's own bonnet along the lower edge: void, as in Cityscapes."""
    height, width = canvas.ids.shape
    across = np.linspace(-0.15, 1.15, 24)
    for low, shade, segment_id in ((0.0, 0.75, VOID_ID), (0.035, 0.95, None)):
        top = 0.9 + low + 0.55 * (across - 0.5) ** 2
        outline = np.column_stack([np.append(across, [1.2, -0.2]) * width, np.append(top, [1.2, 1.2]) * height])
        light = np.asarray(canvas.light.ambient_rgb) + 0.5 * np.asarray(canvas.light.sun_rgb)
        canvas.polygon(outline, np.minimum(np.asarray(color) * shade * light, 255).tolist(), segment_id)


def _in_view(items: list[Item], boxes: Floats, camera: Camera) -> NDArray[np.bool_]:
    """Which items may be in the picture: before the camera, and not wholly left or right of it."""
    reach = np.array([item.reach_m for item in items])[:, None]
    x = (boxes[:, :2] + reach * (-1, 1))[:, [0, 1, 1, 0]]
    z = (boxes[:, 2:] + reach * (-1, 1))[:, [0, 0, 1, 1]]
    points = camera.to_camera(np.stack([x, np.ones_like(x), z], axis=-1))
    edge = points[..., 2] * (0.5 * camera.width_px / camera.focal_px)
    beside = (points[..., 0] > edge + 0.5).all(axis=1) | (points[..., 0] < -edge - 0.5).all(axis=1)
    return np.asarray(~beside & (points[..., 2] > 0).any(axis=1))


def draw_camera(rng: np.random.Generator, street: Street, width: int, height: int) -> Camera:
    """A camera in a lane of our direction, at times on the sidewalk."""
    focal = rng.uniform(0.82, 1.2) * np.sqrt(2.0 * height * width) * 0.92
    lanes = [x for x, direction in street.lanes if direction > 0]
    x = float(rng.choice(lanes)) + rng.normal(0, 0.4)
    yaw = rng.normal(0, 0.05)
    if rng.random() < 0.12:
        x, yaw = sum(street.walks[1]) / 2, rng.normal(-0.1, 0.1)
    return Camera(
        width_px=width, height_px=height, focal_px=float(focal),
        position_m=(float(x), float(rng.uniform(1.15, 2.1)), 0.0),
        yaw_rad=float(yaw), pitch_rad=float(rng.normal(-0.015, 0.03)), roll_rad=float(rng.normal(0, 0.012)),
        bend_per_m=float(rng.normal(0, 0.0009)) if rng.random() < 0.6 else 0.0,
    )  # fmt: skip


def draw_scene(seed: int, *, height: int, width: int) -> tuple[World, Camera, Lens]:
    """The world, camera and lens of one seed."""
    light, falling = draw_light(stream(seed, LIGHT_TAG))
    rng = stream(seed, STREET_TAG)
    crossings = [float(rng.uniform(11, 32))] if rng.random() < 0.55 else []
    street = draw_street(rng, 70.0, crossings_m=crossings)
    camera = draw_camera(stream(seed, CAMERA_TAG), street, width, height)
    items = [item for item in Scenery(stream(seed, SCENERY_TAG), street, light).build() if not _blocks(item, camera)]
    cast = Cast(stream(seed, CAST_TAG), is_night=light.is_night)
    items += Casting(cast, street, camera).fill()
    ground = lay_ground(stream(seed, GROUND_TAG), street, snow=light.snow)
    rng = stream(seed, HOOD_TAG)
    hood = paint(rng) if rng.random() < _HOOD_SHARE else None
    world = World(seed, light, ground, tuple(items), cast.class_of, hood)
    return world, camera, Lens.random(stream(seed, LENS_TAG), falling, is_night=light.is_night)


def _blocks(item: Item, camera: Camera) -> bool:
    """Whether a pole or tree stands right before the camera."""
    pose = item.path(0.0)
    return max(item.half_m) < 3.5 and np.hypot(pose.x - camera.position_m[0], pose.z) < 4.0 + max(item.half_m)


class Casting:
    """Places a random number of things where such things are, in view, without overlap."""

    _SHARES = (("bus", 0.3), ("truck", 0.32), ("train", 0.3), ("motorcycle", 0.4), ("bicycle", 0.45))

    def __init__(self, cast: Cast, street: Street, camera: Camera) -> None:
        self.cast, self.street, self.camera, self.rng = cast, street, camera, cast.rng
        self._taken: list[tuple[float, float, float, float]] = []
        self._items: list[Item] = []

    def fill(self) -> list[Item]:
        """The things as items."""
        rng = self.rng
        wanted = [name for name, share in self._SHARES if rng.random() < share]
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
        return self._items

    def _is_free(self, box: tuple[float, float, float, float], margin: float = 0.35) -> bool:
        x0, x1, z0, z1 = box
        return not any(
            x0 - margin < b1 and x1 + margin > b0 and z0 - margin < c1 and z1 + margin > c0
            for b0, b1, c0, c1 in self._taken
        )

    def _in_view(self, x: float, z: float, nearest: float) -> bool:
        point = self.camera.to_camera(np.array([x, 0.8, z]))
        if point[2] < nearest:
            return False
        column, row = self.camera.to_pixels(point)
        width, height = self.camera.width_px, self.camera.height_px
        return 0.02 * width < column < 0.98 * width and row < 1.1 * height

    def _add(self, item: Item) -> None:
        self._taken.append(item.footprint(0.0))
        self._items.append(item)

    def _spot(self, length: float, farthest: float) -> tuple[float, float, float]:
        """A random place and heading for a vehicle: in a lane, parked, or in the side street."""
        rng, street = self.rng, self.street
        draw = rng.random()
        z = 5.0 + (farthest - 5.0) * rng.random() ** 1.2 + length / 2
        if street.crossings and draw < 0.33:
            a, b = street.crossings[0]
            x, forth = rng.uniform(-9, 9), rng.random() < 0.5
            z = a + (b - a) * (0.27 if forth else 0.73)
            return x, z, (np.pi / 2 if forth else -np.pi / 2) + rng.normal(0, 0.06 if rng.random() < 0.6 else 0.4)
        if street.parking and draw < 0.62:
            x = float(rng.choice(street.parking))
            return x + rng.normal(0, 0.06), z, (0.0 if x > 0 else np.pi) + rng.normal(0, 0.02)
        x, direction = street.lanes[int(rng.integers(len(street.lanes)))]
        turning = rng.normal(0, 0.35) if rng.random() < 0.15 else rng.normal(0, 0.02)
        return x + rng.normal(0, 0.15), z, (0.0 if direction > 0 else np.pi) + turning

    def _vehicle(self, name: str) -> None:
        part, size = self.cast.vehicle(name)
        big = name != "car"
        for _ in range(14):
            x, z, yaw = self._spot(size[2], 24.0 if big else 34.0)
            if name == "train":
                side = abs(np.sin(yaw)) > 0.5
                if not side and self.street.rails_x is not None and self.rng.random() < 0.7:
                    x = self.street.rails_x
                yaw = round(yaw / (np.pi / 2)) * np.pi / 2
            probe = Item((), (), fixed(x, z, yaw), (size[0] / 2, size[2] / 2), size[1])
            box = probe.footprint(0.0)
            eye = self.camera.position_m[0]
            own_lane = box[0] - 0.8 < eye < box[1] + 0.8
            if box[2] < (9.0 if big else 6.0) * (1.0 if own_lane else 0.55):
                continue
            if self._is_free(box) and self._in_view(float(np.clip(x, box[0], box[1])), max(box[2], 3.0), 3.0):
                self._add(self.cast.place_vehicle(name, part, size, fixed(x, z, yaw)))
                return

    def _cycle(self, *, motor: bool) -> None:
        rng, street = self.rng, self.street
        ridden = rng.random() < 0.68
        for _ in range(14):
            z = rng.uniform(4.5, 17.0)
            if ridden or (motor and rng.random() < 0.4):
                x, direction = street.lanes[int(rng.integers(len(street.lanes)))]
                x += direction * rng.uniform(0.2, 0.45) * street.lane_m
                yaw = (0.0 if direction > 0 else np.pi) + rng.normal(0, 0.12)
                y = 0.0
                if street.crossings and rng.random() < 0.35:
                    a, b = street.crossings[0]
                    x, z, yaw, y = (
                        rng.uniform(-7, 7),
                        rng.uniform(a, b),
                        rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.15),
                        KERB_M,
                    )
            else:
                walk = street.walks[int(rng.integers(2))]
                x, yaw, y = rng.uniform(*walk), rng.uniform(-np.pi, np.pi), KERB_M
            if self._is_free((x - 0.6, x + 0.6, z - 0.8, z + 0.8), 0.1) and self._in_view(x, z, 4.0):
                self._add(self.cast.place_cycle(motor=motor, ridden=ridden, path=fixed(x, z, yaw, y)))
                return

    def _person(self) -> None:
        rng, street = self.rng, self.street
        for _ in range(14):
            z, y = rng.uniform(4.5, 22.0), KERB_M
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
                self._add(self.cast.place_person(fixed(x, z, yaw, y), walking=rng.random() < 0.7))
                return
