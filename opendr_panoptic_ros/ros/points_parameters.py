# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of the parameters of the points node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from opendr_panoptic_ros.ros.parameter_rows import OR_MORE, autostart, one_of, parameter


def _is_transform(value: Any) -> bool:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return False
    return numbers == [0] or (len(numbers) == 7 and all(map(math.isfinite, numbers)) and any(numbers[3:]))


@dataclass(frozen=True)
class PointsParameters:
    """Values of all parameters of the points node. The defaults are those of the node."""

    source: str = parameter(
        "depth",
        "Origin of the points: a depth image that is aligned with the segmented camera, or the cloud of a LiDAR.",
        **one_of("depth", "lidar"),
    )
    depth_is_rectified: bool = parameter(
        True,
        "Whether the depth images are rectified. If not, the distortion in depth/camera_info is undone for the points.",
        read_at="frame",
    )
    stamp_tolerance_s: float = parameter(
        0.02,
        "Largest difference between the stamps of the segmentation and of the depth image or cloud that belongs to it. "
        "0 requires equal stamps.",
        limits=OR_MORE,
    )
    sync_queue: int = parameter(
        30,
        "Number of depth images or clouds that wait for their segmentation. They must cover its latency: 30 images at "
        "30 Hz are one second.",
        limits=(1, 1000),
    )
    transform: tuple[float, ...] = parameter(
        (0.0,),
        "Pose of the LiDAR in the optical frame of the camera: x, y, z in metres and a quaternion x, y, z, w. A single "
        "0 takes it from tf2.",
        expected="seven numbers, or a single 0",
        accepts=_is_transform,
        loose=True,
    )
    occlusion_cell_px: int = parameter(
        4,
        "Size of the cells, in pixels of the camera's image, in which a point of the LiDAR hides those behind it. 0 "
        "labels hidden points too.",
        limits=(0, 1000),
        read_at="frame",
    )
    occlusion_tolerance: float = parameter(
        0.05,
        "Share of its distance by which a point of the LiDAR may lie behind the nearest one of its cell before it is "
        "hidden.",
        limits=OR_MORE,
        read_at="frame",
    )
    min_points: int = parameter(
        10,
        "Smallest number of points of a thing that has a box in panoptic/detections_3d and panoptic/markers.",
        limits=(1, 1_000_000),
        read_at="frame",
    )
    warn_input_stopped_s: float = parameter(
        5.0,
        "Diagnostics report a warning if an output has a subscriber and nothing has arrived on an input for this time. "
        "0 disables the warning.",
        limits=OR_MORE,
        read_at="frame",
    )
    autostart: bool = autostart()
