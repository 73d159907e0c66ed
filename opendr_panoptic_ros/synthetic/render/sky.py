# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The sky: a gradient with clouds and the sun."""

from __future__ import annotations

import cv2
import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.segment_ids import SKY_ID
from opendr_panoptic_ros.synthetic.render.textures import noise


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the canvas with sky.

    Args:
        canvas: The canvas to paint on.
        rng: Random number generator for the clouds.
    """
    light, camera = canvas.light, canvas.camera
    canvas.ids[:] = SKY_ID
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


def _mirrored(position: Float32Array) -> Float32Array:
    """Map positions into a tile of 256 pixels that is mirrored at its edges, so that it repeats without a seam."""
    return np.abs(np.mod(position, np.float32(510)) - np.float32(255))


def _clouds(rng: np.random.Generator) -> Float32Array:
    """Return `(256, 256)` noise at three scales."""
    return noise(rng, 256, 256, 48) * 0.6 + noise(rng, 256, 256, 20) * 0.35 + noise(rng, 256, 256, 8) * 0.15
