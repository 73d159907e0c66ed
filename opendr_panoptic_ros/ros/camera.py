"""CameraStream: one camera's subscription, newest frame, outputs and counts."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Float32

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

PROCESSING_TIME = "debug/processing_time_ms"
PIPELINE_LATENCY = "debug/pipeline_latency_ms"

HAS_MATCHED_EVENTS = "matched" in inspect.signature(PublisherEventCallbacks.__init__).parameters
"""Whether rclpy tells when a subscriber comes or goes. Humble's does not: call `update_subscription` now and then."""


@dataclass(frozen=True)
class FrameCounts:
    """What became of the frames since the node was configured. Once idle, received = answered + dropped + failed.

    received: came in while somebody listened to an output (otherwise the node is not subscribed to the camera).
    answered: published. dropped: a newer frame came, or the listeners left, before their turn. failed: ended in an
    error.
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
    frame waits.
    """

    def __init__(self, node: Node, name: str, output_types: dict[str, type], lock: threading.Condition) -> None:
        self.name = name
        self.last_error = ""
        self.timings: deque[Timing] = deque(maxlen=200)
        self._prefix = f"{name}/" if name else ""
        self.topic = node.resolve_topic_name(f"{self._prefix}image_raw")
        self._node = node
        self._lock = lock
        self._waiting: Image | None = None
        self._received = self._answered = self._dropped = self._failed = 0
        self._subscription: Subscription[Image] | None = None
        self._listening = False
        self._publishers: dict[str, Publisher[Any]] = {}
        events: dict[str, Any] = {}
        if HAS_MATCHED_EVENTS:
            events = {"matched": lambda _: self.update_subscription()}
        for topic, message_type in {**output_types, PROCESSING_TIME: Float32, PIPELINE_LATENCY: Float32}.items():
            self._publishers[topic] = node.create_publisher(
                message_type,
                f"{self._prefix}panoptic/{topic}",
                _qos(ReliabilityPolicy.RELIABLE),
                event_callbacks=PublisherEventCallbacks(**events),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    @property
    def counts(self) -> FrameCounts:
        """The present counts."""
        with self._lock:
            return FrameCounts(self._received, self._answered, self._dropped, self._failed)

    @property
    def is_subscribed(self) -> bool:
        """Whether the camera's images are received."""
        return self._subscription is not None

    @property
    def has_frame(self) -> bool:
        """Whether a frame waits."""
        return self._waiting is not None

    def wanted_outputs(self) -> list[str]:
        """The topics below `panoptic/` that have a subscriber."""
        return [topic for topic, publisher in self._publishers.items() if publisher.get_subscription_count()]

    def start(self) -> None:
        """Listen to the camera as long as somebody listens to an output."""
        self._listening = True
        self.update_subscription()

    def stop(self) -> None:
        """Listen no more. The waiting frame is dropped."""
        self._listening = False
        self.update_subscription()
        with self._lock:
            self._dropped += self.take() is not None

    def update_subscription(self) -> None:
        """Subscribe to the camera or leave it, as the listeners want. Called by the executor's thread."""
        wanted = self._listening and bool(self.wanted_outputs())
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(
                Image,
                f"{self._prefix}image_raw",
                self.store,
                _qos(ReliabilityPolicy.BEST_EFFORT),  # matches every camera, and never waits for old frames
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def store(self, message: Image) -> None:
        """Keep this frame for the worker; one that still waited is dropped."""
        with self._lock:
            self._received += 1
            self._dropped += self._waiting is not None
            self._waiting = message
            self._lock.notify()

    def take(self) -> Image | None:
        """The waiting frame, which waits no more; None if there is none. The caller holds the lock."""
        message, self._waiting = self._waiting, None
        return message

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
        """Count a taken frame as failed; `last_error` tells why until the next frame is answered."""
        with self._lock:
            self._failed += 1
            self.last_error = f"{type(error).__name__}: {error}"

    def destroy(self) -> None:
        """Take back every topic."""
        self.stop()
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()


def _qos(reliability: ReliabilityPolicy) -> QoSProfile:
    """The depth of the sensor-data profile. A profile of its own each time: overrides are written into it."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=reliability)
