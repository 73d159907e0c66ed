# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading the results that a bag holds: frames, segmentations, labelled clouds, 3D boxes and latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.bags.reader import BagReader, Message, count_by_topic
from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE, read_frame, result_prefixes, stamp_ns
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE, typestore
from opendr_panoptic_ros.codec.cloud import decode_uint32, decode_xyz
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.points import CLOUD_DTYPE, boxes_of_things
from opendr_panoptic_ros.prediction import Segment

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
DETECTIONS_3D = "vision_msgs/msg/Detection3DArray"
FLOAT = "std_msgs/msg/Float32"
_DEPTH_ENCODINGS = ("16UC1", "32FC1")


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """A camera's image.

    Attributes:
        camera: Name of the camera: its image topic.
        time_ns: Stamp of the image, in ns.
        image_rgb: `(H, W, 3)` uint8 RGB.
    """

    camera: str
    time_ns: int
    image_rgb: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class RecordedSegments:
    """The segmentation of an image.

    Attributes:
        camera: Name of the camera.
        time_ns: Stamp of the image, in ns.
        segment_map: `(H, W)` int32, the id of each pixel's segment, 0 for void.
        segments: The segments.
    """

    camera: str
    time_ns: int
    segment_map: NDArray[np.int32]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, eq=False)
class RecordedCloud:
    """A labelled cloud.

    Attributes:
        camera: Name of the camera.
        time_ns: Stamp of the cloud, in ns.
        points: `(N, 3)` float32, in metres; finite.
        colors: `(N, 3)` uint8 RGB.
        labels: `(N,)` uint16, class ids, 255 for void.
        instances: `(N,)` uint32, ids of the things, 0 for none.
    """

    camera: str
    time_ns: int
    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    instances: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class RecordedBoxes:
    """The boxes of things in 3D.

    Attributes:
        camera: Name of the camera.
        time_ns: Stamp, in ns.
        centers_m: `(N, 3)` float64.
        sizes_m: `(N, 3)` float64.
        labels: Class name and id of each box.
    """

    camera: str
    time_ns: int
    centers_m: NDArray[np.float64]
    sizes_m: NDArray[np.float64]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class RecordedTime:
    """A duration that the node has published.

    Attributes:
        camera: Name of the camera.
        time_ns: When it was recorded, in ns.
        name: Name of the duration: the last part of its topic.
        value_ms: The duration.
    """

    camera: str
    time_ns: int
    name: str
    value_ms: float


Recorded: TypeAlias = "RecordedFrame | RecordedSegments | RecordedCloud | RecordedBoxes | RecordedTime"


def read_results(reader: BagReader, problems: list[str]) -> Iterator[Recorded]:
    """Yield the frames and the results of a bag in their recorded order.

    A result belongs to the camera whose image has the same stamp, or whose topic has the same namespace.

    Args:
        reader: The bag.
        problems: One line is added for each message that cannot be read.

    Yields:
        Frames and results. Depth images are left out. Where a bag has clouds and no boxes in 3D, which need vision_msgs
        while it is recorded, each cloud is followed by the boxes of its things.

    Raises:
        PanopticError: The bag has no results, or is damaged.
    """
    kinds = {SEGMENTATION_TYPE, POINT_CLOUD, DETECTIONS_3D, FLOAT}
    results = {t.name for t in reader.topics.values() if "/panoptic/" in t.name and t.type_name in kinds}
    if not any(reader.topics[name].type_name == SEGMENTATION_TYPE for name in results):
        raise PanopticError(
            f"The bag has no results, only {count_by_topic(reader.topics)}. Label it first: opendr-panoptic bag."
        )
    is_image = {t.name for t in reader.topics.values() if t.type_name in {IMAGE, COMPRESSED_IMAGE}}
    images = sorted(name for name in is_image if "/panoptic/" not in name and not _has_depth(reader, name))
    cameras = _Cameras(images)
    has_boxes = any(reader.topics[name].type_name == DETECTIONS_3D for name in results)
    names: dict[str, dict[int, str]] = {}
    for message in reader.messages([*images, *sorted(results)]):
        try:
            found = _read(message, cameras)
        except PanopticError as error:
            problems.append(f"{message.topic} at {message.time_ns} ns: {error}")
            continue
        yield found
        if isinstance(found, RecordedSegments):
            names[found.camera] = {segment.id: segment.label for segment in found.segments}
        elif isinstance(found, RecordedCloud) and not has_boxes:
            yield _boxes_of(found, names.get(found.camera, {}))


def _has_depth(reader: BagReader, topic: str) -> bool:
    """Return whether the first image of a topic is a depth image."""
    first = next(iter(reader.messages((topic,))), None)
    if first is None or first.type_name != IMAGE:
        return False
    try:
        content: Any = typestore().deserialize_cdr(first.data, IMAGE)
    except Exception:  # noqa: BLE001 - rosbags raises errors of any kind; the message is reported when it is read
        return False
    return str(content.encoding) in _DEPTH_ENCODINGS


