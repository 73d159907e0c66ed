# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PointsNode: the managed ROS 2 node that publishes labelled points and boxes in 3D."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from typing_extensions import override

from opendr_panoptic_ros.points import Match, StampMatcher
from opendr_panoptic_ros.ros import qos
from opendr_panoptic_ros.ros.camera import HAS_MATCHED_EVENTS, matched_callbacks
from opendr_panoptic_ros.ros.diagnostics import make_status, memory_mb, node_status
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.point_messages import POINTS, point_types
from opendr_panoptic_ros.ros.point_processing import PointProcessor
from opendr_panoptic_ros.ros.points_parameters import PointsParameters
from opendr_panoptic_ros.ros.settings import declare_parameters, refusal
from opendr_panoptic_ros.ros.stamps import stamp_ns
from opendr_panoptic_ros.ros.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.parameter import Parameter
    from rclpy.publisher import Publisher
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

_POLL_S = 0.1
_DIAGNOSTICS_S = 1.0
_CAMERA_INFO = {"depth": "depth/camera_info", "lidar": "camera_info"}
_POINTS: dict[str, tuple[str, type]] = {"depth": ("depth/image_rect", Image), "lidar": ("points", PointCloud2)}
"""Topic and type of the points by value of the parameter source."""


@dataclass
class PointCounts:
    """Numbers of messages since the node was configured.

    Attributes:
        segmentations: Segmentations that arrived.
        inputs: Depth images or clouds that arrived.
        published: Pairs of both whose points were published.
        unmatched: Segmentations without a depth image, or clouds without a segmentation.
        unusable: Messages and pairs that ended in an error.
        empty: Those of `published` without a single point.
    """

    segmentations: int = 0
    inputs: int = 0
    published: int = 0
    unmatched: int = 0
    unusable: int = 0
    empty: int = 0


