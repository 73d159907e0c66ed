# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Camera: the topics of one camera, that is its subscriptions and the publishers of its outputs."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32

from opendr_panoptic_ros.outputs import CAMERA_INFOS, LABEL_INFO
from opendr_panoptic_ros.ros import qos
from opendr_panoptic_ros.ros.camera_info import CameraInfoBuffer
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.mailbox import Mailbox, Timing

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

PROCESSING_TIME = "debug/processing_time_ms"
PIPELINE_LATENCY = "debug/pipeline_latency_ms"
DEBUG_TOPICS = (PROCESSING_TIME, PIPELINE_LATENCY)
TRANSPORTS: dict[str, tuple[type, str]] = {
    "raw": (Image, "sensor_msgs/msg/Image"),
    "compressed": (CompressedImage, "sensor_msgs/msg/CompressedImage"),
}
"""Message type of the camera's images, and its name, by value of the parameter image_transport."""

HAS_MATCHED_EVENTS = "matched" in inspect.signature(PublisherEventCallbacks.__init__).parameters
"""Whether rclpy reports subscribers that join or leave. That of Humble does not; `update_subscriptions` is polled."""


def matched_callbacks(callback: Callable[[Any], None]) -> PublisherEventCallbacks:
    """Return the event callbacks of a publisher whose subscribers are observed.

    Args:
        callback: Called when a subscriber joins or leaves, unless `HAS_MATCHED_EVENTS` is false.
    """
    options: dict[str, Any] = {"matched": callback} if HAS_MATCHED_EVENTS else {}
    return PublisherEventCallbacks(**options)


def topic_prefix(name: str) -> str:
    """Return the prefix of a camera's topics.

    Args:
        name: Name of the camera, which may be empty.

    Returns:
        `NAME/`, or an empty string for the camera without a name.
    """
    return f"{name}/" if name else ""


