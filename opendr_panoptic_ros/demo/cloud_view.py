# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A picture of a labelled cloud with the boxes of its things, seen from above and behind the camera."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.points import Box3D, boxes_of_things

_EYE_M = np.array([0.0, -7.0, -6.0])
_PITCH_RAD = 0.27
_NEAR_M, _FAR_M = 1.0, 70.0
_FOCAL = 0.9  # of the width
_EDGES = [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7)]
_BACKGROUND, _BOX = (24, 24, 27), (255, 210, 60)


def draw_cloud(cloud: NDArray[Any], *, width: int = 512, height: int = 256) -> NDArray[np.uint8]:
    """Draw a cloud.

    Args:
        cloud: Points of any shape, of `points.CLOUD_DTYPE`; those farther away than 70 m are left out.
        width: Width of the picture in px.
        height: Height of the picture in px.

    Returns:
        `(height, width, 3)` uint8 RGB.
    """
    picture = np.full((height, width, 3), _BACKGROUND, np.uint8)
    points = cloud.reshape(-1)
    points = points[np.isfinite(points["z"]) & (points["z"] < _FAR_M)]
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1)
    pixels, depth_m = _project(xyz, width, height)
    colors = np.stack([points["rgba"] >> shift & 0xFF for shift in (16, 8, 0)], axis=1).astype(np.uint8)
    # Near points are drawn last and larger, so that they cover those behind.
    order = np.argsort(-depth_m)
    order = order[depth_m[order] > _NEAR_M]
    for size_px, beyond_m in ((1, 0.0), (2, 20.0)):
        chosen = order if size_px == 1 else order[depth_m[order] < beyond_m]
        for dx in range(size_px):
            for dy in range(size_px):
                x, y = (pixels[chosen] + (dx, dy)).astype(np.intp).T
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                picture[y[inside], x[inside]] = colors[chosen[inside]]
    for box in boxes_of_things(cloud).values():
        _draw_box(picture, box)
    return picture


def _draw_box(picture: NDArray[np.uint8], box: Box3D) -> None:
    height, width = picture.shape[:2]
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners = np.asarray(box.center_m) + signs * np.maximum(box.size_m, 0.1)
    pixels, depth_m = _project(corners, width, height)
    if depth_m.min() < _NEAR_M or box.center_m[2] > _FAR_M:
        return
    for a, b in _EDGES:
        start, end = (tuple(np.rint(pixels[i]).astype(int).tolist()) for i in (a, b))
        cv2.line(picture, start, end, _BOX, 1, cv2.LINE_AA)


def _project(xyz: NDArray[Any], width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixel coordinates `(N, 2)` and distances `(N,)` in metres from the point of view of the picture."""
    c, s = np.cos(_PITCH_RAD), np.sin(_PITCH_RAD)
    x, y, z = (np.asarray(xyz, np.float64) - _EYE_M).T
    down, depth_m = c * y - s * z, s * y + c * z
    scale = _FOCAL * width / np.maximum(depth_m, 1e-3)
    return np.stack([x * scale + width / 2, down * scale + height / 2], axis=1), depth_m