class PointsNode(ManagedNode[PointsParameters]):
    """The node `panoptic_points`.

    It subscribes to its inputs only while an output has a subscriber. Everything runs in the executor's thread.

    Args:
        options: Keyword arguments of `rclpy.lifecycle.LifecycleNode`, such as `context` and `parameter_overrides`.

    Attributes:
        counts: What became of the messages.

    Raises:
        rclpy.exceptions.ParameterException: The value of a parameter is not legal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("panoptic_points", PointsParameters, **options)
        self.counts = PointCounts()
        self._is_processing = False
        self._problem = ""
        self._is_failing = False
        self._previous = PointCounts()
        self._outputs: dict[str, Publisher[Any]] = {}
        self._inputs_by_topic: dict[str, tuple[type, Callable[[Any], None]]] = {}
        self._subscriptions_by_topic: dict[str, Subscription[Any]] = {}
        self._arrived_s: dict[str, float] = {}
        self._matcher: StampMatcher[Any, Any] = StampMatcher(0, 1)
        self._processor: PointProcessor | None = None
        self._polling: Timer | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        declare_parameters(self, PointsParameters)
        self._types, unavailable = point_types()
        for topic, error in unavailable.items():
            self.get_logger().info(f"There is no panoptic/{topic}: {describe(error)}. Install it for this topic.")
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The steady clock also advances while simulated time stands still.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_S, self._publish_diagnostics, clock=self._steady_clock)

    @property
    def is_subscribed(self) -> bool:
        """Whether the inputs are received."""
        return bool(self._subscriptions_by_topic)

    @override
    def _configure(self, settings: PointsParameters) -> None:
        from opendr_panoptic_ros.msg import PanopticSegmentation  # missing where it is not built or not sourced

        transforms = Transforms(self, settings.transform) if settings.source == "lidar" else None
        self._processor = PointProcessor(transforms)
        self._matcher = StampMatcher(round(settings.stamp_tolerance_s * 1e9), settings.sync_queue)
        self.counts, self._previous, self._problem, self._is_failing = PointCounts(), PointCounts(), "", False
        topic, message_type = _POINTS[settings.source]
        self._inputs_by_topic = {
            "panoptic/segmentation": (PanopticSegmentation, self._on_segmentation),
            topic: (message_type, self._on_points),
            _CAMERA_INFO[settings.source]: (CameraInfo, self._processor.set_camera),
        }
        for output, output_type in self._types.items():
            self._outputs[output] = self.create_publisher(
                output_type,
                f"panoptic/{output}",
                qos.output_qos(),
                event_callbacks=matched_callbacks(self._on_matched),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    @override
    def _activate(self, settings: PointsParameters) -> None:
        self._is_processing = True
        self._update_subscriptions()
        if not HAS_MATCHED_EVENTS:
            self._polling = self.create_timer(_POLL_S, self._update_subscriptions, clock=self._steady_clock)

    @override
    def _inputs(self) -> str:
        return ", ".join(map(self.resolve_topic_name, self._inputs_by_topic))

    @override
    def _stop(self) -> None:
        self._is_processing = False
        if self._polling is not None:
            self.destroy_timer(self._polling)
            self._polling = None
        self._update_subscriptions()

    @override
    def _unwind(self) -> None:
        self._stop()
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs.clear()
        self._inputs_by_topic.clear()
        if self._processor is not None:
            self._processor.close()
            self._processor = None

    def _subscribed_outputs(self) -> set[str]:
        return {topic for topic, publisher in self._outputs.items() if publisher.get_subscription_count()}

    def _update_subscriptions(self) -> None:
        """Subscribe to the inputs if an output has a subscriber, else unsubscribe."""
        if self._is_processing and self._subscribed_outputs():
            for topic, (message_type, callback) in self._inputs_by_topic.items():
                if topic not in self._subscriptions_by_topic:
                    self._arrived_s[topic] = time.monotonic()
                    self._subscriptions_by_topic[topic] = self._create_input(topic, message_type, callback)
            return
        for subscription in self._subscriptions_by_topic.values():
            self.destroy_subscription(subscription)
        self._subscriptions_by_topic.clear()
        self._matcher.clear()

    def _create_input(self, topic: str, message_type: type, callback: Callable[[Any], None]) -> Subscription[Any]:
        def receive(message: Any) -> None:
            self._arrived_s[topic] = time.monotonic()
            try:
                callback(message)
            except Exception as error:  # noqa: BLE001 - the next message must be processed
                self._count_unusable(error)

        overriding = QoSOverridingOptions.with_default_policies()
        return self.create_subscription(
            message_type, topic, receive, qos.input_qos(), qos_overriding_options=overriding
        )

    def _on_matched(self, _: Any) -> None:
        self._update_subscriptions()

    def _on_segmentation(self, message: Any) -> None:
        self.counts.segmentations += 1
        self._add(message, is_reference=self._is_depth())

    def _on_points(self, message: Any) -> None:
        self.counts.inputs += 1
        self._add(message, is_reference=not self._is_depth())

    def _is_depth(self) -> bool:
        return _POINTS["depth"][0] in self._inputs_by_topic

    def _add(self, message: Any, *, is_reference: bool) -> None:
        """Publish the pairs that a message completes. The less frequent messages are those that need a partner."""
        time_ns = stamp_ns(message.header.stamp)
        if time_ns is None:
            raise ValueError(f"The stamp of a {type(message).__name__} is not a valid time: {message.header.stamp}.")
        add = self._matcher.add_reference if is_reference else self._matcher.add_candidate
        for match in add(time_ns, message):
            if match.candidate is None:
                self._count_unmatched(match)
            else:
                self._process(match)

    def _process(self, match: Match[Any, Any]) -> None:
        assert self._processor is not None  # noqa: S101 - there are subscriptions
        topics = self._subscribed_outputs()
        if not topics:
            return
        try:
            result = self._processor.process(match.reference, match.candidate, topics, self.settings())
            for topic, message in result.messages.items():
                self._outputs[topic].publish(message)
        except Exception as error:  # noqa: BLE001 - the next pair must be processed
            self._count_unusable(error)
            return
        self.counts.published += 1
        self._is_failing = False
        if result.is_empty:
            self.counts.empty += 1
            self._problem = "the depth image has no measurement" if self._is_depth() else "the cloud has no points"

    def _count_unmatched(self, match: Match[Any, Any]) -> None:
        self.counts.unmatched += 1
        partner = "depth image" if self._is_depth() else "segmentation"
        stamp = match.reference.header.stamp
        nearest = "none has arrived"
        if match.nearest_s is not None:
            nearest = f"the nearest is {match.nearest_s:.3f} s away; see stamp_tolerance_s and sync_queue"
        self._problem = f"no {partner} with the stamp {stamp.sec}.{stamp.nanosec:09d}: {nearest}"

    def _count_unusable(self, error: Exception) -> None:
        self.counts.unusable += 1
        self._problem, self._is_failing = describe(error), True
        self.report_error("points", f"A message cannot be used: {self._problem}")

    def _on_set_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        reason = refusal(changed, PointsParameters, present=self.settings() if self._outputs else None)
        return SetParametersResult(successful=not reason, reason=reason)

    def _publish_diagnostics(self) -> None:
        name = self.get_fully_qualified_name().lstrip("/")
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        values = {"callback_errors": self.callback_errors, **memory_mb(None)}
        array.status = [node_status(name, self.state, self.last_error, values)]
        if self._outputs:
            array.status.append(self._points_status(name))
        self._diagnostics.publish(array)

    def _points_status(self, name: str) -> DiagnosticStatus:
        """Return the status of the points.

        ERROR: a message could not be used since the previous status, or the last pair could not. WARN: an input has
        stopped, or no pair was found or all were empty since the previous status.
        """
        before, counts = self._previous, self.counts
        self._previous = PointCounts(**asdict(counts))
        warnings = self._stopped_inputs(self.settings().warn_input_stopped_s)
        published = counts.published - before.published
        if counts.unmatched > before.unmatched and not published:
            warnings.append(self._problem)
        if published and counts.empty - before.empty == published:
            warnings.append(self._problem)
        is_failing = self.is_subscribed and (self._is_failing or counts.unusable > before.unusable)
        idle = "idle: no output has a subscriber" if self._is_processing else "inactive"
        return make_status(
            f"{name}: {self.resolve_topic_name(f'panoptic/{POINTS}')}",
            name,
            "subscribed" if self.is_subscribed else idle,
            warnings,
            self._problem if is_failing else "",
            {**asdict(counts), "last_problem": self._problem},
        )

    def _stopped_inputs(self, limit_s: float) -> list[str]:
        if not limit_s:
            return []
        warnings = []
        for topic, subscription in self._subscriptions_by_topic.items():
            waiting_s = time.monotonic() - self._arrived_s[topic]
            if waiting_s > limit_s:
                cause = qos.mismatch(self, subscription) or (
                    "" if self.count_publishers(subscription.topic_name) else "the topic has no publisher"
                )
                text = f"input stopped: nothing on {subscription.topic_name} for {waiting_s:.0f} s"
                warnings.append(f"{text}; {cause}" if cause else text)
        return warnings
