# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelled points and boxes in 3D, made of a panoptic segmentation and depth or LiDAR. Needs no ROS.

Coordinates are those of the camera's optical frame in metres: x to the right, y down, z forward.
"""

from opendr_panoptic_ros.points.boxes import Box3D, boxes_of_things
from opendr_panoptic_ros.points.camera import CameraModel
from opendr_panoptic_ros.points.clouds import CLOUD_DTYPE, depth_in_metres, label_points, labelled_cloud, packed_colors
from opendr_panoptic_ros.points.matching import Match, StampMatcher
from opendr_panoptic_ros.points.segments import SegmentMaps

__all__ = [
    "CLOUD_DTYPE",
    "Box3D",
    "CameraModel",
    "Match",
    "SegmentMaps",
    "StampMatcher",
    "boxes_of_things",
    "depth_in_metres",
    "label_points",
    "labelled_cloud",
    "packed_colors",
]
