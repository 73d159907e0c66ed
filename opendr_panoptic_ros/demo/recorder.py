# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's recorder: subscribes to the camera and to the panoptic node, writes a bag, and counts."""

from __future__ import annotations

import dataclasses
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from sensor_msgs.msg import CameraInfo, Image

from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE, TYPE_NAMES
from opendr_panoptic_ros.bags.types import IMAGE
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.demo.lists import serialized_lists
from opendr_panoptic_ros.msg import PanopticSegmentation
from opendr_panoptic_ros.outputs import LISTS, SEGMENTATION
from opendr_panoptic_ros.ros.mailbox import FrameCounts
from opendr_panoptic_ros.ros.point_messages import DETECTIONS_3D, MARKERS, POINTS, point_types

if TYPE_CHECKING:
    from rclpy.duration import Duration
    from rclpy.node import Node
    from rclpy.subscription import Subscription

_DIAGNOSTICS = "/diagnostics"
_DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"
_CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_POINT_TYPES = {
    POINTS: "sensor_msgs/msg/PointCloud2",
    DETECTIONS_3D: "vision_msgs/msg/Detection3DArray",
    MARKERS: "visualization_msgs/msg/MarkerArray",
}
_TYPES: dict[str, Any] = {
    _CAMERA_INFO_TYPE: CameraInfo,
    **{_POINT_TYPES[topic]: message_type for topic, message_type in point_types()[0].items()},
    IMAGE: Image,
    SEGMENTATION_TYPE: PanopticSegmentation,
    _DIAGNOSTICS_TYPE: DiagnosticArray,
}
_STAMP = struct.Struct(
    "<4xiI"
)  # the header of CDR, then the stamp of std_msgs/Header, the first field of all types but markers


