# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Messages of the points node: labelled clouds, boxes in 3D, and markers for RViz."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header

from opendr_panoptic_ros.codec.cloud import CloudFields
from opendr_panoptic_ros.points import Box3D

POINTS, DETECTIONS_3D, MARKERS = "points", "detections_3d", "markers"
"""Topics below `panoptic/`."""

_OPACITY = 0.4


@dataclass(frozen=True)
class LabelledBox:
    """The box of a thing, with what is known of the thing.

    Attributes:
        box: The box.
        label: Name of its class.
        score: Detection score, 0 to 1.
        color: RGB, 0 to 255.
    """

    box: Box3D
    label: str
    score: float
    color: tuple[int, int, int]


def labelled_boxes(boxes: Mapping[int, Box3D], segments: Any, palette: NDArray[np.uint8]) -> list[LabelledBox]:
    """Return the boxes together with the rows of the segmentation they belong to.

    Args:
        boxes: Boxes by instance id.
        segments: The `SegmentInfo` messages of the segmentation.
        palette: `(256, 3)` uint8 RGB, the colour of each class id.

    Returns:
        The boxes, in the order of the ids.
    """
    rows = {segment.id: segment for segment in segments}
    return [
        LabelledBox(box, rows[i].label, rows[i].score, tuple(palette[rows[i].class_id].tolist()))
        for i, box in boxes.items()
    ]


def cloud_message(cloud: CloudFields, header: Header) -> PointCloud2:
    """Return a cloud message.

    Args:
        cloud: The content.
        header: Its header; it is copied.

    Returns:
        The message.
    """
    message = PointCloud2(header=copy.deepcopy(header), height=cloud.height, width=cloud.width)
    message.fields = [
        PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count) for f in cloud.fields
    ]
    message.is_bigendian, message.is_dense = cloud.is_bigendian, cloud.is_dense
    message.point_step, message.row_step = cloud.point_step, cloud.row_step
    message.data.frombytes(cloud.data.data)  # as in messages.image_message: anything else would be slow
    return message


def detections_message(boxes: list[LabelledBox], header: Header) -> Any:
    """Return a `vision_msgs/Detection3DArray`. Needs vision_msgs.

    Args:
        boxes: The boxes.
        header: Header of the message and of each detection.

    Returns:
        The message. The id of a detection is that of the instance, its hypothesis names the class.
    """
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    message = Detection3DArray(header=header)
    for labelled in boxes:
        detection = Detection3D(header=header, id=str(labelled.box.instance))
        detection.bbox.center, detection.bbox.size = _pose(labelled.box), _size(labelled.box)
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = labelled.label, labelled.score
        hypothesis.pose.pose = _pose(labelled.box)
        detection.results = [hypothesis]
        message.detections.append(detection)
    return message


def markers_message(boxes: list[LabelledBox], header: Header) -> Any:
    """Return a `visualization_msgs/MarkerArray`. Needs visualization_msgs.

    Args:
        boxes: The boxes.
        header: Header of each marker.

    Returns:
        The message: a marker that deletes all earlier ones, then a cube and a text for each box.
    """
    from visualization_msgs.msg import Marker, MarkerArray

    message = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    for labelled in boxes:
        red, green, blue = (channel / 255 for channel in labelled.color)
        cube = Marker(header=header, ns="things", id=labelled.box.instance & 0x7FFFFFFF, type=Marker.CUBE)
        cube.pose, cube.scale = _pose(labelled.box), _size(labelled.box)
        cube.color = ColorRGBA(r=red, g=green, b=blue, a=_OPACITY)
        text = Marker(header=header, ns="names", id=cube.id, type=Marker.TEXT_VIEW_FACING)
        text.text = f"{labelled.label} {labelled.box.instance}"
        text.pose = _pose(labelled.box)
        text.pose.position.y -= labelled.box.size_m[1] / 2 + 0.3  # above it: y points down
        text.scale.z = 0.4
        text.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        message.markers += [cube, text]
    return message


def _pose(box: Box3D) -> Pose:
    x, y, z = box.center_m
    return Pose(position=Point(x=x, y=y, z=z))


def _size(box: Box3D) -> Vector3:
    # RViz warns about a cube with a side of 0.
    x, y, z = (max(side, 0.01) for side in box.size_m)
    return Vector3(x=x, y=y, z=z)


def point_types() -> tuple[dict[str, type], dict[str, Exception]]:
    """Return the message types of the outputs that this ROS installation has.

    Returns:
        Message type by topic below `panoptic/`; and the topics that cannot be published, with the exception that
        explains it.
    """
    types: dict[str, type] = {POINTS: PointCloud2}
    unavailable: dict[str, Exception] = {}
    try:
        from vision_msgs.msg import Detection3DArray

        serialize_message(Detection3DArray())  # needs the compiled libraries, as publishing does
        types[DETECTIONS_3D] = Detection3DArray
    except Exception as error:  # noqa: BLE001 - not installed, or built for another Python
        unavailable[DETECTIONS_3D] = error
    try:
        from visualization_msgs.msg import MarkerArray

        serialize_message(MarkerArray())  # as above
        types[MARKERS] = MarkerArray
    except Exception as error:  # noqa: BLE001 - as above
        unavailable[MARKERS] = error
    return types, unavailable
