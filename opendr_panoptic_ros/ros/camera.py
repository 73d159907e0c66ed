# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""CameraStream: one camera's subscriptions, newest frame, outputs and counts."""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32

from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.outputs import CAMERA_INFO
from opendr_panoptic_ros.ros import qos
from opendr_panoptic_ros.ros.messages import decode_image
from opendr_panoptic_ros.ros.rate import RateLimit
from opendr_panoptic_ros.tracking import InstanceTracker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from opendr_panoptic_ros.postprocess import EgoMask

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

PROCESSING_TIME = "debug/processing_time_ms"
PIPELINE_LATENCY = "debug/pipeline_latency_ms"
DEBUG_TOPICS = (PROCESSING_TIME, PIPELINE_LATENCY)
TRANSPORTS: dict[str, tuple[type, Any]] = {
    "raw": (Image, decode_image),
    "compressed": (CompressedImage, decode_compressed),
}
"""Value of the parameter image_transport to message type and what makes an RGB array of the message."""

HAS_MATCHED_EVENTS = "matched" in inspect.signature(PublisherEventCallbacks.__init__).parameters
"""Whether rclpy tells when a subscriber comes or goes. Humble's does not: call `update_subscriptions` now and then."""


def topic_prefix(name: str) -> str:
    """What the topics of the camera of this name begin with: `front/`, or nothing for the camera without a name."""
    return f"{name}/" if name else ""


@dataclass(frozen=True)
class FrameCounts:
    """What became of the frames since the node was configured. Once idle, received = answered + dropped + failed.

    received: came in while somebody listened to an output (otherwise the node is not subscribed to the camera).
    answered: published. dropped: a newer frame came, the rate was over its limit, or the listeners left, before their
    turn. failed: ended in an error.
    """

    received: int = 0
    answered: int = 0
    dropped: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.received} received, {self.answered} answered, {self.dropped} dropped, {self.failed} failed"


@dataclass(frozen=True)
class Timing:
    """How long one answered frame took until it was published: since its turn came, and since its stamp."""

    processing_time_ms: float
    pipeline_latency_ms: float