class Recorder:
    """Records a camera, the outputs of a panoptic node and its diagnostics. The bag is complete after `close`.

    The lists of instances (`outputs.LISTS`) are made from the recorded segmentations: the node publishes them only
    where vision_msgs and foxglove_msgs are installed, which are not on PyPI.

    Args:
        node: The node whose subscriptions are used.
        bag: Path of the new bag.
        image_topic: Topic of the camera.
        outputs: Prefix of the topics of the outputs, such as /opendr/panoptic.
        depth: Prefix of the topics of a depth camera, such as /depth; then the outputs of the points node are recorded
            as well. Empty if there is none.

    Attributes:
        stamps_ns: Stamps of the recorded messages by topic, in the order of their arrival.
        result_times_ns: Time at which each segmentation message was published, by the clock of its publisher.
        diagnostics: Values of the latest diagnostics by name of the status; the panoptic node has one status of its
            own, and one for each camera.
        diagnostics_count: Number of diagnostics of the camera that were recorded.
    """

    def __init__(self, node: Node, bag: Path, *, image_topic: str, outputs: str, depth: str = "") -> None:
        self.stamps_ns: dict[str, list[int]] = {}
        self.result_times_ns: list[int] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.diagnostics_count = 0
        self._node = node
        self._image_topic = image_topic
        self._segmentation_topic = f"{outputs}/{SEGMENTATION}"
        self._outputs = {
            f"{outputs}/{topic}": type_name for topic, type_name in TYPE_NAMES.items() if type_name in _TYPES
        }
        self._lists = {topic: f"{outputs}/{topic}" for topic in LISTS}
        self._writer = BagWriter(bag)
        self._subscriptions = [self._record(topic, type_name) for topic, type_name in self._outputs.items()]
        self._points_topic = f"{outputs}/{POINTS}" if depth else ""
        if depth:
            for topic in point_types()[0]:
                self._subscriptions.append(self._record(f"{outputs}/{topic}", _POINT_TYPES[topic]))
            self._record(f"{depth}/image_rect", IMAGE)
            self._record(f"{depth}/camera_info", _CAMERA_INFO_TYPE)
        self._record(_DIAGNOSTICS, _DIAGNOSTICS_TYPE)

    def close(self) -> None:
        """Complete the bag. The subscriptions must not be served any more."""
        self._writer.close()

    @property
    def frames(self) -> int:
        """Number of camera frames that were recorded."""
        return len(self.stamps_ns.get(self._image_topic, ()))

    @property
    def results(self) -> int:
        """Number of frames of which every output was recorded."""
        return min(len(self.stamps_ns[topic]) for topic in self._outputs)

    @property
    def frame_stamps_ns(self) -> list[int]:
        """Stamps of the recorded camera frames."""
        return self.stamps_ns[self._image_topic]

    @property
    def result_stamps_ns(self) -> list[int]:
        """Stamps of the recorded segmentation messages, parallel to `result_times_ns`."""
        return self.stamps_ns[self._segmentation_topic]

    @property
    def complete_stamps_ns(self) -> list[int]:
        """Stamps of the frames of which the image and every output were recorded, ascending."""
        return sorted(set.intersection(*(set(self.stamps_ns[topic]) for topic in (self._image_topic, *self._outputs))))

    @property
    def clouds(self) -> int:
        """Number of labelled clouds that were recorded."""
        return len(self.stamps_ns.get(self._points_topic, ()))

    @property
    def cloud_stamps_ns(self) -> list[int]:
        """Stamps of the frames of which the image, every output and the labelled cloud were recorded, ascending."""
        return sorted(set(self.complete_stamps_ns).intersection(self.stamps_ns.get(self._points_topic, ())))

    @property
    def counts(self) -> FrameCounts:
        """The frame counts in the latest diagnostics of the camera."""
        status = next((v for name, v in self.diagnostics.items() if name.endswith(f": {self._image_topic}")), {})
        names = [field.name for field in dataclasses.fields(FrameCounts)]
        return FrameCounts(**{name: int(status.get(name, 0)) for name in names})

    @property
    def device(self) -> str:
        """The device of the network in the latest diagnostics of the node."""
        return next((values["device"] for values in self.diagnostics.values() if "device" in values), "unknown")

    def is_connected(self) -> bool:
        """Return whether every output of the node is published and connected to its subscription."""
        return all(self._node.count_publishers(topic) for topic in self._outputs) and all(
            # Humble's subscriptions have no count of publishers.
            getattr(subscription, "get_publisher_count", lambda: 1)()
            for subscription in self._subscriptions
        )

    def record_camera(self) -> None:
        """Subscribe to the camera, which waits for this subscriber before it publishes the first frame."""
        self._record(self._image_topic, IMAGE)

    def _record(self, topic: str, type_name: str) -> Subscription[Any]:
        stamps_ns = self.stamps_ns[topic] = []

        def write(data: bytes, info: Any) -> None:
            now_ns = time.time_ns()
            if not stamps_ns:  # by then the publishers are known, and their quality of service
                self._writer.add_topic(topic, type_name, self._offered_qos(topic))
            self._writer.write(now_ns, {topic: data})
            seconds, nanoseconds = _STAMP.unpack_from(data)
            stamps_ns.append(seconds * 10**9 + nanoseconds)
            if topic == self._segmentation_topic:
                # When it was published: on busy cores, this process may be seconds behind in recording.
                self.result_times_ns.append(info["source_timestamp"])
                self._write_lists(now_ns, data, is_first=len(stamps_ns) == 1)
            elif topic == _DIAGNOSTICS:
                self._read_diagnostics(data)

        return self._node.create_subscription(_TYPES[type_name], topic, write, QoSProfile(depth=50), raw=True)

    def _write_lists(self, time_ns: int, segmentation: bytes, *, is_first: bool) -> None:
        if is_first:
            for topic, recorded in self._lists.items():
                self._writer.add_topic(recorded, LISTS[topic].type_name, self._offered_qos(self._segmentation_topic))
        messages = serialized_lists(segmentation)
        self._writer.write(time_ns, {recorded: messages[topic] for topic, recorded in self._lists.items()})

    def _read_diagnostics(self, data: bytes) -> None:
        for status in deserialize_message(data, DiagnosticArray).status:
            self.diagnostics_count += status.name.endswith(f": {self._image_topic}")
            self.diagnostics[status.name] = {entry.key: entry.value for entry in status.values}

    def _offered_qos(self, topic: str) -> list[Qos]:
        return [bag_qos(endpoint.qos_profile) for endpoint in self._node.get_publishers_info_by_topic(topic)]


def bag_qos(profile: QoSProfile) -> Qos:
    """Convert a quality of service to the type that bags are written with.

    Args:
        profile: The profile as rclpy has it.

    Returns:
        The same profile as rosbags has it.
    """
    return Qos(
        history=QosHistory(profile.history.value),
        depth=profile.depth,
        reliability=QosReliability(profile.reliability.value),
        durability=QosDurability(profile.durability.value),
        deadline=_time(profile.deadline),
        lifespan=_time(profile.lifespan),
        liveliness=QosLiveliness(profile.liveliness.value),
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 10**9))
