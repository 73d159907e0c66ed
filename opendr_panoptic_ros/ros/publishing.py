# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ResultPublisher: the thread that makes and publishes the outputs, so that the network works on the next frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from opendr_panoptic_ros.outputs import CAMERA_INFOS
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.ros.camera import DEBUG_TOPICS, Camera
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.mailbox import Timing
from opendr_panoptic_ros.ros.messages import MessageContext, make_message
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.stamps import stamp_ns

_MAX_UNPUBLISHED = 2


@dataclass(frozen=True, eq=False)
class Answer:
    """A frame with its prediction, of which the outputs are to be made.

    Attributes:
        camera: The camera.
        header: Header of the camera's message.
        topics: The topics below `panoptic/` that have a subscriber.
        image_rgb: The frame, `(H, W, 3)` uint8 RGB.
        prediction: Its prediction.
        moving_classes: Names of the classes of the mask unless the parameter `mask_classes` chooses others.
        settings: Parameters of the node when the frame was taken.
        start_ns: Time at which the frame was taken, in ns of the monotonic clock.
    """

    camera: Camera
    header: Header
    topics: list[str]
    image_rgb: NDArray[np.uint8]
    prediction: PanopticPrediction
    moving_classes: Sequence[str]
    settings: NodeParameters
    start_ns: int


@dataclass(frozen=True, eq=False)
class Failure:
    """A frame without a prediction.

    Attributes:
        camera: The camera.
        error: The reason.
    """

    camera: Camera
    error: Exception


class ResultPublisher:
    """Makes the outputs of frames, publishes and counts them, in the order in which they were put.

    At most two batches of frames wait or are being published, which bounds the memory and the age of the results: the
    worker takes no frame while `has_room` is false, so that newer frames replace the waiting one. The network waits for
    the outputs only if these take longer than the network. The thread runs from construction to `close`.

    Args:
        node: The node, for its clock and log.
        frame_waits: Condition on which the worker waits; it guards `has_room` and is notified when that becomes true.
    """

    def __init__(self, node: ManagedNode[NodeParameters], frame_waits: threading.Condition) -> None:
        self._node = node
        self._frame_waits = frame_waits
        self._batches: SimpleQueue[Sequence[Answer | Failure] | None] = SimpleQueue()
        self._unpublished = 0
        self._thread = threading.Thread(target=self._run, name="panoptic_publisher", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether another batch may be begun. The caller holds `frame_waits`."""
        return self._unpublished < _MAX_UNPUBLISHED

    def put(self, batch: Sequence[Answer | Failure]) -> None:
        """Pass on the frames of a batch.

        Args:
            batch: The frames, those of one camera in the order in which they were received.
        """
        with self._frame_waits:
            self._unpublished += 1
        self._batches.put(batch)

    def close(self) -> None:
        """Publish what was put, and end the thread."""
        self._batches.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._publish_next():
            with self._frame_waits:
                self._unpublished -= 1
                self._frame_waits.notify()

    def _publish_next(self) -> bool:
        """Publish the next batch, of which nothing is kept; return False at the end."""
        batch = self._batches.get()
        for outcome in batch or ():
            if isinstance(outcome, Answer):
                self._publish(outcome)
            else:
                self._fail(outcome.camera, outcome.error)
        return batch is not None

    def _publish(self, answer: Answer) -> None:
        """Publish the outputs of a frame and count it."""
        camera, settings = answer.camera, answer.settings
        try:
            time_ns = stamp_ns(answer.header.stamp)
            context = MessageContext(
                image_rgb=answer.image_rgb,
                prediction=answer.prediction,
                header=answer.header,
                camera_info=None if set(answer.topics).isdisjoint(CAMERA_INFOS) else camera.infos.find(time_ns),
                visualization=settings.visualization,
                opacity=settings.visualization_opacity,
                jpeg_quality=settings.jpeg_quality,
                mask_classes=settings.masked or answer.moving_classes,
            )
            messages = {topic: make_message(topic, context) for topic in answer.topics if topic not in DEBUG_TOPICS}
            camera.publish({topic: message for topic, message in messages.items() if message is not None})
            timing = self._timing(time_ns, answer.start_ns)
            camera.publish_timing(timing)
            camera.mailbox.count_answered(timing)
        except Exception as error:  # noqa: BLE001 - the other frames must be published
            self._fail(camera, error)

    def _timing(self, time_ns: int | None, start_ns: int) -> Timing:
        processing_time_ms = (time.monotonic_ns() - start_ns) / 1e6
        if not time_ns:
            return Timing(processing_time_ms, None, "invalid" if time_ns is None else "zero")
        return Timing(processing_time_ms, (self._node.get_clock().now().nanoseconds - time_ns) / 1e6)

    def _fail(self, camera: Camera, error: Exception) -> None:
        camera.mailbox.count_failed(error)
        self._node.report_error(camera.topic, f"A frame of {camera.topic} failed: {describe(error)}")
