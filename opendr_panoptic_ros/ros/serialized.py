# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading serialized messages of cameras without copies of their data.

The node receives serialized images and reads only those that it processes: rclpy copies the data of an image three
times, which frames that are dropped for a newer one do not need, and the executor's thread should not do.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from builtin_interfaces.msg import Time
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import Header

from opendr_panoptic_ros.errors import ImageEncodingError


@cache
def _typestore() -> Any:
    return get_typestore(Stores.ROS2_HUMBLE)  # images have had the same definition in every release


def read_message(data: bytes, type_name: str) -> Any:
    """Return a message of a camera.

    Args:
        data: The message in CDR, as a subscription with `raw=True` delivers it.
        type_name: Name of its type, such as `sensor_msgs/msg/Image`; one that every ROS 2 release has.

    Returns:
        A message of the rosbags library. Its arrays are read-only views into `data`.

    Raises:
        ImageEncodingError: The data are not such a message.
    """
    try:
        return _typestore().deserialize_cdr(data, type_name)
    except (SerdeError, UnicodeDecodeError) as error:
        raise ImageEncodingError(
            f"A message of {len(data)} bytes cannot be read as {type_name}: {error} Check the publisher of the topic."
        ) from error


def ros_header(header: Any) -> Header:
    """Return a header as rclpy publishes it.

    Args:
        header: Header of a message of the rosbags library.

    Returns:
        An equal header.
    """
    return Header(stamp=Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec), frame_id=header.frame_id)