class _Cameras:
    """Finds the camera of a result."""

    def __init__(self, topics: list[str]) -> None:
        self._by_prefix = {prefix: topic for topic, prefix in result_prefixes(topics).items()}
        self._by_stamp: dict[int, str] = {}

    def saw(self, topic: str, time_ns: int) -> None:
        self._by_stamp[time_ns] = topic
        if len(self._by_stamp) > 1000:
            self._by_stamp.pop(next(iter(self._by_stamp)))

    def of(self, topic: str, time_ns: int | None) -> str:
        prefix = f"{topic.partition('/panoptic/')[0]}/panoptic"
        if prefix not in self._by_prefix and time_ns in self._by_stamp:
            self._by_prefix[prefix] = self._by_stamp[time_ns]
        return self._by_prefix.get(prefix, prefix)


def _read(message: Message, cameras: _Cameras) -> Recorded:
    if message.type_name in {IMAGE, COMPRESSED_IMAGE}:
        frame = read_frame(message)
        time_ns = stamp_ns(frame.header)
        cameras.saw(message.topic, time_ns)
        return RecordedFrame(message.topic, time_ns, frame.image_rgb)
    try:
        content: Any = typestore().deserialize_cdr(message.data, message.type_name)
    except Exception as error:  # rosbags raises errors of any kind for bytes that are no such message
        raise PanopticError(f"{len(message.data)} bytes are no {message.type_name}, or were cut short.") from error
    if message.type_name == FLOAT:
        name = message.topic.rpartition("/")[2]
        return RecordedTime(cameras.of(message.topic, None), message.time_ns, name, float(content.data))
    time_ns = stamp_ns(content.header)
    camera = cameras.of(message.topic, time_ns)
    if message.type_name == SEGMENTATION_TYPE:
        segment_map = decode_values(content.segment_map, "32SC1").astype(np.int32, copy=False)
        return RecordedSegments(camera, time_ns, segment_map, segments_of(content.segments))
    if message.type_name == POINT_CLOUD:
        return _cloud(content, camera, time_ns)
    return _boxes(content, camera, time_ns)


def segments_of(rows: Any) -> tuple[Segment, ...]:
    """Return the segments of a segmentation message.

    Args:
        rows: Its `opendr_panoptic_ros/SegmentInfo` entries.
    """
    segments = []
    for row in rows:
        x1, y1, x2, y2 = (int(value) for value in row.box_xyxy_px)
        segments.append(
            Segment(
                id=int(row.id),
                class_id=int(row.class_id),
                label=row.label,
                is_thing=bool(row.is_thing),
                score=float(row.score),
                area_px=int(row.area_px),
                box_xyxy_px=(x1, y1, x2, y2),
            )
        )
    return tuple(segments)


def _cloud(content: Any, camera: str, time_ns: int) -> RecordedCloud:
    points = decode_xyz(content).reshape(-1, 3).astype(np.float32)
    values = {name: decode_uint32(content, name) for name in ("rgba", "label", "instance")}
    is_finite = np.isfinite(points).all(axis=1)
    rgba = values["rgba"][is_finite].astype(np.uint32)
    colors = np.stack([rgba >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)
    labels = values["label"][is_finite].astype(np.uint16)
    return RecordedCloud(camera, time_ns, points[is_finite], colors, labels, values["instance"][is_finite])


def _boxes_of(cloud: RecordedCloud, names: Mapping[int, str]) -> RecordedBoxes:
    points = np.zeros(len(cloud.points), CLOUD_DTYPE)
    for axis, name in enumerate("xyz"):
        points[name] = cloud.points[:, axis]
    points["instance"] = cloud.instances
    boxes = boxes_of_things(points)
    centers_m = np.array([box.center_m for box in boxes.values()], np.float64).reshape(-1, 3)
    sizes_m = np.array([box.size_m for box in boxes.values()], np.float64).reshape(-1, 3)
    labels = tuple(f"{names.get(instance, '')} {instance}".strip() for instance in boxes)
    return RecordedBoxes(cloud.camera, cloud.time_ns, centers_m, sizes_m, labels)


def _boxes(content: Any, camera: str, time_ns: int) -> RecordedBoxes:
    centers, sizes, labels = [], [], []
    for detection in content.detections:
        center, size = detection.bbox.center.position, detection.bbox.size
        centers.append((center.x, center.y, center.z))
        sizes.append((size.x, size.y, size.z))
        label = detection.results[0].hypothesis.class_id if len(detection.results) else ""
        labels.append(f"{label} {detection.id}".strip())
    centers_m, sizes_m = (np.array(rows, np.float64).reshape(-1, 3) for rows in (centers, sizes))
    return RecordedBoxes(camera, time_ns, centers_m, sizes_m, tuple(labels))
