# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""FrameProcessor: from the messages of cameras to published results. Runs in the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CompressedImage

from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.outputs import CAMERA_INFOS, need_confidence
from opendr_panoptic_ros.pipeline import Frame, FramePipeline, FrameResult
from opendr_panoptic_ros.ros.camera import DEBUG_TOPICS, Camera
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.mailbox import Delivery, Timing
from opendr_panoptic_ros.ros.messages import MessageContext, decode_image, make_message
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.stamps import stamp_ns


@dataclass(frozen=True)
class _PendingFrame:
    """A decoded frame, with what is needed to publish its results.

    Attributes:
        camera: The camera.
        header: Header of the camera's message.
        topics: The topics below `panoptic/` that have a subscriber.
        frame: The decoded frame.
    """

    camera: Camera
    header: Any
    topics: list[str]
    frame: Frame


class FrameProcessor:
    """Decodes frames, runs the pipeline, and publishes the results. A frame that fails is counted and logged.

    Args:
        node: The node, for its parameters, clock and log.
        pipeline: The pipeline.
    """

    def __init__(self, node: ManagedNode[NodeParameters], pipeline: FramePipeline) -> None:
        self._node = node
        self._pipeline = pipeline

    def process(self, deliveries: Sequence[tuple[Camera, Delivery]]) -> None:
        """Process frames of several cameras. Each is counted as answered, dropped or failed; errors are not raised.

        Args:
            deliveries: Frames taken from the mailboxes of their cameras.
        """
        start_ns = time.monotonic_ns()
        settings = self._node.settings()
        decoded = [self._decode(delivery, settings.max_image_pixels) for delivery in deliveries]
        pending = [frame for frame in decoded if frame is not None]
        results = self._pipeline.process(
            [entry.frame for entry in pending],
            thresholds=settings.thresholds(),
            keep_classes=settings.class_filter,
            with_confidence=any(need_confidence(entry.topics) for entry in pending),
        )
        self._report_failed_batch(results)
        for entry, result in zip(pending, results, strict=True):
            self._finish(entry, result, settings, start_ns)

    def _decode(self, delivery: tuple[Camera, Delivery], max_pixels: int) -> _PendingFrame | None:
        """Decode a frame. Return None if that fails, or if no output has a subscriber any more."""
        camera, (message, is_first) = delivery
        try:
            if is_first:
                self._pipeline.reset_tracking(camera.name)
            topics = camera.subscribed_topics()
            if not topics:
                camera.mailbox.count_dropped()
                return None
            is_compressed = isinstance(message, CompressedImage)
            read = decode_compressed if is_compressed else decode_image
            image_rgb = read(message, max_pixels=max_pixels)
        except Exception as error:  # noqa: BLE001 - the frames of the other cameras must be processed
            self._fail(camera, error)
            return None
        camera.mailbox.image_size = (image_rgb.shape[0], image_rgb.shape[1])
        time_ns = stamp_ns(message.header.stamp)
        frame = Frame(image_rgb, camera.name, None if time_ns is None else time_ns / 1e9)
        return _PendingFrame(camera, message.header, topics, frame)

    def _finish(self, entry: _PendingFrame, result: FrameResult, settings: NodeParameters, start_ns: int) -> None:
        """Publish the results of a frame and count it."""
        camera = entry.camera
        try:
            if result.error is not None:
                raise result.error
            assert result.prediction is not None  # noqa: S101 - a result has a prediction or an error
            time_ns = stamp_ns(entry.header.stamp)
            context = MessageContext(
                image_rgb=entry.frame.image_rgb,
                prediction=result.prediction,
                header=entry.header,
                camera_info=None if set(entry.topics).isdisjoint(CAMERA_INFOS) else camera.infos.find(time_ns),
                visualization=settings.visualization,
                opacity=settings.visualization_opacity,
                jpeg_quality=settings.jpeg_quality,
                mask_classes=settings.masked or self._pipeline.moving_classes,
            )
            messages = {topic: make_message(topic, context) for topic in entry.topics if topic not in DEBUG_TOPICS}
            camera.publish({topic: message for topic, message in messages.items() if message is not None})
            timing = self._timing(time_ns, start_ns)
            camera.publish_timing(timing)
            camera.mailbox.count_answered(timing)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(camera, error)

    def _timing(self, time_ns: int | None, start_ns: int) -> Timing:
        processing_time_ms = (time.monotonic_ns() - start_ns) / 1e6
        if not time_ns:
            return Timing(processing_time_ms, None, "invalid" if time_ns is None else "zero")
        return Timing(processing_time_ms, (self._node.get_clock().now().nanoseconds - time_ns) / 1e6)

    def _fail(self, camera: Camera, error: Exception) -> None:
        camera.mailbox.count_failed(error)
        self._node.report_error(camera.topic, f"A frame of {camera.topic} failed: {describe(error)}")

    def _report_failed_batch(self, results: Sequence[FrameResult]) -> None:
        retried = [result.batch_error for result in results if result.batch_error is not None]
        if retried:
            reason = describe(retried[0])
            text = f"A batch of {len(retried)} frames failed and was retried frame by frame: {reason}"
            self._node.report_error("batches", text)
