# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The frames of a labelled bag together with their segmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opendr_panoptic_ros.bags.reader import BagReader, Message, count_by_topic
from opendr_panoptic_ros.bags.recorded import segments_of
from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE, BagFrame, read_frame, result_prefixes, stamp_ns
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE, typestore
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.errors import ConfigError, PanopticError, quoted
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

_SEGMENTATION = "/segmentation"
_WAITING_IMAGES = 30  # of one camera: the node publishes the result of a frame at most a few frames later


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One segmented frame of a bag.

    Attributes:
        camera: Name of the camera: its image topic.
        time_ns: Stamp of the image, in ns.
        number: Number of the frame among the segmented frames of its camera, from 0.
        segments: Its segments.
    """

    camera: str
    time_ns: int
    number: int
    segments: tuple[Segment, ...]
    _image: Message | None
    _segment_map: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return int(self._segment_map.height), int(self._segment_map.width)

    def read(self, classes: ClassTable) -> tuple[BagFrame, PanopticPrediction]:
        """Decode the image and the segment map.

        Args:
            classes: The classes of the segmentation.

        Returns:
            The frame and its prediction, of equal size.

        Raises:
            PanopticError: The image is missing or cannot be decoded, has another size than the segment map, or the
                segments have other classes.
        """
        if self._image is None:
            raise PanopticError("the bag has no image with the stamp of this segmentation")
        frame = read_frame(self._image)
        segment_map = decode_values(self._segment_map, "32SC1").astype(np.int32, copy=False)
        if segment_map.shape != frame.image_rgb.shape[:2]:
            raise PanopticError(f"the image is {frame.image_rgb.shape[:2]} pixels, its labels are {segment_map.shape}")
        check_classes(self.segments, classes)
        return frame, PanopticPrediction(segment_map, self.segments, classes)


def check_classes(segments: Sequence[Segment], classes: ClassTable) -> None:
    """Check that segments have the classes of a table.

    Args:
        segments: The segments.
        classes: The classes that they must have.

    Raises:
        ConfigError: A segment has a class that the table lacks, or under another name or kind.
    """
    known = {(i, name, classes.is_thing(i)) for i, name in zip(classes.ids, classes.names, strict=True)}
    for segment in segments:
        if (segment.class_id, segment.label, segment.is_thing) not in known:
            raise ConfigError(
                f"The bag has the class {quoted(segment.label)} with the id {segment.class_id}; expected one of "
                f"{', '.join(classes.names)}. Give --config and --label-map as for the labelling."
            )


def labelled_frames(
    reader: BagReader, problems: list[str], topics: Sequence[str] = (), *, on_time: Callable[[int], None] | None = None
) -> Iterator[LabelledFrame]:
    """Yield the segmented frames of a bag in their recorded order, without decoding their images.

    A segmentation belongs to the image of its camera that has the same stamp.

    Args:
        reader: A bag that `opendr-panoptic bag` has labelled, or that holds images and the results of the node.
        problems: One line is added for each segmentation that cannot be read.
        topics: The image topics to use; all that have segmentations when empty.
        on_time: Called with the record time of each message in ns.

    Yields:
        The frames.

    Raises:
        PanopticError: A topic has no segmentations, or the bag is damaged.
    """
    candidates = segmented_cameras(reader, topics)
    images: dict[str, dict[int, Message]] = {camera: {} for cameras in candidates.values() for camera in cameras}
    numbers = dict.fromkeys(images, 0)
    for message in reader.messages([*candidates, *images]):
        if on_time is not None:
            on_time(message.time_ns)
        try:
            content: Any = typestore().deserialize_cdr(message.data, message.type_name)
        except Exception:  # noqa: BLE001 - rosbags raises errors of any kind for bytes that are no such message
            if message.topic in candidates:
                problems.append(f"{message.topic} at {message.time_ns} ns: is truncated or damaged")
            continue
        time_ns = stamp_ns(content.header)
        if message.topic in images:
            waiting = images.pop(message.topic)
            waiting[time_ns] = message
            if len(waiting) > _WAITING_IMAGES:
                waiting.pop(next(iter(waiting)))
            images[message.topic] = waiting  # the camera whose image came last is the last one
        else:
            cameras = candidates[message.topic]
            camera = next((c for c in reversed(images) if c in cameras and time_ns in images[c]), cameras[0])
            image = images[camera].pop(time_ns, None)
            segments = segments_of(content.segments)
            if topics and camera not in topics:
                continue
            yield LabelledFrame(camera, time_ns, numbers[camera], segments, image, content.segment_map)
            numbers[camera] += 1


def segmented_cameras(reader: BagReader, topics: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the topics of segmentations of a bag.

    Args:
        reader: The bag.
        topics: Image topics; all when empty.

    Returns:
        By topic of segmentations, the image topics that they can belong to: usually one. Where one of the image topics
        of a namespace was labelled, its results are in `NAMESPACE/panoptic`, which does not tell which one it was.

    Raises:
        PanopticError: One of `topics` has no segmentations, or there are none in the bag.
    """
    images = [t.name for t in reader.topics.values() if t.type_name in {IMAGE, COMPRESSED_IMAGE}]
    found: dict[str, list[str]] = {}
    for image, prefix in result_prefixes([name for name in images if "/panoptic/" not in name]).items():
        namespace = image.removesuffix("/compressed").rpartition("/")[0]
        for name in (f"{prefix}{_SEGMENTATION}", f"{namespace}/panoptic{_SEGMENTATION}"):
            if name in reader.topics and reader.topics[name].type_name == SEGMENTATION_TYPE:
                found.setdefault(name, []).append(image)
                break
    known = {image for candidates in found.values() for image in candidates}
    missing = [topic for topic in topics if topic not in known]
    if missing or not found:
        raise PanopticError(
            f"The bag has no segmentations of {', '.join(missing) or 'its images'}, only "
            f"{count_by_topic(reader.topics)}. Label it first: opendr-panoptic bag."
        )
    return {name: candidates for name, candidates in found.items() if not topics or set(candidates) & set(topics)}
