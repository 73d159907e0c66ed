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

# msg/*.msg without comments: they are not part of an installation by pip.
DEFINITIONS = {
    "opendr_panoptic_ros/msg/SegmentInfo": (
        "int32 id\nint32 class_id\nstring label\nbool is_thing\nfloat32 score\nuint32 area_px\nint32[4] box_xyxy_px\n"
    ),
    "opendr_panoptic_ros/msg/PanopticSegmentation": (
        "std_msgs/Header header\nsensor_msgs/Image segment_map\nSegmentInfo[] segments\n"
    ),
}


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 and of this package."""
    store = get_typestore(Stores.LATEST)
    for name, definition in DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    return store
