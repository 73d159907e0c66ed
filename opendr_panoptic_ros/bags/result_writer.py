# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ResultWriter: writes the messages of a bag, and behind each frame its results."""

from __future__ import annotations

from collections.abc import Sequence

from opendr_panoptic_ros.bags.channels import LATCHED, BagChannel
from opendr_panoptic_ros.bags.groups import MessageGroup
from opendr_panoptic_ros.bags.points import POINTS, POINTS_TYPE, BagClouds
from opendr_panoptic_ros.bags.predictors import ClassInfo
from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.results import (
    TYPE_NAMES,
    BagFrame,
    result_prefixes,
    serialized,
    serialized_label_info,
)
from opendr_panoptic_ros.bags.writer import MessageWriter
from opendr_panoptic_ros.errors import PanopticError, reason
from opendr_panoptic_ros.outputs import LABEL_INFO
from opendr_panoptic_ros.prediction import PanopticPrediction


class ResultWriter:
    """Writes messages and results, all results of a frame at the record time of the frame.

    The first result of a topic in a segment is followed by the names of the classes in a chunk of their own. A bag has
    them once: when segments are joined, the chunks of later segments are left out.

    Args:
        writer: Where to write; the channels of `result_channels` were added.
        topics: Names of the image topics.
        outputs: Names of the results to write, keys of `TYPE_NAMES`.
        info: The classes of the results.
        clouds: Makes labelled clouds, or None for none.
        are_frames_copied: Whether the frames are written, too.

    Attributes:
        frames: Number of frames whose results were written.
        images: Number of frames of which that was tried.
        problems: One line for each frame that could not be read or segmented.
        next_ns: Record time after the last message written; None if there is none. During an error, that of the message
            that could not be written.
    """

    def __init__(
        self,
        writer: MessageWriter,
        topics: Sequence[str],
        outputs: Sequence[str],
        info: ClassInfo,
        *,
        clouds: BagClouds | None = None,
        are_frames_copied: bool = True,
    ) -> None:
        self._writer, self._topics, self._outputs, self._info = writer, topics, list(outputs), info
        self._clouds, self._are_frames_copied = clouds, are_frames_copied
        self._prefixes = result_prefixes(topics)
        self._without_info = set(topics)
        self.frames = self.images = 0
        self.problems: list[str] = []
        self.next_ns: int | None = None

    def write_group(self, group: MessageGroup, predictions: Sequence[PanopticPrediction | Exception]) -> None:
        """Write the messages of a group and their results.

        Args:
            group: The messages.
            predictions: The prediction of each frame of the group, or the reason why it has none.

        Raises:
            PanopticError: The disk is full.
        """
        self.problems += group.problems
        results: dict[int, tuple[BagFrame, PanopticPrediction]] = {}
        for (place, frame), prediction in zip(group.frames.items(), predictions, strict=True):
            if isinstance(prediction, Exception):
                self._note_problem(frame.message, prediction)
            else:
                results[place] = frame, prediction
        for place, message in enumerate(group.messages):
            self.next_ns = message.time_ns
            if place in results:
                self._write_results(*results[place])
            elif self._are_frames_copied or message.topic not in self._topics:
                self._writer.write(message.time_ns, {message.topic: message})
        self.images += group.images
        if group.messages:
            self.next_ns = group.messages[-1].time_ns + 1
        if group.is_last:
            self._without_info = set(self._topics)
            self._writer.end_chunk()

    def _write_results(self, frame: BagFrame, prediction: PanopticPrediction) -> None:
        message, prefix = frame.message, self._prefixes[frame.message.topic]
        data: dict[str, bytes | memoryview | Message] = {}
        if self._are_frames_copied:
            data[message.topic] = message
        for output in self._outputs:
            if output != LABEL_INFO:
                mask_classes = self._info.moving_classes
                data[f"{prefix}/{output}"] = serialized(output, frame, prediction, mask_classes=mask_classes)
        self._writer.write(message.time_ns, data | self._cloud(prefix, frame, prediction))
        self.frames += 1
        if LABEL_INFO in self._outputs and message.topic in self._without_info:
            self._without_info.remove(message.topic)
            self._write_info(message.time_ns, f"{prefix}/{LABEL_INFO}", frame)

    def _write_info(self, time_ns: int, topic: str, frame: BagFrame) -> None:
        info = {}
        if not self._writer.written(topic):
            info[topic] = serialized_label_info(
                frame.header,
                self._info.classes,
                score_threshold=self._info.score_threshold,
                keep_classes=self._info.keep_classes,
            )
        self._writer.write_apart(time_ns, info)

    def _cloud(self, prefix: str, frame: BagFrame, prediction: PanopticPrediction) -> dict[str, memoryview]:
        if self._clouds is None:
            return {}
        try:
            cloud = self._clouds.serialized(frame, prediction)
        except PanopticError as error:
            self._note_problem(frame.message, error)
            return {}
        return {} if cloud is None else {f"{prefix}/{POINTS}": cloud}

    def _note_problem(self, message: Message, error: Exception) -> None:
        self.problems.append(f"{message.topic} at {message.time_ns} ns: {reason(error)}")


def info_topics(topics: Sequence[str]) -> list[str]:
    """Return the topics of the names of classes.

    Args:
        topics: Names of the image topics.
    """
    return [f"{prefix}/{LABEL_INFO}" for prefix in result_prefixes(topics).values()]


def result_channels(topics: Sequence[str], outputs: Sequence[str], *, with_clouds: bool) -> list[BagChannel]:
    """Return the channels of results.

    Args:
        topics: Names of the image topics.
        outputs: Names of the results, keys of `TYPE_NAMES`.
        with_clouds: Whether there are labelled clouds.
    """
    channels = []
    for prefix in result_prefixes(topics).values():
        for output in outputs:
            qos = [LATCHED] if output == LABEL_INFO else []
            channels.append(BagChannel.of_type(f"{prefix}/{output}", TYPE_NAMES[output], qos))
        if with_clouds:
            channels.append(BagChannel.of_type(f"{prefix}/{POINTS}", POINTS_TYPE))
    return channels