class Camera:
    """The topics of one camera. It subscribes to the camera only while an output has a subscriber.

    `subscribed_topics` is called by the worker's thread, `publish` and `publish_timing` by the publisher's, everything
    else by the executor's.

    Args:
        node: The node that owns the topics.
        name: Name of the camera, the prefix of its topics; may be empty.
        output_types: Message type by topic below `panoptic/`.
        frame_waits: Condition that is notified when a frame arrives; shared by all cameras.
        transport: A key of `TRANSPORTS`.

    Attributes:
        name: As given.
        topic: Resolved name of the image topic.
        type_name: Name of the message type of the image topic.
        is_compressed: Whether that is CompressedImage.
        mailbox: The newest frame, serialized, and the statistics of all frames.
        infos: The CameraInfo messages received last.
        is_active: Whether the node is active, that is between `start` and `stop`.
        subscription_error: Description of the error of the last attempt to subscribe, or an empty string.

    Raises:
        Exception: A publisher could not be created; those created before are destroyed.
    """

    def __init__(
        self,
        node: ManagedNode[Any],
        name: str,
        output_types: dict[str, type],
        frame_waits: threading.Condition,
        *,
        transport: str = "raw",
    ) -> None:
        self.name = name
        self.mailbox = Mailbox(frame_waits)
        self.infos = CameraInfoBuffer()
        self.is_active = False
        self.subscription_error = ""
        self._node = node
        self._image_type, self.type_name = TRANSPORTS[transport]
        self.is_compressed = self._image_type is CompressedImage
        self._image_topic = f"{topic_prefix(name)}image_raw"
        if transport != "raw":  # remapping image_raw does not remap the topics below it
            self._image_topic = f"{node.resolve_topic_name(self._image_topic)}/{transport}"
        self.topic = node.resolve_topic_name(self._image_topic)
        self._image_subscription: Subscription[Any] | None = None
        self._info_subscription: Subscription[CameraInfo] | None = None
        self._has_mismatch = False
        self._publishers: dict[str, Publisher[Any]] = {}
        self._label_publisher: Publisher[Any] | None = None
        try:
            for topic, message_type in {**output_types, **dict.fromkeys(DEBUG_TOPICS, Float32)}.items():
                self._publishers[topic] = self._create_publisher(message_type, topic)
        except Exception:
            self.destroy()
            raise

    @property
    def is_subscribed(self) -> bool:
        """Whether the camera's images are received."""
        return self._image_subscription is not None

    def subscribed_topics(self) -> list[str]:
        """Return the topics below `panoptic/` that have a subscriber, `label_info` aside."""
        return [topic for topic, publisher in self._publishers.items() if publisher.get_subscription_count()]

    def start(self) -> None:
        """Subscribe to the camera from now on whenever an output has a subscriber.

        Raises:
            Exception: A subscription could not be created.
        """
        self.is_active = True
        self._update_subscriptions()

    def stop(self) -> None:
        """Unsubscribe from the camera, and drop the waiting frame."""
        self.is_active = False
        self._update_subscriptions()
        self.mailbox.discard()
        self.infos.clear()

    def update_subscriptions(self) -> None:
        """Subscribe to the camera if an output has a subscriber, else unsubscribe.

        An error, such as that of wrong `qos_overrides`, is logged and described in `subscription_error`.
        """
        try:
            self._update_subscriptions()
        except Exception as error:  # noqa: BLE001 - rclpy raises several types for wrong overrides
            self.subscription_error = f"Cannot subscribe to the camera: {describe(error)}"
            self._node.get_logger().error(f"{self.topic}: {self.subscription_error}")
        else:
            self.subscription_error = ""

    def publish(self, messages: dict[str, Any]) -> None:
        """Publish the results of a frame.

        Args:
            messages: Message by topic below `panoptic/`.
        """
        for topic, message in messages.items():
            self._publishers[topic].publish(message)

    def publish_timing(self, timing: Timing) -> None:
        """Publish the durations of a frame on the debug topics.

        Args:
            timing: The durations; an unknown latency is not published.
        """
        self._publishers[PROCESSING_TIME].publish(Float32(data=timing.processing_time_ms))
        if timing.pipeline_latency_ms is not None:
            self._publishers[PIPELINE_LATENCY].publish(Float32(data=timing.pipeline_latency_ms))

    def publish_label_info(self, message: Any) -> None:
        """Publish the class names, latched.

        Args:
            message: A `vision_msgs/LabelInfo`.
        """
        if self._label_publisher is None:
            topic = f"{topic_prefix(self.name)}panoptic/{LABEL_INFO}"
            self._label_publisher = self._node.create_publisher(type(message), topic, qos.latched_qos())
        self._label_publisher.publish(message)

    def qos_mismatch(self) -> str:
        """Describe the publishers of the image topic whose quality of service does not match, if there are any."""
        if self._image_subscription is None or not self._has_mismatch:
            return ""
        return qos.mismatch(self._node, self._image_subscription)

    def count_publishers(self) -> int:
        """Return the number of publishers of the image topic."""
        return self._node.count_publishers(self.topic)

    def destroy(self) -> None:
        """Destroy all subscriptions and publishers."""
        self.stop()
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()
        if self._label_publisher is not None:
            self._node.destroy_publisher(self._label_publisher)
            self._label_publisher = None

    def _update_subscriptions(self) -> None:
        topics = self.subscribed_topics() if self.is_active else []
        if topics and self._image_subscription is None:
            self._has_mismatch = False
            self.mailbox.open()
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch)
            self._image_subscription = self._create_subscription(
                self._image_type, self._image_topic, self._on_image, raw=True, event_callbacks=events
            )
        elif not topics and self._image_subscription is not None:
            self._node.destroy_subscription(self._image_subscription)
            self._image_subscription = None
        needs_info = not set(topics).isdisjoint(CAMERA_INFOS)
        if needs_info and self._info_subscription is None:
            topic = f"{topic_prefix(self.name)}camera_info"
            self._info_subscription = self._create_subscription(CameraInfo, topic, self.infos.add)
        elif not needs_info and self._info_subscription is not None:
            self._node.destroy_subscription(self._info_subscription)
            self._info_subscription = None
            self.infos.clear()  # a later subscriber must not receive outdated messages

    def _create_publisher(self, message_type: type, topic: str) -> Publisher[Any]:
        name = f"{topic_prefix(self.name)}panoptic/{topic}"
        if name.endswith("/compressed"):  # as with the image topic
            name = self._node.resolve_topic_name(name.removesuffix("/compressed")) + "/compressed"
        return self._node.create_publisher(
            message_type,
            name,
            qos.output_qos(),
            event_callbacks=matched_callbacks(self._on_matched),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _create_subscription(self, message_type: type, topic: str, callback: Any, **options: Any) -> Subscription[Any]:
        profile: QoSProfile = qos.input_qos()
        overriding = QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            message_type, topic, callback, profile, qos_overriding_options=overriding, **options
        )

    def _on_image(self, data: bytes) -> None:
        max_rate_hz: Any = self._node.get_parameter("max_rate_hz").value
        self.mailbox.put(data, max_rate_hz=max_rate_hz)

    def _on_matched(self, _: Any) -> None:
        self.update_subscriptions()

    def _on_mismatch(self, _: Any) -> None:
        self._has_mismatch = True
        self._node.get_logger().warning(f"No images from a publisher: {self.qos_mismatch() or self.topic}.")
