# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""World: a street with its objects under a light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array, FloatArray, PixelArray
from opendr_panoptic_ros.synthetic.render.camera import Camera
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.ground import Ground
from opendr_panoptic_ros.synthetic.render.light import Light
from opendr_panoptic_ros.synthetic.render.objects import SceneObject, painting_order
from opendr_panoptic_ros.synthetic.render.palette import Rgb
from opendr_panoptic_ros.synthetic.render.rng import Purpose, rng_for
from opendr_panoptic_ros.synthetic.render.segment_ids import ROAD_ID, SIDEWALK_ID, VOID_ID
from opendr_panoptic_ros.synthetic.render.sky import paint_sky

_SIGHT_M = 170.0


@dataclass(frozen=True)
class World:
    """Everything in a scene but the camera.

    Attributes:
        seed: Seed of the scene.
        light: The light.
        ground: The ground.
        objects: All objects.
        class_of: Train id of each segment id; id 0 is void.
        hood: Colour of the hood of the camera's own car, which is void, or None when it is out of view.
    """

    seed: int
    light: Light
    ground: Ground
    objects: tuple[SceneObject, ...]
    class_of: dict[int, int]
    hood: Rgb | None = None

    def paint(self, camera: Camera, time_s: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the image, `(H, W, 3)` uint8 RGB, and the segment ids, `(H, W)` int32.

        Args:
            camera: The camera that sees the world.
            time_s: Time in seconds.
        """
        canvas = self._painted(camera, time_s, with_depth=False)
        return canvas.image, canvas.ids

    def paint_with_depth(
        self, camera: Camera, time_s: float = 0.0
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32], Float32Array]:
        """Return what `paint` returns, and the depth in metres, `(H, W)` float32, 0 for the sky and the hood.

        Args:
            camera: The camera that sees the world.
            time_s: Time in seconds.
        """
        canvas = self._painted(camera, time_s, with_depth=True)
        assert canvas.depth_m is not None  # noqa: S101 - it was asked for
        return canvas.image, canvas.ids, canvas.depth_m

    def _painted(self, camera: Camera, time_s: float, *, with_depth: bool) -> Canvas:
        canvas = Canvas(camera, self.light, with_depth=with_depth)
        paint_sky(canvas, rng_for(self.seed, Purpose.SKY))
        boxes = np.array([obj.footprint(time_s) for obj in self.objects])
        z = camera.position_m[2]
        seen = (boxes[:, 3] > z + 0.5) & (boxes[:, 2] < z + _SIGHT_M)
        objects = [obj for obj, is_seen in zip(self.objects, seen, strict=True) if is_seen]
        for obj in objects:
            obj.paint_shadow(canvas, time_s)
        self.ground.paint(canvas)
        in_view = _in_view(objects, boxes[seen], camera)
        for index in painting_order(boxes[seen], camera):
            if in_view[index]:
                objects[index].paint(canvas, time_s)
        if self.light.wetness > 0.1:
            is_wet = (canvas.ids == ROAD_ID) | (canvas.ids == SIDEWALK_ID)
            _reflect(canvas.image, is_wet, sum(camera.horizon_px) / 2, self.light.wetness)
        if self.hood is not None:
            _paint_hood(canvas, self.hood)
        return canvas


def _paint_hood(canvas: Canvas, color: Rgb) -> None:
    """Paint the hood of the camera's own car along the lower edge: void, as in Cityscapes."""
    height, width = canvas.ids.shape
    across = np.linspace(-0.15, 1.15, 24)
    for low, shade, segment_id in ((0.0, 0.75, VOID_ID), (0.035, 0.95, None)):
        top = 0.9 + low + 0.55 * (across - 0.5) ** 2
        outline = np.column_stack([np.append(across, [1.2, -0.2]) * width, np.append(top, [1.2, 1.2]) * height])
        light = np.asarray(canvas.light.ambient_rgb) + 0.5 * np.asarray(canvas.light.sun_rgb)
        canvas.fill_polygon(outline, np.minimum(np.asarray(color) * shade * light, 255).tolist(), segment_id)


def _in_view(objects: list[SceneObject], boxes: FloatArray, camera: Camera) -> NDArray[np.bool_]:
    """Return which objects may be in the image: ahead of the camera, and not entirely to the left or right of it."""
    reach = np.array([obj.reach_m for obj in objects])[:, None]
    x = (boxes[:, :2] + reach * (-1, 1))[:, [0, 1, 1, 0]]
    z = (boxes[:, 2:] + reach * (-1, 1))[:, [0, 0, 1, 1]]
    points = camera.to_camera(np.stack([x, np.ones_like(x), z], axis=-1))
    edge = points[..., 2] * (0.5 * camera.width_px / camera.focal_px)
    beside = (points[..., 0] > edge + 0.5).all(axis=1) | (points[..., 0] < -edge - 0.5).all(axis=1)
    return np.asarray(~beside & (points[..., 2] > 0).any(axis=1))


def _reflect(image: PixelArray, is_wet: NDArray[np.bool_], horizon_px: float, strength: float) -> None:
    """Mirror what stands above the horizon in wet ground, in place."""
    height = len(image)
    rows = np.clip(np.rint(2 * horizon_px - np.arange(height)), 0, height - 1).astype(np.intp)
    mirrored = cv2.blur(image[rows], (3, max(height // 20, 1)))
    mixed_picture = cv2.addWeighted(image, 1 - 0.35 * strength, mirrored, 0.35 * strength, 0)
    cv2.copyTo(mixed_picture, is_wet.astype(np.uint8), image)
