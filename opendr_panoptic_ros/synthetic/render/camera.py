# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A pinhole camera above a flat street that may bend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import Float32Array, FloatArray

NEAR_M = 0.4
"""Distance of the near plane: nothing nearer to the camera is drawn."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width_px: Width of the image.
        height_px: Height of the image.
        focal_px: Focal length in pixels; the principal point is the centre of the image.
        position_m: x, y and z in world axes.
        yaw_rad: Rotation about the y axis; positive looks to the right.
        pitch_rad: Rotation about the x axis; negative looks down.
        roll_rad: Rotation about the optical axis.
        bend_per_m: The street ahead is displaced by `bend · z²` to the right: a curve of radius 1 / (2 · bend).
    """

    width_px: int
    height_px: int
    focal_px: float
    position_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    bend_per_m: float = 0.0

    @cached_property
    def rotation(self) -> FloatArray:
        """The rotation from world to camera axes (x right, y up, z forward), `(3, 3)`."""
        (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (self.yaw_rad, self.pitch_rad, self.roll_rad))
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        return roll @ pitch @ yaw

    def to_camera(self, points_m: FloatArray) -> FloatArray:
        """Transform points to camera axes.

        Args:
            points_m: `(..., 3)` points in world axes, metres.

        Returns:
            `(..., 3)` points in camera axes, metres; the third coordinate is the depth.
        """
        relative = points_m - np.asarray(self.position_m)
        if self.bend_per_m:
            relative[..., 0] += self.bend_per_m * np.maximum(relative[..., 2], 0.0) ** 2
        return relative @ self.rotation.T

    def to_pixels(self, points: FloatArray) -> FloatArray:
        """Project points that lie beyond the near plane.

        Args:
            points: `(..., 3)` points in camera axes, metres.

        Returns:
            `(..., 2)` x and y in pixels; the centre of the first pixel is (0.5, 0.5).
        """
        scale = self.focal_px / np.maximum(points[..., 2:], NEAR_M)
        return points[..., :2] * scale * (1.0, -1.0) + (0.5 * self.width_px, 0.5 * self.height_px)

    def rays(self, rows: slice, step: int = 1) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return the viewing directions of pixels, scaled to depth 1.

        Args:
            rows: The rows of the image.
            step: Every step-th column only.

        Returns:
            x, y and z of the directions in world axes, `(rows, columns)` each.
        """
        x = (np.arange(0, self.width_px, step, dtype=np.float32) + 0.5 - 0.5 * self.width_px) / self.focal_px
        y = (0.5 * self.height_px - 0.5 - np.arange(self.height_px, dtype=np.float32)[rows]) / self.focal_px
        right, up, forward = self.rotation.astype(np.float32)
        first, second, third = (x * right[k] + (y * up[k] + forward[k])[:, None] for k in range(3))
        return first, second, third

    @property
    def horizon_px(self) -> tuple[float, float]:
        """The rows of the horizon at the left and the right edge of the image, measured from the top."""
        _, up, forward = self.rotation[:, 1]
        side = 0.5 * self.width_px * self.rotation[0, 1] / up
        middle = 0.5 * self.height_px + self.focal_px * forward / up
        return middle - side, middle + side

    def ground(self, rows: slice, far_m: float = 400.0) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return the point of the ground that each pixel shows.

        Args:
            rows: The rows of the image.
            far_m: Depth assigned to pixels at and above the horizon.

        Returns:
            x, z and depth in metres, `(rows, width)` each.
        """
        across, up, forward = self.rays(rows)
        depth = np.minimum(np.float32(self.position_m[1]) / np.maximum(-up, np.float32(1e-6)), np.float32(far_m))
        ahead = depth * forward
        x = depth * across + np.float32(self.position_m[0])
        if self.bend_per_m:
            x -= np.float32(self.bend_per_m) * np.square(np.maximum(ahead, 0.0))
        return x, ahead + np.float32(self.position_m[2]), depth
