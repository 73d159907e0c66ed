# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The message types that bags of this package hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

# Without comments: msg/*.msg, which are not part of an installation by pip, and those of vision_msgs 4.1.1 and
# foxglove_msgs 3.4.3, without which the lists could not be written where these packages are not installed.
DEFINITIONS = {
    "opendr_panoptic_ros/msg/SegmentInfo": (
        "int32 id\nint32 class_id\nstring label\nbool is_thing\nfloat32 score\nuint32 area_px\nint32[4] box_xyxy_px\n"
    ),
    "opendr_panoptic_ros/msg/PanopticSegmentation": (
        "std_msgs/Header header\nsensor_msgs/Image segment_map\nSegmentInfo[] segments\n"
    ),
    "vision_msgs/msg/VisionClass": ("uint16 class_id\nstring class_name\n"),
    "vision_msgs/msg/LabelInfo": ("std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"),
    "vision_msgs/msg/Point2D": ("float64 x\nfloat64 y\n"),
    "vision_msgs/msg/Pose2D": ("vision_msgs/Point2D position\nfloat64 theta\n"),
    "vision_msgs/msg/BoundingBox2D": ("vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n"),
    "vision_msgs/msg/ObjectHypothesis": ("string class_id\nfloat64 score\n"),
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection2DArray": ("std_msgs/Header header\nDetection2D[] detections\n"),
    "vision_msgs/msg/BoundingBox3D": ("geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n"),
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection3DArray": ("std_msgs/Header header\nDetection3D[] detections\n"),
    "foxglove_msgs/msg/Color": ("float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n"),
    "foxglove_msgs/msg/Point2": ("float64 x\nfloat64 y\n"),
    "foxglove_msgs/msg/KeyValuePair": ("string key\nstring value\n"),
    "foxglove_msgs/msg/CircleAnnotation": (
        "builtin_interfaces/Time timestamp\n"
        "foxglove_msgs/Point2 position\n"
        "float64 diameter\n"
        "float64 thickness\n"
        "foxglove_msgs/Color fill_color\n"
        "foxglove_msgs/Color outline_color\n"
        "foxglove_msgs/KeyValuePair[] metadata\n"
    ),
    "foxglove_msgs/msg/PointsAnnotation": (
        "builtin_interfaces/Time timestamp\n"
        "uint8 UNKNOWN=0\n"
        "uint8 POINTS=1\n"
        "uint8 LINE_LOOP=2\n"
        "uint8 LINE_STRIP=3\n"
        "uint8 LINE_LIST=4\n"
        "uint8 type\n"
        "foxglove_msgs/Point2[] points\n"
        "foxglove_msgs/Color outline_color\n"
        "foxglove_msgs/Color[] outline_colors\n"
        "foxglove_msgs/Color fill_color\n"
        "float64 thickness\n"
        "foxglove_msgs/KeyValuePair[] metadata\n"
    ),
    "foxglove_msgs/msg/TextAnnotation": (
        "builtin_interfaces/Time timestamp\n"
        "foxglove_msgs/Point2 position\n"
        "string text\n"
        "float64 font_size\n"
        "foxglove_msgs/Color text_color\n"
        "foxglove_msgs/Color background_color\n"
        "foxglove_msgs/KeyValuePair[] metadata\n"
    ),
    "foxglove_msgs/msg/ImageAnnotations": (
        "builtin_interfaces/Time timestamp\n"
        "foxglove_msgs/CircleAnnotation[] circles\n"
        "foxglove_msgs/PointsAnnotation[] points\n"
        "foxglove_msgs/TextAnnotation[] texts\n"
        "foxglove_msgs/KeyValuePair[] metadata\n"
    ),
}


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 and of this package."""
    store = get_typestore(Stores.LATEST)
    for name, definition in DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    return store
