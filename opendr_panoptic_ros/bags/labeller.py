# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling a bag: its images go through the pipeline and are written with their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opendr_panoptic_ros.bags.channels import LATCHED
from opendr_panoptic_ros.bags.points import POINTS, POINTS_TYPE, BagClouds
from opendr_panoptic_ros.bags.reader import BagReader, Message, count_by_topic
from opendr_panoptic_ros.bags.results import (
    TYPE_NAMES,
    BagFrame,
    read_frame,
    result_prefixes,
    serialized,
    serialized_label_info,
)
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError, reason
from opendr_panoptic_ros.outputs import LABEL_INFO, need_confidence
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.prediction import PanopticPrediction


class StopRequest(Protocol):
    """A request to stop early, made from outside while the labeller works.

    Attributes:
        came: Whether the request has been made. The labeller then stops after the messages it is working on.
    """

    came: bool

    def hold(self) -> AbstractContextManager[None]:
        """Return a context in which a second request does not raise KeyboardInterrupt."""


@dataclass(frozen=True)
class LabelReport:
    """What a labeller has done.

    Attributes:
        path: The bag that was written. It exists only if `messages` is above 0.
        messages: Number of messages written, images included.
        frames: Number of images that were segmented.
        problems: One line for each image that could not be read or segmented. It was written without results.
        stopped_at_ns: Record time of the first message that was not written; None if all were, or none could be read.
        error: The error that ended the work early, or None.
        damage: One line for each damaged place of the bag that was left out.
    """

    path: Path
    messages: int
    frames: int
    problems: tuple[str, ...]
    stopped_at_ns: int | None
    error: Exception | None
    damage: tuple[str, ...] = ()


