# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Groups of messages whose frames are segmented together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rosbags.interfaces import QosDurability

from opendr_panoptic_ros.bags.reader import BagReader, Message
from opendr_panoptic_ros.bags.results import BagFrame, read_frame
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError, reason

_MAX_WAITING_BYTES = 64 * 2**20  # of messages of other topics in a group with frames
_MAX_OTHER_BYTES = 4 * 2**20  # of those in a group without frames
_MESSAGE_BYTES = 1024  # of a message in memory, besides its data


@dataclass(frozen=True)
class MessageGroup:
    """Consecutive messages of a segment.

    Attributes:
        messages: The messages in their recorded order.
        frames: The decoded frames among them by place.
        images: Number of frames, those that could not be decoded included.
        problems: One line for each frame that could not be decoded.
        is_last: Whether the segment ends behind the group.
    """

    messages: Sequence[Message] = ()
    frames: dict[int, BagFrame] = field(default_factory=dict)
    images: int = 0
    problems: tuple[str, ...] = ()
    is_last: bool = False

    @classmethod
    def decoded(cls, messages: Sequence[Message], topics: Collection[str]) -> MessageGroup:
        """Decode the frames among messages.

        Args:
            messages: The messages.
            topics: Names of the image topics.
        """
        frames, problems = {}, []
        for place, message in enumerate(messages):
            if message.topic in topics:
                try:
                    frames[place] = read_frame(message)
                except ImageEncodingError as error:
                    problems.append(f"{message.topic} at {message.time_ns} ns: {reason(error)}")
        return cls(messages, frames, len(frames) + len(problems), tuple(problems))


def thinned(
    reader: BagReader,
    topics: Sequence[str],
    *,
    with_others: bool,
    left_out: Collection[str] = (),
    start_ns: int | None = None,
    end_ns: int | None = None,
    every: int = 1,
    skipped: Sequence[int] = (),
) -> Iterator[Message]:
    """Yield every n-th message of image topics, and the messages of other topics, within a time range.

    Args:
        reader: The bag.
        topics: Names of the image topics.
        with_others: Whether the messages of all other topics are yielded, too.
        left_out: Names of other topics whose messages are not yielded.
        start_ns: Record time of the first message, in ns; None for no limit.
        end_ns: Record time before which messages are taken, in ns; None for no limit.
        every: 1 yields all messages.
        skipped: Number of messages of each image topic before `start_ns`, which count; none when empty.

    Yields:
        The messages in their recorded order.
    """
    counts = Counter(dict(zip(topics, skipped, strict=False)))
    for message in reader.messages(None if with_others else topics, start_ns=start_ns, end_ns=end_ns):
        if message.topic not in topics:
            if message.topic not in left_out:
                yield message
            continue
        if counts[message.topic] % every == 0:
            yield message
        counts[message.topic] += 1


def latched_before(reader: BagReader, without: Collection[str], time_ns: int) -> Iterator[Message]:
    """Yield the messages of latched topics before a time, as if they were recorded at this time.

    A recording that begins later is of no use without them: /tf_static is published once.

    Args:
        reader: The bag.
        without: Names of topics that are left out.
        time_ns: Record time in ns.

    Yields:
        The messages in their recorded order. `/tf_static` counts as latched whatever its profile is.
    """
    latched = [
        topic.name
        for topic in reader.topics.values()
        if topic.name not in without
        and " and " not in topic.type_name
        and (
            topic.name.endswith("/tf_static")
            or any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in topic.qos)
        )
    ]
    if latched:
        for message in reader.messages(latched, end_ns=time_ns):
            yield message._replace(time_ns=time_ns)


def grouped(messages: Iterable[Message], size: int, topics: Collection[str] | None = None) -> Iterator[list[Message]]:
    """Yield messages in groups of at least `size` frames.

    Messages with equal record times share a group, so that a later run can continue at the time of a group. If
    reading fails, the messages read so far are yielded before the error is raised. A group with much data of other
    topics ends earlier, so that its size in memory is limited.

    Args:
        messages: The messages in their recorded order.
        size: Smallest number of frames of a group, except for the last one.
        topics: Names of the topics whose messages are frames; None for all.

    Yields:
        The groups.
    """
    group: list[Message] = []
    frames = other_bytes = 0
    try:
        for message in messages:
            is_full = frames >= size or other_bytes > (_MAX_WAITING_BYTES if frames else _MAX_OTHER_BYTES)
            if is_full and message.time_ns != group[-1].time_ns:
                yield group
                group, frames, other_bytes = [], 0, 0
            group.append(message)
            if topics is None or message.topic in topics:
                frames += 1
            else:
                other_bytes += len(message.data) + _MESSAGE_BYTES
    except PanopticError:
        if group:
            yield group
        raise
    if group:
        yield group
