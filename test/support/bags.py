# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags for tests: writing every kind, reading them back, and pictures to fill them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

ORIGIN_NS = 1_700_000_000_123_456_789  # record time of a bag's first message
STEP_NS = 100_000_000  # between two frames of `drive`
STAMP_NS = 50_000_000  # a frame's stamp is so much earlier than its record time

Sent = tuple[str, int, Any]
"""Topic, record time after ORIGIN_NS, content: pixels `(H, W, 3)`, or bytes for a CompressedImage, or a string."""


def message_of(typestore: Any, content: Any, time_ns: int, *, ros1: bool, seq: int) -> tuple[Any, str]:
    types = typestore.types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(ORIGIN_NS + time_ns - STAMP_NS, 10**9))
    header = types["std_msgs/msg/Header"](**({"seq": seq} if ros1 else {}), stamp=stamp, frame_id="optical")
    if isinstance(content, str):
        return types["std_msgs/msg/String"](content), "std_msgs/msg/String"
    if isinstance(content, bytes):
        data = np.frombuffer(content, np.uint8)
        return types["sensor_msgs/msg/CompressedImage"](header, "rgb8; png compressed bgr8", data), (
            "sensor_msgs/msg/CompressedImage"
        )
    height, width = content.shape[:2]
    image = types["sensor_msgs/msg/Image"](header, height, width, "rgb8", 0, width * 3, content.reshape(-1))
    return image, "sensor_msgs/msg/Image"


def write_bag(path: Path, kind: str, sent: Sequence[Sent]) -> Path:
    """A bag with these messages. kind: ros1, sqlite3 or mcap."""
    ros1 = kind == "ros1"
    typestore = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.LATEST)
    writer: Any
    if ros1:
        path = path.with_suffix(".bag")
        writer = Ros1Writer(path)
    else:
        writer = Ros2Writer(path, version=9, storage_plugin=StoragePlugin[kind.upper()])
    connections: dict[str, Any] = {}
    with writer:
        for seq, (topic, time_ns, content) in enumerate(sent):
            message, type_name = message_of(typestore, content, time_ns, ros1=ros1, seq=seq)
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=typestore)
            serialize = typestore.serialize_ros1 if ros1 else typestore.serialize_cdr
            writer.write(connections[topic], ORIGIN_NS + time_ns, serialize(message, type_name))
    return path


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def read_bag(path: Path) -> dict[str, dict[int, Any]]:
    """Messages by topic and record time, read with the types that the bag itself defines."""
    from rosbags.highlevel import AnyReader

    messages: dict[str, dict[int, Any]] = {}
    with AnyReader([path]) as reader:
        for connection, time_ns, data in reader.messages():
            of_topic = messages.setdefault(connection.topic, {})
            assert time_ns not in of_topic
            of_topic[time_ns] = reader.deserialize(data, connection.msgtype)
    return messages


def pixels(message: Any) -> np.ndarray:
    dtype = {"mono8": np.uint8, "mono16": np.uint16, "32SC1": np.int32, "rgb8": np.uint8}[message.encoding]
    shape = (message.height, message.width) + ((3,) if message.encoding == "rgb8" else ())
    return np.frombuffer(message.data, dtype).reshape(shape)


def pictures(count, height=48, width=64):
    rng = np.random.default_rng(count + height)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def drive(count, topic="/cam/image_raw", **size):
    return [(topic, i * STEP_NS, picture) for i, picture in enumerate(pictures(count, **size))]


def frames_in(messages, topic="/cam/image_raw"):
    """The record times of a topic, in steps."""
    return [round((time_ns - ORIGIN_NS) / STEP_NS) for time_ns in sorted(messages.get(topic, ()))]
