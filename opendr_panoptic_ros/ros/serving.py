# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What happens to frames whose turn has come: from camera messages to published answers. In the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.time import Time

from opendr_panoptic_ros.outputs import CAMERA_INFO
from opendr_panoptic_ros.postprocess import keep_classes, mask_out
from opendr_panoptic_ros.ros.camera import DEBUG_TOPICS, CameraStream, Timing
from opendr_panoptic_ros.ros.messages import MessageContext, make_message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from opendr_panoptic_ros.inference import PanopticSegmenter
    from opendr_panoptic_ros.prediction import PanopticPrediction
    from opendr_panoptic_ros.ros.parameters import NodeParameters


@dataclass(frozen=True)
class _Frame:
    """A decoded frame. wanted: the topics below `panoptic/` that somebody listens to."""

    stream: CameraStream
    header: Any
    image_rgb: NDArray[np.uint8]
    wanted: list[str]


@dataclass(frozen=True)
class Server:
    """Answers frames of several cameras together. Whatever fails is counted and reported, and fails alone.

    now_ns: the node's clock. report: told where and in words what failed, and why.
    """

    now_ns: Callable[[], int]
    report: Callable[[str, str], None]

    def serve(
        self, taken: Sequence[tuple[CameraStream, Any]], segmenter: PanopticSegmenter, settings: NodeParameters
    ) -> None:
        """Answer, drop or fail each of these messages; those of one size run through the network together."""
        start_ns = time.monotonic_ns()
        by_size: dict[tuple[int, ...], list[_Frame]] = {}
        for stream, message in taken:
            frame = self._decoded(stream, message)
            if frame is not None:
                by_size.setdefault(frame.image_rgb.shape, []).append(frame)
        for frames in by_size.values():
            for frame, prediction in zip(frames, self._predict(frames, segmenter, settings), strict=True):
                if prediction is not None:
                    self._answer(frame, prediction, settings, start_ns)

    def _decoded(self, stream: CameraStream, message: Any) -> _Frame | None:
        """The frame, unless nobody wants it any more or it cannot be read."""
        try:
            wanted = stream.wanted_outputs()
            if wanted:
                return _Frame(stream, message.header, stream.decode(message), wanted)
            stream.count_dropped()
        except Exception as error:  # noqa: BLE001 - the other frames, and the next one, shall be served
            self._fail(stream, error)
        return None

    def _predict(
        self, frames: Sequence[_Frame], segmenter: PanopticSegmenter, settings: NodeParameters
    ) -> Sequence[PanopticPrediction | None]:
        """The network's result for each frame, None where it failed. What fails together is tried one by one."""
        try:
            return segmenter([frame.image_rgb for frame in frames], thresholds=settings.thresholds())
        except Exception as error:  # noqa: BLE001 - as above
            if len(frames) == 1:
                self._fail(frames[0].stream, error)
                return [None]
            together = f"{len(frames)} frames in one batch failed, and are tried one by one"
            self.report("batches", f"{together}: {_words(error)}")
        # Not above: there the error's traceback still holds the batch's memory.
        return [self._predict([frame], segmenter, settings)[0] for frame in frames]

    def _answer(self, frame: _Frame, prediction: PanopticPrediction, settings: NodeParameters, start_ns: int) -> None:
        stream = frame.stream
        try:
            stamp_ns = Time.from_msg(frame.header.stamp).nanoseconds
            if settings.class_filter:
                prediction = keep_classes(prediction, settings.class_filter)
            if stream.ego_mask is not None:
                prediction = mask_out(prediction, stream.ego_mask.is_ego)
            if stream.tracker is not None:
                prediction = stream.tracker.update(prediction, time_s=stamp_ns / 1e9)
            context = MessageContext(
                image_rgb=frame.image_rgb,
                prediction=prediction,
                header=frame.header,
                camera_info=stream.camera_info(frame.header.stamp) if CAMERA_INFO in frame.wanted else None,
                visualization=settings.visualization,
                opacity=settings.visualization_opacity,
                jpeg_quality=settings.jpeg_quality,
            )
            messages = {topic: make_message(topic, context) for topic in frame.wanted if topic not in DEBUG_TOPICS}
            stream.publish({topic: message for topic, message in messages.items() if message is not None})
            latency_ns = self.now_ns() - stamp_ns
            stream.count_answered(Timing((time.monotonic_ns() - start_ns) / 1e6, latency_ns / 1e6))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(stream, error)

    def _fail(self, stream: CameraStream, error: Exception) -> None:
        stream.count_failed(error)
        self.report(stream.topic, f"A frame of {stream.topic} failed: {_words(error)}")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