class CameraStream:
    """One camera.

    The executor's thread stores frames, the worker's thread takes and answers them; `lock` guards what both touch.
    While nobody listens to an output, there is no subscription to the camera.

    name: prefix of the topics, or empty. output_types: topic below `panoptic/` to message type. lock: notified when a
    frame waits. transport: a key of TRANSPORTS. is_active: between `start` and `stop`. track_ids: whether instances
    keep their ids as long as somebody listens; to be set before `start`.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        output_types: dict[str, type],
        lock: threading.Condition,
        *,
        transport: str = "raw",
        ego_mask: EgoMask | None = None,
    ) -> None:
        self.name = name
        self.ego_mask = ego_mask
        self.track_ids = False
        self.tracker: InstanceTracker | None = None
        self.last_error = self.last_failure = self.subscription_error = ""
        self.timings: deque[Timing] = deque(maxlen=200)
        self.image_size: tuple[int, int] | None = None
        self.over_rate = 0
        self.waiting_since_s = 0.0
        self._node = node
        self._lock = lock
        self._image_type, self._decode = TRANSPORTS[transport]
        prefix = topic_prefix(name)
        self._image_name = f"{prefix}image_raw"
        if transport != "raw":  # remapping image_raw does not remap what is below it
            self._image_name = f"{node.resolve_topic_name(self._image_name)}/{transport}"
        self.topic = node.resolve_topic_name(self._image_name)
        self._info_name = f"{prefix}camera_info"
        self._waiting: Any = None
        self._infos: deque[CameraInfo] = deque(maxlen=100)
        self._rate_limit = RateLimit()
        self._received = self._answered = self._dropped = self._failed = 0
        self._images: Subscription[Any] | None = None
        self._camera_infos: Subscription[CameraInfo] | None = None
        self._has_mismatch = False
        self.is_active = False
        self._publishers: dict[str, Publisher[Any]] = {}
        try:
            for topic, message_type in {**output_types, **dict.fromkeys(DEBUG_TOPICS, Float32)}.items():
                self._publishers[topic] = self._publisher(message_type, f"{prefix}panoptic", topic)
        except Exception:
            self.destroy()
            raise

    @property
    def counts(self) -> FrameCounts:
        """The present counts."""
        with self._lock:
            return FrameCounts(self._received, self._answered, self._dropped, self._failed)

    @property
    def is_subscribed(self) -> bool:
        """Whether the camera's images are received."""
        return self._images is not None

    @property
    def has_frame(self) -> bool:
        """Whether a frame waits."""
        return self._waiting is not None

    def wanted_outputs(self) -> list[str]:
        """The topics below `panoptic/` that have a subscriber."""
        return [topic for topic, publisher in self._publishers.items() if publisher.get_subscription_count()]

    def start(self) -> None:
        """Listen to the camera as long as somebody listens to an output."""
        self.is_active = True
        self._update_subscriptions()

    def stop(self) -> None:
        """Listen no more. The waiting frame is dropped."""
        self.is_active = False
        self._update_subscriptions()
        with self._lock:
            self._dropped += self.take() is not None
            self._infos.clear()

    def update_subscriptions(self) -> None:
        """Subscribe to the camera or leave it, as the listeners want. Called by the executor's thread.

        When this fails, as with wrong qos_overrides, `subscription_error` says why; an error here would end the node.
        """
        try:
            self._update_subscriptions()
        except Exception as error:  # noqa: BLE001 - as said
            self.subscription_error = f"Cannot subscribe to the camera: {type(error).__name__}: {error}"
            self._node.get_logger().error(f"{self.topic}: {self.subscription_error}")
        else:
            self.subscription_error = ""

    def _update_subscriptions(self) -> None:
        wanted = self.wanted_outputs() if self.is_active else []
        if wanted and self._images is None:
            self.waiting_since_s = time.monotonic()
            self._has_mismatch = False
            # Frames before and after a time without listeners are not consecutive.
            self.tracker = InstanceTracker() if self.track_ids else None
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch)
            self._images = self._subscribe(self._image_type, self._image_name, self.store, event_callbacks=events)
            self.last_error = ""  # it and the times tell of frames before
            self.timings.clear()
        elif not wanted and self._images is not None:
            self._node.destroy_subscription(self._images)
            self._images = None
        if CAMERA_INFO in wanted and self._camera_infos is None:
            self._camera_infos = self._subscribe(CameraInfo, self._info_name, self._store_info)
        elif CAMERA_INFO not in wanted and self._camera_infos is not None:
            self._node.destroy_subscription(self._camera_infos)
            self._camera_infos = None
            with self._lock:
                self._infos.clear()  # whoever listens later shall not get what the camera was before

    def store(self, message: Any) -> None:
        """Keep this frame for the worker; one that still waited is dropped, as is one over the parameter's rate."""
        now_s = time.monotonic()
        max_rate_hz: Any = self._node.get_parameter("max_rate_hz").value
        with self._lock:
            self._received += 1
            self.waiting_since_s = now_s
            if not self._rate_limit.admits(now_s, max_rate_hz):
                self._dropped += 1
                self.over_rate += 1
                return
            self._dropped += self._waiting is not None
            self._waiting = message
            self._lock.notify()

    def take(self) -> Any:
        """The waiting frame's message, which waits no more; None if there is none. The caller holds the lock."""
        message, self._waiting = self._waiting, None
        return message

    def decode(self, message: Any) -> NDArray[np.uint8]:
        """The picture in a taken frame, `(H, W, 3)` uint8 RGB; `image_size` then is its height and width.

        Raises ImageEncodingError for what is no picture, or one of another size than the ego mask.
        """
        image_rgb: NDArray[np.uint8] = self._decode(message)
        if self.ego_mask is not None:
            self.ego_mask.check_size(image_rgb)
        self.image_size = (image_rgb.shape[0], image_rgb.shape[1])
        return image_rgb

    def camera_info(self, stamp: Any) -> CameraInfo | None:
        """What the camera said of itself with the frame of this stamp, or last before it; None before it did."""
        with self._lock:
            infos = list(self._infos)
        stamp_ns = Time.from_msg(stamp).nanoseconds
        earlier = [info for info in infos if Time.from_msg(info.header.stamp).nanoseconds <= stamp_ns]
        return max(earlier, key=lambda info: Time.from_msg(info.header.stamp).nanoseconds, default=None)

    def publish(self, messages: dict[str, Any]) -> None:
        """Publish the result of a taken frame, each message on its topic below `panoptic/`."""
        for topic, message in messages.items():
            self._publishers[topic].publish(message)

    def count_answered(self, timing: Timing) -> None:
        """Publish how long a taken frame took, and count it as answered."""
        self._publishers[PROCESSING_TIME].publish(Float32(data=timing.processing_time_ms))
        self._publishers[PIPELINE_LATENCY].publish(Float32(data=timing.pipeline_latency_ms))
        with self._lock:
            self._answered += 1
            self.timings.append(timing)
            self.last_error = ""

    def count_dropped(self) -> None:
        """Count a taken frame as dropped: nobody listens any more."""
        with self._lock:
            self._dropped += 1

    def count_failed(self, error: Exception) -> None:
        """Count a taken frame as failed; `last_failure` tells why, and `last_error` until the next one is answered."""
        with self._lock:
            self._failed += 1
            self.last_error = self.last_failure = f"{type(error).__name__}: {error}"

    def qos_mismatch(self) -> str:
        """In words, which publishers of the camera's topic cannot be heard for their quality of service, or nothing."""
        if self._images is None or not self._has_mismatch:
            return ""
        return qos.mismatch(self._node, self._images)

    def count_publishers(self) -> int:
        """How many publish the camera's topic."""
        return self._node.count_publishers(self.topic)

    def destroy(self) -> None:
        """Take back every topic."""
        self.stop()
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def _publisher(self, message_type: type, parent: str, topic: str) -> Publisher[Any]:
        events: dict[str, Any] = {}
        if HAS_MATCHED_EVENTS:
            events = {"matched": lambda _: self.update_subscriptions()}
        topic_name = f"{parent}/{topic}"
        if topic_name.endswith("/compressed"):  # as with the camera's name
            topic_name = self._node.resolve_topic_name(topic_name.removesuffix("/compressed")) + "/compressed"
        return self._node.create_publisher(
            message_type,
            topic_name,
            qos.output_qos(),
            event_callbacks=PublisherEventCallbacks(**events),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _subscribe(self, message_type: type, topic: str, callback: Any, **options: Any) -> Subscription[Any]:
        overriding = QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            message_type, topic, callback, qos.input_qos(), qos_overriding_options=overriding, **options
        )

    def _store_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._infos.append(message)

    def _on_mismatch(self, _: Any) -> None:
        self._has_mismatch = True
        self._node.get_logger().warning(f"No images from a publisher: {self.qos_mismatch() or self.topic}.")
