# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""FrameProcessor: from the messages of cameras to predictions. Runs in the worker's thread."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from std_msgs.msg import Header

from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.outputs import need_confidence
from opendr_panoptic_ros.pipeline import Frame, FramePipeline, FrameResult
from opendr_panoptic_ros.ros.camera import Camera
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.mailbox import Delivery
from opendr_panoptic_ros.ros.memory import return_freed_memory
from opendr_panoptic_ros.ros.messages import decode_image
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.publishing import Answer, Failure, ResultPublisher
from opendr_panoptic_ros.ros.serialized import read_message, ros_header
from opendr_panoptic_ros.ros.stamps import stamp_ns

_RETURN_MEMORY_EVERY_S = 10.0
"""Shortest time between two returns of freed memory, for cameras that change their size with every frame."""


@dataclass(frozen=True, eq=False)
class _PendingFrame:
    """A decoded frame, with what is needed to publish its results.

    Attributes:
        camera: The camera.
        header: Header of the camera's message.
        topics: The topics below `panoptic/` that have a subscriber.
        frame: The decoded frame.
    """

    camera: Camera
    header: Header
    topics: list[str]
    frame: Frame


class FrameProcessor:
    """Decodes frames, runs the pipeline, and passes the predictions to the publisher.

    Args:
        node: The node, for its parameters and log.
        pipeline: The pipeline.
        publisher: Publishes the results, and counts and logs the frames that failed.
    """

    def __init__(self, node: ManagedNode[NodeParameters], pipeline: FramePipeline, publisher: ResultPublisher) -> None:
        self._node = node
        self._pipeline = pipeline
        self._publisher = publisher
        self._should_return_memory = False
        self._returned_s = -math.inf

    def process(self, deliveries: Sequence[tuple[Camera, Delivery]]) -> None:
        """Process frames of several cameras. Each will be counted as answered, dropped or failed; nothing is raised.

        Args:
            deliveries: Frames taken from the mailboxes of their cameras.
        """
        start_ns = time.monotonic_ns()
        settings = self._node.settings()
        decoded = [self._decode(camera, delivery, settings.max_image_pixels) for camera, delivery in deliveries]
        pending = [entry for entry in decoded if isinstance(entry, _PendingFrame)]
        results = self._pipeline.process(
            [entry.frame for entry in pending],
            thresholds=settings.thresholds(),
            keep_classes=settings.class_filter,
            with_confidence=any(need_confidence(entry.topics) for entry in pending),
        )
        self._report_failed_batch(results)
        batch: list[Answer | Failure] = [entry for entry in decoded if isinstance(entry, Failure)]
        for entry, result in zip(pending, results, strict=True):
            if result.prediction is None:
                assert result.error is not None  # noqa: S101 - a result has a prediction or an error
                batch.append(Failure(entry.camera, result.error))
                continue
            batch.append(
                Answer(
                    entry.camera,
                    entry.header,
                    entry.topics,
                    entry.frame.image_rgb,
                    result.prediction,
                    self._pipeline.moving_classes,
                    settings,
                    start_ns,
                )
            )
        if batch:
            self._publisher.put(batch)
        if self._should_return_memory and time.monotonic() - self._returned_s > _RETURN_MEMORY_EVERY_S:
            return_freed_memory()  # feature maps of the previous size, or messages that failed
            self._should_return_memory, self._returned_s = False, time.monotonic()

    def _decode(self, camera: Camera, delivery: Delivery, max_pixels: int) -> _PendingFrame | Failure | None:
        """Decode a frame. Return a Failure if that fails, or None if no output has a subscriber any more."""
        try:
            if delivery.is_first:
                self._pipeline.reset_tracking(camera.name)
            topics = camera.subscribed_topics()
            if not topics:
                camera.mailbox.count_dropped()
                return None
            message = read_message(delivery.message, camera.type_name)
            read = decode_compressed if camera.is_compressed else decode_image
            image_rgb = read(message, max_pixels=max_pixels)
        except Exception as error:  # noqa: BLE001 - the frames of the other cameras must be processed
            self._should_return_memory = True  # that of a message of any size
            return Failure(camera, error)
        size = image_rgb.shape[0], image_rgb.shape[1]
        self._should_return_memory |= camera.mailbox.image_size not in {None, size}
        camera.mailbox.image_size = size
        time_ns = stamp_ns(message.header.stamp)
        frame = Frame(image_rgb, camera.name, None if time_ns is None else time_ns / 1e9)
        return _PendingFrame(camera, ros_header(message.header), topics, frame)

    def _report_failed_batch(self, results: Sequence[FrameResult]) -> None:
        retried = [result.batch_error for result in results if result.batch_error is not None]
        if retried:
            reason = describe(retried[0])
            text = f"A batch of {len(retried)} frames failed and was retried frame by frame: {reason}"
            self._node.report_error("batches", text)
