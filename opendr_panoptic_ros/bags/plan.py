# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The plan of a bag: which topics are labelled and copied, and where the bag is cut into segments of time."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opendr_panoptic_ros.bags.channels import BagChannel
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.points import DepthIndex
from opendr_panoptic_ros.bags.reader import BagReader, count_by_topic
from opendr_panoptic_ros.bags.result_writer import result_channels
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE
from opendr_panoptic_ros.errors import PanopticError

_BATCHES = 32  # of a segment, on average: the last batch of a segment may be smaller
_MAX_SEGMENTS = 1000


@dataclass(frozen=True)
class Segment:
    """A part of a bag that is labelled independently of the others.

    Attributes:
        number: Its number in the bag, from 0.
        start_ns: Record time of its first message in ns; None for the first one of the bag.
        end_ns: Record time before which it ends in ns; None for the end of the bag.
        skipped: Number of messages of each image topic before it, if not all frames are segmented; else empty.
    """

    number: int
    start_ns: int | None
    end_ns: int | None
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class BagPlan:
    """How a bag is labelled. It depends on the bag and the options alone.

    Attributes:
        source: The bag.
        topics: Names of the image topics.
        channels: The channels of the result: those that are copied, then those of the results.
        left_out: Names of topics that are not copied because results have their names.
        start_ns: Record time at which labelling begins, in ns.
        end_ns: Record time at which it ends.
        bag_start_ns: Record time of the first message of the bag.
        segments: The segments in their order.
        depth: Where the depth images are, if labelled clouds are made.
        warnings: One line for each thing that is suspicious about the bag.
    """

    source: Path
    topics: tuple[str, ...]
    channels: tuple[BagChannel, ...]
    left_out: frozenset[str]
    start_ns: int
    end_ns: int
    bag_start_ns: int
    segments: tuple[Segment, ...]
    depth: DepthIndex | None
    warnings: tuple[str, ...]


def plan_segments(source: Path, options: LabelOptions) -> BagPlan:
    """Plan how a bag is labelled.

    Args:
        source: The bag.
        options: The options.

    Returns:
        The plan.

    Raises:
        PanopticError: The bag cannot be read, or the options do not fit it.
    """
    with BagReader(source) as reader:
        topics = image_topics(reader, options.topics)
        start_ns = reader.start_ns + round(options.start_s * 1e9)
        end_ns = reader.end_ns
        if options.end_s is not None:
            end_ns = min(end_ns, reader.start_ns + round(options.end_s * 1e9))
        if start_ns >= end_ns:
            length_s = (reader.end_ns - reader.start_ns) / 1e9
            raise PanopticError(
                f"There is nothing between {options.start_s} s and --end: the bag lasts {length_s:.3f} s. "
                "Choose another --start or --end."
            )
        if options.clouds is not None and len(topics) > 1:
            raise PanopticError("--points takes one image topic; label the others into other bags.")
        depth = None if options.clouds is None else DepthIndex.of(reader, options.clouds)
        results = result_channels(topics, options.outputs, with_clouds=depth is not None)
        names = {channel.topic for channel in results}
        copied = [channel for channel in reader.channels if _is_copied(channel, topics, options)]
        left_out = frozenset(channel.topic for channel in copied if channel.topic in names)
        warnings = list(reader.warnings)
        if left_out:
            warnings.append(
                f"{source}: not copied are {', '.join(sorted(left_out))}, as the new results have these names."
            )
        return BagPlan(
            source=source,
            topics=tuple(topics),
            channels=(*(channel for channel in copied if channel.topic not in left_out), *results),
            left_out=left_out,
            start_ns=start_ns,
            end_ns=end_ns,
            bag_start_ns=reader.start_ns,
            segments=_segments(reader, topics, start_ns, end_ns, options),
            depth=depth,
            warnings=tuple(warnings),
        )


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
        raise NoImagesError(f"The bag has no images. Its topics: {count_by_topic(reader.topics)}.")
    wrong = [name for name in names if name not in images]
    if wrong:
        raise PanopticError(f"The bag has no images on {', '.join(wrong)}, but on: {count_by_topic(images)}.")
    if not names and len(images) > 1:
        raise PanopticError(f"The bag has images on several topics; choose with --topic: {count_by_topic(images)}.")
    chosen = list(dict.fromkeys(names or images))
    for name in chosen:
        images[name].check_type()
    if not any(images[name].message_count for name in chosen):
        raise NoImagesError(f"There are no messages on {', '.join(chosen)}.")
    return chosen


class NoImagesError(PanopticError):
    """A bag has no images."""


def _is_copied(channel: BagChannel, topics: Sequence[str], options: LabelOptions) -> bool:
    return options.copied == "all" or (options.copied == "frames" and channel.topic in topics)


def _segments(
    reader: BagReader, topics: Sequence[str], start_ns: int, end_ns: int, options: LabelOptions
) -> tuple[Segment, ...]:
    """Cut the time between two limits into equal segments, depending on the number of frames."""
    frames = sum(reader.topics[topic].message_count for topic in topics) // options.every
    count = max(1, min(_MAX_SEGMENTS, frames // (_BATCHES * options.batch * len(topics)), end_ns - start_ns))
    # The bag's own times may leave out messages that were recorded late: only a time that was given is a limit.
    cuts: list[int | None] = [start_ns + (end_ns - start_ns) * i // count for i in range(count + 1)]
    cuts[0] = start_ns if options.start_s else None
    cuts[-1] = end_ns if options.end_s is not None else None
    skipped = _counts_before(reader, topics, cuts[:-1]) if options.every > 1 else [()] * count
    return tuple(Segment(i, cuts[i], cuts[i + 1], skipped[i]) for i in range(count))


def _counts_before(reader: BagReader, topics: Sequence[str], times_ns: Sequence[int | None]) -> list[tuple[int, ...]]:
    """Return the number of messages of each topic before each of several ascending times; None is the beginning."""
    starts = [-1 if time_ns is None else time_ns for time_ns in times_ns]
    within = [Counter[str]() for _ in range(len(starts) + 1)]  # before the first time, then behind each
    for message in reader.messages(topics):
        within[bisect.bisect(starts, message.time_ns)][message.topic] += 1
    before: Counter[str] = Counter()
    counts = []
    for counter in within[:-1]:
        before += counter
        counts.append(tuple(before[topic] for topic in topics))
    return counts
