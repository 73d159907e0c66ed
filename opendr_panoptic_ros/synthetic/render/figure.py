# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Figures of round limbs and thin wheels, sorted by depth: people, cycles and tree trunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from opendr_panoptic_ros.synthetic.render.arrays import FloatArray
from opendr_panoptic_ros.synthetic.render.camera import NEAR_M
from opendr_panoptic_ros.synthetic.render.canvas import Canvas
from opendr_panoptic_ros.synthetic.render.pose import Pose

_ARC = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 6)
Point = Sequence[float]


@dataclass
class Figure:
    """Limbs (two spheres and the hull between them) and wheels, in local axes.

    Attributes:
        slot: Index of the segment id, among the ids of the object, of what is added next.
    """

    slot: int = 0
    _limbs: list[tuple[Point, Point, float, float, Sequence[float], int]] = field(default_factory=list)
    _wheels: list[tuple[Point, float, Point, Sequence[float], int]] = field(default_factory=list)

    def limb(self, a: Point, b: Point, radius: float, color: Sequence[float], end_radius: float | None = None) -> None:
        """Add a limb.

        Args:
            a: x, y and z of one end, metres.
            b: x, y and z of the other end, metres.
            radius: Radius at `a`, metres.
            color: RGB, 0 to 255.
            end_radius: Radius at `b`, metres; `radius` if None.
        """
        self._limbs.append((a, b, radius, radius if end_radius is None else end_radius, color, self.slot))

    def wheel(self, center: Point, radius: float, color: Sequence[float], steering_rad: float = 0.0) -> None:
        """Add a spoked wheel that rolls along z.

        The image shows what is behind its spokes; the id map gets the whole disc.

        Args:
            center: x, y and z, metres.
            radius: Radius, metres.
            color: RGB, 0 to 255.
            steering_rad: Angle by which the wheel is turned about the y axis.
        """
        self._wheels.append((center, radius, (np.sin(steering_rad), 0.0, np.cos(steering_rad)), color, self.slot))

    def paint(self, canvas: Canvas, pose: Pose, ids: Sequence[int]) -> None:
        """Paint limbs and wheels from far to near.

        Args:
            canvas: The canvas to paint on.
            pose: Where the figure stands.
            ids: Segment id of each slot.
        """
        camera = canvas.camera
        a, b = (np.array([limb[k] for limb in self._limbs], float) for k in (0, 1))
        radius = np.array([limb[2:4] for limb in self._limbs])
        colors = np.array([limb[4] for limb in self._limbs], float)
        a, b = (camera.to_camera(pose.to_world(points)) for points in (a, b))
        depth = 0.5 * (a[:, 2] + b[:, 2])
        if depth.min() < 2 * NEAR_M:
            return
        radius_px = camera.focal_px * radius / np.maximum(np.column_stack([a[:, 2], b[:, 2]]), NEAR_M)
        radius_px = np.maximum(radius_px, 0.35)
        a, b = camera.to_pixels(a), camera.to_pixels(b)
        body = canvas.shaded(colors, np.array([0.0, 0.2, -0.55]) + np.zeros_like(colors), depth)
        outlines = _capsules(a, b, radius_px)
        bright = np.minimum(body * 1.22 + 5, 255.0)
        side = np.sign(canvas.light.to_sun[0])
        offset = np.column_stack([np.full(len(a), 0.3 * side), np.full(len(a), -0.25)])
        inner = _capsules(a + offset * radius_px[:, :1], b + offset * radius_px[:, 1:], radius_px * 0.55)
        wheels = [_place_wheel(canvas, pose, *wheel[:4]) for wheel in self._wheels]
        order = [(d, 0, i) for i, d in enumerate(depth)] + [(wheel[0], 1, i) for i, wheel in enumerate(wheels)]
        for _, kind, i in sorted(order, reverse=True):
            if kind:
                _paint_wheel(canvas, *wheels[i], ids[self._wheels[i][4]])
                continue
            canvas.fill_polygon(outlines[i], body[i].tolist(), ids[self._limbs[i][5]], depth[i])
            if radius_px[i].max() > 1.5:
                canvas.fill_polygon(inner[i], bright[i].tolist(), None)


def _place_wheel(
    canvas: Canvas, pose: Pose, center: Point, radius: float, ahead: Point, color: Sequence[float]
) -> tuple[float, FloatArray, FloatArray, float]:
    """Return depth in metres, outline and colour in the image, and tyre width in pixels."""
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)[:, None]
    rim = np.asarray(center) + radius * (np.cos(angle) * np.asarray(ahead) + np.sin(angle) * np.array([0, 1.0, 0]))
    points = canvas.camera.to_camera(pose.to_world(rim))
    depth = float(points[:, 2].mean())
    shaded = canvas.shaded(np.array(color, float), np.array([0.0, 0.3, -0.5]), np.array(depth))
    return depth + 0.02, canvas.camera.to_pixels(points), shaded, canvas.camera.focal_px * 0.045 / depth


def _paint_wheel(
    canvas: Canvas, depth_m: float, rim: FloatArray, color: FloatArray, tyre_px: float, segment_id: int
) -> None:
    """Paint a wheel as a half-transparent disc with spokes and a tyre."""
    low = np.maximum(np.floor(rim.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(rim.max(axis=0)).astype(int) + 3
    view = canvas.image[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
    if view.size == 0:
        return
    behind = view.copy()
    canvas.fill_polygon(rim, np.minimum(color * 0.5 + 70, 255).tolist(), segment_id, depth_m)
    cv2.addWeighted(behind, 0.5, view.copy(), 0.5, 0, dst=behind)
    view[:] = behind
    fixed = np.rint((rim - 0.5) * 16).astype(np.int32)
    if np.ptp(rim[:, 1]) > 14:
        spokes = [fixed[[i, i + 9]] for i in range(9)]
        cv2.polylines(canvas.image, spokes, False, np.minimum(color + 80, 255).tolist(), 1, cv2.LINE_AA, 4)
    cv2.polylines(canvas.image, [fixed], True, color.tolist(), max(round(tyre_px), 1), cv2.LINE_AA, 4)
    cv2.polylines(canvas.ids, [fixed], True, segment_id, max(round(tyre_px), 1), cv2.LINE_8, 4)
    if canvas.depth_m is not None:
        cv2.polylines(canvas.depth_m, [fixed], True, depth_m, max(round(tyre_px), 1), cv2.LINE_8, 4)


def _capsules(a: FloatArray, b: FloatArray, radius_px: FloatArray) -> FloatArray:
    """Return outlines of the hulls of the discs around `a` and `b`, `(n, 12, 2)`."""
    along = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0])[:, None]
    start, end = along + np.pi + _ARC, along + _ARC
    near = a[:, None] + radius_px[:, :1, None] * np.stack([np.cos(start), np.sin(start)], axis=-1)
    far = b[:, None] + radius_px[:, 1:, None] * np.stack([np.cos(end), np.sin(end)], axis=-1)
    return np.concatenate([near, far], axis=1)
