"""From a PanopticPrediction to the messages of the node's image outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.ros.image_codec import encode


@dataclass(frozen=True)
class Answer:
    """A frame and its result: all that an output is made of.

    image_rgb: `(H, W, 3)` uint8. header: of the camera's message. visualization, opacity: the parameters.
    """

    image_rgb: NDArray[np.uint8]
    prediction: PanopticPrediction
    header: Header
    visualization: str = "overlay"
    opacity: float = 0.5


def _rgb_visualization(answer: Answer) -> NDArray[np.uint8]:
    if answer.visualization == "detailed":
        return visualize.detailed(answer.image_rgb, answer.prediction)
    return visualize.overlay(answer.image_rgb, answer.prediction, opacity=answer.opacity)


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


def _image(encoding: str, pixels: Callable[[Answer], NDArray[Any]]) -> Callable[[Answer], Image]:
    return lambda answer: encode(pixels(answer), encoding, answer.header)


MAKE_MESSAGE: dict[str, Callable[[Answer], Any]] = {
    "semantic": _image("mono8", lambda answer: answer.prediction.semantic_map),
    "instance": _image("mono16", lambda answer: answer.prediction.instance_map),
    "panoptic": _image("32SC1", lambda answer: answer.prediction.panoptic_ids),
    "semantic_color": _image("rgb8", lambda answer: visualize.semantic_color(answer.prediction)),
    "instance_color": _image("rgb8", lambda answer: visualize.instance_color(answer.prediction)),
    "rgb_visualization": _image("rgb8", _rgb_visualization),
    "segmentation": _segmentation,
}
"""Topic below `panoptic/` to what makes its message. Each message carries a copy of the frame's header."""


def message_types() -> dict[str, type]:
    """Topic below `panoptic/` to message type; without `segmentation` when this package's messages are not built."""
    types: dict[str, type] = {topic: Image for topic in MAKE_MESSAGE if topic != "segmentation"}
    try:
        from opendr_panoptic_ros.msg import PanopticSegmentation

        serialize_message(PanopticSegmentation())  # needs the compiled libraries, as publishing does
    except Exception:  # noqa: BLE001 - not built, not sourced, or built for another Python: each fails differently
        return types
    return {**types, "segmentation": PanopticSegmentation}
