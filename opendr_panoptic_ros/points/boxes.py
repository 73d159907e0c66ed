# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Boxes in 3D around the things of a labelled cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MIN_POINTS = 10
_SPREADS = 3.0
_PERCENT = 2.0


@dataclass(frozen=True)
class Box3D:
    """The visible part of a thing, as a box whose sides are parallel to the axes of the cloud's frame.

    Attributes:
        instance: Id of the thing.
        center_m: x, y, z of its centre in metres.
        size_m: Its extent in x, y, z in metres.
        num_points: Number of points inside it that belong to the thing.
    """

    instance: int
    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    num_points: int


def boxes_of_things(cloud: NDArray[Any], *, min_points: int = _MIN_POINTS) -> dict[int, Box3D]:
    """Return the box of each thing of a cloud.

    Points at the edge of a mask often belong to what is behind the thing. Points whose distance differs from the median
    distance by more than three times the median absolute deviation are therefore left out, and the box holds the
    central 96 % of the others along each axis.

    Args:
        cloud: Points of any shape with the fields x, y, z and instance, as `labelled_cloud` returns them. Points that
            are NaN or infinite, or have the instance 0, are ignored.
        min_points: Things with fewer points get no box.

    Returns:
        The boxes by instance id, ascending.
    """
    flat = cloud.reshape(-1)
    flat = flat[(flat["instance"] > 0) & np.isfinite(flat["z"])]
    flat = flat[np.isfinite(flat["x"]) & np.isfinite(flat["y"])]  # infinite for tiny focal lengths
    if not len(flat):
        return {}
    order = np.argsort(flat["instance"], kind="stable")
    ids, starts = np.unique(flat["instance"][order], return_index=True)
    xyz = np.stack([flat[axis][order] for axis in "xyz"], axis=1)
    boxes = {}
    for instance, points in zip(ids.tolist(), np.split(xyz, starts[1:]), strict=True):
        box = _box(instance, points, min_points)
        if box is not None:
            boxes[instance] = box
    return boxes


def _box(instance: int, points: NDArray[np.float32], min_points: int) -> Box3D | None:
    if len(points) < min_points:
        return None
    distances = np.linalg.norm(points, axis=1)
    median = np.median(distances)
    # Depth images are quantized: without a floor, a flat thing would lose all points but those of one step.
    spread = max(float(np.median(np.abs(distances - median))), 0.01 * float(median))
    kept = points[np.abs(distances - median) <= _SPREADS * spread]
    if len(kept) < min_points:
        return None
    low, high = np.percentile(kept, (_PERCENT, 100 - _PERCENT), axis=0)
    center, size = (low + high) / 2, high - low
    return Box3D(instance, tuple(map(float, center)), tuple(map(float, size)), len(kept))  # type: ignore[arg-type]