class Labeller:
    """Segments the images of some topics and writes them to a new bag, each followed by its results.

    Args:
        reader: The bag to label.
        out: The new bag, see `BagWriter`.
        pipeline: Segments the frames. Each topic is a camera of its own.
        topics: Names of the image topics.
        outputs: Names of the results to write, keys of `TYPE_NAMES`.
        keep_classes: Names of the classes to keep; all when empty.
        clouds: Makes the labelled clouds, or None for none; then there is one image topic.

    Raises:
        PanopticError: The new bag cannot be made there.
    """

    def __init__(
        self,
        reader: BagReader,
        out: Path,
        pipeline: FramePipeline,
        topics: Sequence[str],
        outputs: Sequence[str],
        *,
        keep_classes: Collection[str] = (),
        clouds: BagClouds | None = None,
    ) -> None:
        self._clouds = clouds
        self._reader, self._pipeline, self._outputs = reader, pipeline, list(outputs)
        self._keep_classes = keep_classes
        self._prefixes = result_prefixes(topics)
        self._topics = [reader.topics[name] for name in topics]
        self._without_labels = set(topics) if LABEL_INFO in outputs else set()
        self._frames = 0
        self._problems: list[str] = []
        self._first_unwritten_ns: int | None = None
        self._writer = BagWriter(out)

    def run(
        self,
        groups: Iterable[Sequence[Message]],
        stop: StopRequest,
        *,
        on_progress: Callable[[int, int], None] = lambda _time_ns, _frames: None,
    ) -> LabelReport:
        """Label the messages until they end, a stop is requested or an error occurs, then complete the bag.

        Args:
            groups: The messages in groups, see `grouped`. A group is segmented together.
            stop: Checked before each group.
            on_progress: Called after each group with the record time of its last message in ns, and with the number
                of images segmented so far.

        Returns:
            What was done. Errors of reading, segmenting and writing are reported there, so that completed work is kept.

        Raises:
            PanopticError: The new bag could not be completed.
        """
        is_complete, error = False, None
        try:
            is_complete = self._label(groups, stop, on_progress)
        except KeyboardInterrupt:  # a second request: the group in work is abandoned
            pass
        except Exception as caught:  # noqa: BLE001 - hours of completed work are kept whatever ends the rest
            error = caught
        with stop.hold():
            self._close()
        return LabelReport(
            path=self._writer.path,
            messages=self._writer.count,
            frames=self._frames,
            problems=tuple(self._problems),
            stopped_at_ns=None if is_complete else self._first_unwritten_ns,
            error=error,
            damage=tuple(self._reader.damage),
        )

    def _label(
        self, groups: Iterable[Sequence[Message]], stop: StopRequest, on_progress: Callable[[int, int], None]
    ) -> bool:
        """Label and write the groups. Return whether all of them were."""
        self._announce_topics()
        for group in groups:
            self._first_unwritten_ns = group[0].time_ns
            if stop.came:
                return False
            results = self._results(group)
            with stop.hold():  # half a message would make the bag unreadable
                self._write(group, results)
            on_progress(group[-1].time_ns, self._frames)
        return True

    def _close(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            raise PanopticError(
                f"{self._writer.partial} could not be completed and cannot be read; remove it: {error}"
            ) from error

    def _announce_topics(self) -> None:
        for topic in self._topics:
            self._writer.add_topic(topic.name, topic.type_name, topic.qos)
            for output in self._outputs:
                qos = [LATCHED] if output == LABEL_INFO else []
                self._writer.add_topic(f"{self._prefixes[topic.name]}/{output}", TYPE_NAMES[output], qos)
            if self._clouds is not None:
                self._writer.add_topic(f"{self._prefixes[topic.name]}/{POINTS}", POINTS_TYPE, [])

    def _results(self, group: Sequence[Message]) -> dict[int, tuple[BagFrame, PanopticPrediction]]:
        """Return frame and prediction by position in the group, for the messages that have one."""
        read = {place: self._read(message) for place, message in enumerate(group)}
        frames = {place: frame for place, frame in read.items() if frame is not None}
        results = self._pipeline.process(
            [Frame(frame.image_rgb, camera=frame.message.topic, time_s=frame.time_s) for frame in frames.values()],
            keep_classes=self._keep_classes,
            with_confidence=need_confidence(self._outputs),
        )
        predictions = {}
        for place, result in zip(frames, results, strict=True):
            if result.prediction is None:
                self._note_problem(group[place], result.error)
            else:
                predictions[place] = frames[place], result.prediction
        return predictions

    def _read(self, message: Message) -> BagFrame | None:
        try:
            return read_frame(message)
        except ImageEncodingError as error:
            self._note_problem(message, error)
            return None

    def _note_problem(self, message: Message, error: Exception | None) -> None:
        self._problems.append(f"{message.topic} at {message.time_ns} ns: {reason(error)}")

    def _cloud(self, prefix: str, frame: BagFrame, prediction: PanopticPrediction) -> dict[str, memoryview]:
        if self._clouds is None:
            return {}
        try:
            cloud = self._clouds.serialized(frame, prediction)
        except PanopticError as error:
            self._note_problem(frame.message, error)
            return {}
        return {} if cloud is None else {f"{prefix}/{POINTS}": cloud}

    def _label_info(self, frame: BagFrame) -> memoryview:
        return serialized_label_info(
            frame.header,
            self._pipeline.classes,
            score_threshold=self._pipeline.segmenter.config.test.score_threshold,
            keep_classes=self._keep_classes,
        )

    def _write(self, group: Sequence[Message], results: dict[int, tuple[BagFrame, PanopticPrediction]]) -> None:
        """Write each message followed by its results, all at the record time of the message."""
        for place, message in enumerate(group):
            self._first_unwritten_ns = message.time_ns
            data = {message.topic: message.data}
            if place in results:
                prefix = self._prefixes[message.topic]
                mask_classes = self._pipeline.moving_classes
                data |= {
                    f"{prefix}/{output}": serialized(output, *results[place], mask_classes=mask_classes)
                    for output in self._outputs
                    if output != LABEL_INFO
                }
                data |= self._cloud(prefix, *results[place])
                if message.topic in self._without_labels:
                    data[f"{prefix}/{LABEL_INFO}"] = self._label_info(results[place][0])
                    self._without_labels.remove(message.topic)
            self._writer.write(message.time_ns, data)
            self._frames += place in results
        self._first_unwritten_ns = group[-1].time_ns + 1


def image_topics(reader: BagReader, names: Sequence[str] = ()) -> list[str]:
    """Return the topics to segment: those named, or else the only topic that has images.

    Args:
        reader: The bag.
        names: Names of topics; repetitions are ignored.

    Returns:
        The names of the topics, in the order given.

    Raises:
        PanopticError: A named topic has no images, the bag has none, it has several topics and none is named, or a
            chosen topic has messages of several types.
    """
    images = {
        name: topic
        for name, topic in reader.topics.items()
        if not {IMAGE, COMPRESSED_IMAGE}.isdisjoint(topic.type_name.split(" and "))
    }
    if not images:
        raise PanopticError(f"The bag has no images. Its topics: {count_by_topic(reader.topics)}.")
    wrong = [name for name in names if name not in images]
    if wrong:
        raise PanopticError(f"The bag has no images on {', '.join(wrong)}, but on: {count_by_topic(images)}.")
    if not names and len(images) > 1:
        raise PanopticError(f"The bag has images on several topics; choose with --topic: {count_by_topic(images)}.")
    chosen = list(dict.fromkeys(names or images))
    for name in chosen:
        images[name].check_type()
    if not any(images[name].message_count for name in chosen):
        raise PanopticError(f"There are no messages on {', '.join(chosen)}.")
    return chosen


def every_nth(
    reader: BagReader, topics: Sequence[str], *, start_ns: int = 0, end_ns: int | None = None, every: int = 1
) -> Iterator[Message]:
    """Yield every n-th message of each topic within a time range.

    Args:
        reader: The bag.
        topics: Names of the topics.
        start_ns: Record time of the first message, in ns.
        end_ns: Record time before which messages are taken, in ns; None for no limit.
        every: 1 yields all messages. Messages are counted from the beginning of the bag, whatever `start_ns` is.

    Yields:
        The messages in their recorded order.
    """
    counts: Counter[str] = Counter()
    for message in reader.messages(topics, start_ns=start_ns if every == 1 else None, end_ns=end_ns):
        if counts[message.topic] % every == 0 and message.time_ns >= start_ns:
            yield message
        counts[message.topic] += 1


def grouped(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    """Yield messages in groups of at least `size`.

    Messages with equal record times share a group, so that a later run can continue at the time of a group. If
    reading fails, the messages read so far are yielded before the error is raised.

    Args:
        messages: The messages in their recorded order.
        size: Smallest number of messages of a group, except for the last one.

    Yields:
        The groups.
    """
    group: list[Message] = []
    try:
        for message in messages:
            if len(group) >= size and message.time_ns != group[-1].time_ns:
                yield group
                group = []
            group.append(message)
    except PanopticError:
        if group:
            yield group
        raise
    if group:
        yield group
