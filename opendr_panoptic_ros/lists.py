# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Lists of instances and classes as standard messages, for the message classes of rclpy and of rosbags alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import numpy as np

from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

TypeOf: TypeAlias = Callable[[str], Any]
"""Returns the class of a message type, such as `vision_msgs/msg/Detection2D`."""

_LINE_LOOP = 2  # foxglove_msgs/PointsAnnotation
_THICKNESS_PX = 2.0
_MIN_FONT_PX = 12.0
_FONT_SHARE = 1 / 40  # of the image's height


def detection_array(prediction: PanopticPrediction, header: Any, type_of: TypeOf) -> Any:
    """Return the instances as a `vision_msgs/Detection2DArray`.

    Args:
        prediction: The prediction.
        header: Header of the message and of each detection.
        type_of: Returns the message classes.

    Returns:
        The message, whose classes are named by their labels. Ids are those of `instance_map`.
    """
    detections = [_detection(segment, header, type_of) for segment in prediction.segments if segment.is_thing]
    return type_of("vision_msgs/msg/Detection2DArray")(header=header, detections=detections)


def _detection(segment: Segment, header: Any, type_of: TypeOf) -> Any:
    x1, y1, x2, y2 = segment.box_xyxy_px
    point, pose_2d = type_of("vision_msgs/msg/Point2D"), type_of("vision_msgs/msg/Pose2D")
    box = type_of("vision_msgs/msg/BoundingBox2D")(
        center=pose_2d(position=point(x=(x1 + x2) / 2, y=(y1 + y2) / 2), theta=0.0),
        size_x=float(x2 - x1),
        size_y=float(y2 - y1),
    )
    pose = type_of("geometry_msgs/msg/Pose")(  # unknown: the origin
        position=type_of("geometry_msgs/msg/Point")(x=0.0, y=0.0, z=0.0),
        orientation=type_of("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=0.0, w=1.0),
    )
    result = type_of("vision_msgs/msg/ObjectHypothesisWithPose")(
        hypothesis=type_of("vision_msgs/msg/ObjectHypothesis")(class_id=segment.label, score=float(segment.score)),
        pose=type_of("geometry_msgs/msg/PoseWithCovariance")(pose=pose, covariance=np.zeros(36)),
    )
    return type_of("vision_msgs/msg/Detection2D")(header=header, results=[result], bbox=box, id=str(segment.id))


def image_annotations(prediction: PanopticPrediction, header: Any, type_of: TypeOf) -> Any:
    """Return the boxes of the instances with names, scores and ids as a `foxglove_msgs/ImageAnnotations`.

    Args:
        prediction: The prediction.
        header: Header of the image; its stamp is that of the annotations.
        type_of: Returns the message classes.

    Returns:
        The message, in the colours of the classes.
    """
    things = [segment for segment in prediction.segments if segment.is_thing]
    font_px = max(_MIN_FONT_PX, prediction.shape[0] * _FONT_SHARE)
    annotations = type_of("foxglove_msgs/msg/ImageAnnotations")
    return annotations(
        circles=[],
        points=[_outline(segment, prediction.classes, header.stamp, type_of) for segment in things],
        texts=[_text(segment, prediction.classes, header.stamp, font_px, type_of) for segment in things],
        **({"timestamp": header.stamp} if _has_field(annotations, "timestamp") else {}),
        **({"metadata": []} if _has_field(annotations, "metadata") else {}),
    )


def _outline(segment: Segment, classes: ClassTable, stamp: Any, type_of: TypeOf) -> Any:
    x1, y1, x2, y2 = map(float, segment.box_xyxy_px)
    point, annotation = type_of("foxglove_msgs/msg/Point2"), type_of("foxglove_msgs/msg/PointsAnnotation")
    metadata = {"class": segment.label, "score": f"{segment.score:.3f}", "id": str(segment.id)}
    return annotation(
        timestamp=stamp,
        type=_LINE_LOOP,
        points=[point(x=x, y=y) for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))],
        outline_color=_color(classes.palette[segment.class_id].tolist(), 1.0, type_of),
        outline_colors=[],
        fill_color=_color([0, 0, 0], 0.0, type_of),
        thickness=_THICKNESS_PX,
        **_metadata(annotation, metadata, type_of),
    )


def _text(segment: Segment, classes: ClassTable, stamp: Any, font_px: float, type_of: TypeOf) -> Any:
    left, top = map(float, segment.box_xyxy_px[:2])
    annotation = type_of("foxglove_msgs/msg/TextAnnotation")
    background = classes.palette[segment.class_id].tolist()
    is_bright = 0.299 * background[0] + 0.587 * background[1] + 0.114 * background[2] > 140  # luma of BT.601
    return annotation(
        timestamp=stamp,
        # The position is that of the lower left corner: above the box, or inside it where there is no room above.
        position=type_of("foxglove_msgs/msg/Point2")(x=left, y=top if top >= font_px else top + font_px),
        text=f"{segment.label} {segment.score:.2f} #{segment.id}",
        font_size=font_px,
        text_color=_color([0, 0, 0] if is_bright else [255, 255, 255], 1.0, type_of),
        background_color=_color(background, 1.0, type_of),
        **_metadata(annotation, {}, type_of),
    )


def _color(rgb: list[int], alpha: float, type_of: TypeOf) -> Any:
    red, green, blue = (value / 255 for value in rgb)
    return type_of("foxglove_msgs/msg/Color")(r=red, g=green, b=blue, a=alpha)


def _metadata(annotation: Any, values: dict[str, str], type_of: TypeOf) -> dict[str, Any]:
    """Return the field `metadata`, which annotations have since foxglove_msgs of March 2026."""
    if not _has_field(annotation, "metadata"):
        return {}
    pair = type_of("foxglove_msgs/msg/KeyValuePair")
    return {"metadata": [pair(key=key, value=value) for key, value in values.items()]}


def _has_field(message_class: Any, name: str) -> bool:
    if hasattr(message_class, "get_fields_and_field_types"):  # of rclpy
        return name in message_class.get_fields_and_field_types()
    return name in message_class.__dataclass_fields__


def label_info(
    classes: ClassTable, header: Any, type_of: TypeOf, *, score_threshold: float, keep_classes: Collection[str] = ()
) -> Any:
    """Return a `vision_msgs/LabelInfo` that names the values of `panoptic/semantic`.

    Args:
        classes: The classes of the results.
        header: Header of the message.
        type_of: Returns the message classes.
        score_threshold: Minimum detection score, 0 to 1.
        keep_classes: Names of the classes that are not filtered out; empty if all are kept.

    Returns:
        The message.
    """
    vision_class = type_of("vision_msgs/msg/VisionClass")
    # 255, void, is not listed: the message's definition keeps the largest value for pixels without a label.
    class_map = [
        vision_class(class_id=class_id, class_name=name)
        for class_id, name in zip(classes.ids, classes.names, strict=True)
        if not keep_classes or name in keep_classes
    ]
    return type_of("vision_msgs/msg/LabelInfo")(header=header, class_map=class_map, threshold=score_threshold)
