# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Ground and sky: what is painted first. Street says what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from opendr_panoptic_ros.synthetic.render.camera import Maps, stream
from opendr_panoptic_ros.synthetic.render.canvas import Canvas, Pose
from opendr_panoptic_ros.synthetic.render.mesh import Mesh
from opendr_panoptic_ros.synthetic.render.palette import Rgb
from opendr_panoptic_ros.synthetic.render.textures import noise

ROAD, SIDEWALK, TERRAIN, SKY = 0, 1, 9, 10
KERB_M = 0.12
STUFF_IDS = tuple(range(1, 12))
"""Segment ids of the stuff classes: train id + 1. Things come after."""


@dataclass(frozen=True)
class Street:
    """The street's cross-section and its side streets, in metres; x is to the right, traffic keeps right.

    lanes: (x of the middle, direction +1 away or -1 towards). parking: x of the middle of each row of parked cars.
    kerbs: x of the left and right kerb. walks: x-ranges of the sidewalks. fronts: x where the plots begin.
    verges: x-ranges of grass between kerb and sidewalk. crossings: z-ranges of the side streets. rails_x: the lane
    with tram rails. rails_cross: the side street with tram rails. z_range: from where to where there are houses.
    green: whether the plots on the left and right are grass.
    """

    lane_m: float
    lanes: tuple[tuple[float, int], ...]
    parking: tuple[float, ...]
    kerbs: tuple[float, float]
    verges: tuple[tuple[float, float], ...]
    walks: tuple[tuple[float, float], tuple[float, float]]
    fronts: tuple[float, float]
    crossings: tuple[tuple[float, float], ...]
    rails_x: float | None
    rails_cross: int | None
    z_range: tuple[float, float]
    green: tuple[bool, bool]

    def is_clear(self, z: float, margin_m: float) -> bool:
        """Whether no side street is that near."""
        return not any(a - margin_m < z < b + margin_m for a, b in self.crossings)


@dataclass(frozen=True)
class Ground:
    """The painted ground: a mesh whose slots are train ids, and its colours by train id."""

    mesh: Mesh
    base: Rgb

    def paint(self, canvas: Canvas) -> None:
        """Paint ground and texture, then the shadows collected in `canvas.shadows`."""
        top = int(np.clip(min(canvas.camera.horizon_px) - 1, 0, canvas.camera.height_px))
        x, z, depth = canvas.camera.ground(slice(top, None))
        below = (depth < 399.0).view(np.uint8)
        cv2.copyTo(np.full_like(canvas.image[top:], self.base), below, canvas.image[top:])
        cv2.copyTo(np.full_like(canvas.ids[top:], STUFF_IDS[TERRAIN]), below, canvas.ids[top:])
        canvas.mesh(self.mesh, Pose(0, 0), STUFF_IDS, haze=False)
        _texture(canvas, x, z, depth, top)


@cache
def _grain() -> Maps:
    """`(256, 256)` of noise that repeats without a seam, shared by all scenes."""
    grain = np.tile(stream(0, 77).standard_normal((256, 256), np.float32), (3, 3))
    return np.ascontiguousarray(cv2.GaussianBlur(grain, (0, 0), 1.0)[256:512, 256:512] * 3.2)


def _texture(canvas: Canvas, x: Maps, z: Maps, depth: Maps, top: int) -> None:
    """Grain, stains and paving joints fixed to the ground, haze, wetness, and shadows."""
    ids, light = canvas.ids[top:], canvas.light

    def sample(per_m: float) -> Maps:
        return np.asarray(cv2.remap(_grain(), x * per_m, z * per_m, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))

    is_grass, is_walk = ids == STUFF_IDS[TERRAIN], ids == STUFF_IDS[SIDEWALK]
    near = 1 / depth
    factor = sample(22.0) * np.minimum(1.0, 9.0 * near) + 0.8 * sample(1.1) * np.minimum(1.0, 40.0 * near)
    factor *= np.where(is_grass, np.float32(0.125), np.float32(0.046))
    across, along = x * np.float32(1 / 0.6), z * np.float32(1 / 0.6)
    joints = (across - np.floor(across) < 0.08) | (along - np.floor(along) < 0.11)
    factor -= (is_walk & joints) * np.minimum(np.float32(0.2), np.float32(1.4) * near)
    factor += 1.0
    if light.wetness:
        factor *= 1.0 - np.float32(0.3 * light.wetness) * ~is_grass
    factor *= 1.0 - canvas.shadows[top:] * np.float32(1 / 255)
    clear = np.exp(depth * np.float32(-1 / light.haze_distance_m))
    veil = 1.0 - clear
    factor *= clear
    view = canvas.image[top:]
    for k in range(3):
        channel = cv2.multiply(view[..., k], factor, dtype=cv2.CV_32F)
        view[..., k] = np.clip(cv2.scaleAdd(veil, light.haze_rgb[k], channel), 0, 255)


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the picture with sky: a gradient, clouds and the sun."""
    light, camera = canvas.light, canvas.camera
    canvas.ids[:] = STUFF_IDS[SKY]
    canvas.image[:] = light.haze_rgb
    clouds, drift = _clouds(rng), rng.uniform(300, 900, 2)
    bottom = int(np.clip(max(camera.horizon_px) + 4, 0, camera.height_px))
    if bottom < 2:
        return
    across, up, forward = camera.rays(slice(0, bottom, 2), 2)
    length = np.sqrt(across * across + up * up + forward * forward)
    rise = np.maximum(up, 0.0) / length
    height = 38.0 / np.maximum(up, np.float32(0.03))
    u, v = _mirrored(across * height + np.float32(drift[0])), _mirrored(forward * height + np.float32(drift[1]))
    cover = np.asarray(cv2.remap(clouds, u, v, cv2.INTER_LINEAR))
    cover = 0.85 * np.clip(cover * 1.4 + (light.cloudiness * 2.4 - 1.3), 0, 1) * np.minimum(rise * 10, 1)
    blend = np.power(np.minimum(rise / 0.45, 1), 0.7)
    sun = np.zeros_like(rise)
    if not light.is_night and light.shadow > 0.1:
        x, y, z = light.to_sun
        cosine = (across * x + up * y + forward * z) / length
        sun = np.clip((cosine - 0.9) * 10, 0, 1) ** 3 * 0.6 + np.clip((cosine - 0.998) * 1000, 0, 1)
        sun = np.minimum(sun, 1)
    sky = np.empty((*rise.shape, 3), np.uint8)
    for k, sunlight in enumerate((255, 246, 222)):
        cloud = min(light.haze_rgb[k] * 0.4 + (36 if light.is_night else 150), 255) * (0.55 if light.is_night else 1)
        channel = light.haze_rgb[k] + (light.zenith_rgb[k] - light.haze_rgb[k]) * blend
        channel += (cloud - channel) * cover
        sky[..., k] = np.clip(channel + (sunlight - channel) * sun, 0, 255)
    canvas.image[:bottom] = cv2.resize(sky, (camera.width_px, bottom), interpolation=cv2.INTER_LINEAR)


def _mirrored(position: Maps) -> Maps:
    """Positions in a tile of 256 pixels that is mirrored at its edges instead of repeated: no seam."""
    return np.abs(np.mod(position, np.float32(510)) - np.float32(255))


def _clouds(rng: np.random.Generator) -> Maps:
    return noise(rng, 256, 256, 48) * 0.6 + noise(rng, 256, 256, 20) * 0.35 + noise(rng, 256, 256, 8) * 0.15
