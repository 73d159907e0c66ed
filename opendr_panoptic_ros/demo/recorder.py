# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's recorder: hears the camera and the node, writes what it hears to an MCAP bag, and counts."""

from __future__ import annotations

import dataclasses
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import Image

from opendr_panoptic_ros.msg import PanopticSegmentation
from opendr_panoptic_ros.ros.mailbox import FrameCounts

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription
    from rosbags.typesys.store import Typestore

_OUTPUTS: dict[str, Any] = {
    "semantic": Image,
    "instance": Image,
    "panoptic": Image,
    "semantic_color": Image,
    "instance_color": Image,
    "rgb_visualization": Image,
    "segmentation": PanopticSegmentation,
}
_TYPE_NAMES = {
    Image: "sensor_msgs/msg/Image",
    PanopticSegmentation: "opendr_panoptic_ros/msg/PanopticSegmentation",
    DiagnosticArray: "diagnostic_msgs/msg/DiagnosticArray",
}
_DIAGNOSTICS = "/diagnostics"
_STAMP = struct.Struct("<4xiI")  # CDR's own header, then std_msgs/Header's stamp, with which all these types begin


def message_typestore(message_folder: Path) -> Typestore:
    """The types of ROS 2, and those defined by the `.msg` files of a folder as types of this package."""
    typestore = get_typestore(Stores.LATEST)
    types = {}
    for file in sorted(message_folder.glob("*.msg")):
        types.update(get_types_from_msg(file.read_text("utf-8"), f"opendr_panoptic_ros/msg/{file.stem}"))
    typestore.register(types)
    return typestore


class Recorder:
    """Subscribes to a camera and to a panoptic node, and writes the bytes it receives to a bag.

    The bag can be read after `close`.

    image_topic: the camera's. outputs: what the node's topics begin with.
    stamps_ns: of the messages heard, by topic, in the order of their arrival. answer_times_ns: when each segmentation
    arrived. diagnostics: the values in the node's latest diagnostic message.
    """

    def __init__(self, node: Node, bag: Path, typestore: Typestore, *, image_topic: str, outputs: str) -> None:
        self.stamps_ns: dict[str, list[int]] = {}
        self.answer_times_ns: list[int] = []
        self.diagnostics: dict[str, str] = {}
        self._node = node
        self._image_topic = image_topic
        self._typestore = typestore
        self._writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._outputs = {f"{outputs}/{name}": message_type for name, message_type in _OUTPUTS.items()}
        self._subscriptions = [self._record(*output) for output in self._outputs.items()]
        self._record(_DIAGNOSTICS, DiagnosticArray)

    def close(self) -> None:
        """Complete the bag. The node must not be served any more."""
        self._writer.close()

    @property
    def frames(self) -> int:
        """How many frames of the camera were heard."""
        return len(self.stamps_ns.get(self._image_topic, ()))

    @property
    def answers(self) -> int:
        """How many frames were heard answered, with every output."""
        return min(len(self.stamps_ns[topic]) for topic in self._outputs)

    @property
    def complete_stamps_ns(self) -> list[int]:
        """Stamps of the frames of which the input and every output were heard, in the order of time."""
        return sorted(set.intersection(*(set(self.stamps_ns[topic]) for topic in (self._image_topic, *self._outputs))))

    @property
    def diagnoses(self) -> int:
        """How many diagnostic messages were heard."""
        return len(self.stamps_ns[_DIAGNOSTICS])

    @property
    def counts(self) -> FrameCounts:
        """What the node said last about its frames."""
        names = [field.name for field in dataclasses.fields(FrameCounts)]
        return FrameCounts(**{name: int(self.diagnostics.get(name, 0)) for name in names})

    def hears_node(self) -> bool:
        """Whether every output of the node is published and connected."""
        return all(self._node.count_publishers(topic) for topic in self._outputs) and all(
            # Humble's subscriptions cannot tell.
            getattr(subscription, "get_publisher_count", lambda: 1)()
            for subscription in self._subscriptions
        )

    def hear_camera(self) -> None:
        """Subscribe to the camera. It waits for this subscriber: call it when nothing can be missed any more."""
        self._record(self._image_topic, Image)

    def _record(self, topic: str, message_type: Any) -> Subscription[Any]:
        connection = self._writer.add_connection(topic, _TYPE_NAMES[message_type], typestore=self._typestore)
        stamps_ns = self.stamps_ns[topic] = []

        def keep(data: bytes) -> None:
            now_ns = time.time_ns()
            self._writer.write(connection, now_ns, data)
            seconds, nanoseconds = _STAMP.unpack_from(data)
            stamps_ns.append(seconds * 10**9 + nanoseconds)
            if message_type is PanopticSegmentation:
                self.answer_times_ns.append(now_ns)
            elif message_type is DiagnosticArray:
                self._read_diagnostics(data)

        return self._node.create_subscription(message_type, topic, keep, QoSProfile(depth=50), raw=True)

    def _read_diagnostics(self, data: bytes) -> None:
        statuses = deserialize_message(data, DiagnosticArray).status
        self.diagnostics = {entry.key: entry.value for status in statuses for entry in status.values}
