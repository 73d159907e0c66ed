# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""From a PanopticPrediction to the messages of the node's image outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.codec.compressed import encode_jpeg
from opendr_panoptic_ros.codec.image import encode
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

CAMERA_INFO = "camera_info"
LABEL_INFO = "label_info"


@dataclass(frozen=True)
class Answer:
    """A frame and its result: all that an output is made of.

    image_rgb: `(H, W, 3)` uint8. header: of the camera's message. camera_info: what the camera said of itself, if it
    did. visualization, opacity, jpeg_quality: the parameters.
    """

    image_rgb: NDArray[np.uint8]
    prediction: PanopticPrediction
    header: Header
    camera_info: CameraInfo | None = None
    visualization: str = "overlay"
    opacity: float = 0.5
    jpeg_quality: int = 80

    @cached_property
    def rgb_visualization(self) -> NDArray[np.uint8]:
        """`(H, W, 3)` uint8: the picture for people, which two outputs carry."""
        if self.visualization == "detailed":
            return visualize.detailed(self.image_rgb, self.prediction)
        return visualize.overlay(self.image_rgb, self.prediction, opacity=self.opacity)


def _segmentation(answer: Answer) -> Any:
    from opendr_panoptic_ros.msg import PanopticSegmentation, SegmentInfo

    message = PanopticSegmentation(header=copy.deepcopy(answer.header))
    message.segment_map = encode(answer.prediction.segment_map, "32SC1", answer.header)
    message.segments = [
        SegmentInfo(
            id=segment.id,
            class_id=segment.class_id,
            label=segment.label,
            is_thing=segment.is_thing,
            score=segment.score,
            area_px=segment.area_px,
            box_xyxy_px=segment.box_xyxy_px,
        )
        for segment in answer.prediction.segments
    ]
    return message


def _camera_info(answer: Answer) -> CameraInfo | None:
    if answer.camera_info is None:
        return None
    message = copy.copy(answer.camera_info)
    message.header = answer.header
    return message


def _image(encoding: str, pixels: Callable[[Answer], NDArray[Any]]) -> Callable[[Answer], Image]:
    return lambda answer: encode(pixels(answer), encoding, answer.header)


MAKE_MESSAGE: dict[str, Callable[[Answer], Any]] = {
    "semantic": _image("mono8", lambda answer: answer.prediction.semantic_map),
    "instance": _image("mono16", lambda answer: answer.prediction.instance_map),
    "panoptic": _image("32SC1", lambda answer: answer.prediction.panoptic_ids),
    "semantic_color": _image("rgb8", lambda answer: visualize.semantic_color(answer.prediction)),
    "instance_color": _image("rgb8", lambda answer: visualize.instance_color(answer.prediction)),
    "rgb_visualization": _image("rgb8", lambda answer: answer.rgb_visualization),
    "rgb_visualization/compressed": lambda answer: encode_jpeg(
        answer.rgb_visualization, answer.header, quality=answer.jpeg_quality
    ),
    CAMERA_INFO: _camera_info,
    "segmentation": _segmentation,
}
"""Topic below `panoptic/` to what makes its message, or None if there is nothing to say.

Each message carries the frame's header.
"""


def message_types() -> dict[str, type]:
    """Topic below `panoptic/` to message type; without `segmentation` when this package's messages are not built."""
    special = {"rgb_visualization/compressed": CompressedImage, CAMERA_INFO: CameraInfo}
    types: dict[str, type] = {topic: special.get(topic, Image) for topic in MAKE_MESSAGE if topic != "segmentation"}
    try:
        from opendr_panoptic_ros.msg import PanopticSegmentation

        serialize_message(PanopticSegmentation())  # needs the compiled libraries, as publishing does
    except Exception:  # noqa: BLE001 - not built, not sourced, or built for another Python: each fails differently
        return types
    return {**types, "segmentation": PanopticSegmentation}


def label_info(classes: ClassTable, *, score_threshold: float, header: Header) -> Any:
    """A `vision_msgs/LabelInfo` that names the values of `panoptic/semantic`; None where vision_msgs is missing."""
    try:
        from vision_msgs.msg import LabelInfo, VisionClass

        serialize_message(LabelInfo())  # as above
    except Exception:  # noqa: BLE001 - as above
        return None
    message = LabelInfo(header=header, threshold=score_threshold)
    # 255, void, is not listed: the message's definition keeps the largest value for what has no label.
    message.class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(classes.names)]
    return message
