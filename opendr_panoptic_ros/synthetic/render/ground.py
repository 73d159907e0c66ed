# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The ground: its mesh, texture and shadows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.mesh import Mesh
from opendr_panoptic_ros.synthetic.render.palette import Rgb
from opendr_panoptic_ros.synthetic.render.pose import Pose
from opendr_panoptic_ros.synthetic.render.rng import rng_for
from opendr_panoptic_ros.synthetic.render.segment_ids import ROAD_ID, SIDEWALK_ID, TERRAIN_ID

ROAD_SLOT, SIDEWALK_SLOT, TERRAIN_SLOT = range(3)
GROUND_IDS = (ROAD_ID, SIDEWALK_ID, TERRAIN_ID)
"""The segment id of each slot of the mesh."""


@dataclass(frozen=True)
class Ground:
    """The ground of a street.

    Attributes:
        mesh: Road, sidewalks, grass and markings; its slots are those of `GROUND_IDS`.
        base: Colour of the terrain around the mesh.
    """

    mesh: Mesh
    base: Rgb

    def paint(self, canvas: Canvas) -> None:
        """Paint the ground with its texture, then the shadows of `canvas.shadows`.

        Args:
            canvas: The canvas to paint on.
        """
        top = int(np.clip(min(canvas.camera.horizon_px) - 1, 0, canvas.camera.height_px))
        x, z, depth = canvas.camera.ground(slice(top, None))
        below = (depth < 399.0).view(np.uint8)
        cv2.copyTo(np.full_like(canvas.image[top:], self.base), below, canvas.image[top:])
        cv2.copyTo(np.full_like(canvas.ids[top:], TERRAIN_ID), below, canvas.ids[top:])
        if canvas.depth_m is not None:
            cv2.copyTo(depth, below, canvas.depth_m[top:])
        canvas.draw_mesh(self.mesh, Pose(0, 0), GROUND_IDS, haze=False)
        _texture(canvas, x, z, depth, top)


@cache
def _grain() -> Float32Array:
    """Return `(256, 256)` noise that repeats without a seam, shared by all scenes."""
    grain = np.tile(rng_for(0, 77).standard_normal((256, 256), np.float32), (3, 3))
    return np.ascontiguousarray(cv2.GaussianBlur(grain, (0, 0), 1.0)[256:512, 256:512] * 3.2)


def _texture(canvas: Canvas, x: Float32Array, z: Float32Array, depth: Float32Array, top: int) -> None:
    """Apply grain, stains and paving joints, which are fixed to the ground, then wetness, shadows and haze."""
    ids, light = canvas.ids[top:], canvas.light

    def sample(per_m: float) -> Float32Array:
        return np.asarray(cv2.remap(_grain(), x * per_m, z * per_m, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))

    is_grass, is_walk = ids == TERRAIN_ID, ids == SIDEWALK_ID
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
