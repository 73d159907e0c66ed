# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""From a PanopticPrediction to the serialised messages of a bag, equal to those the node publishes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.bags.files import COMPRESSED_IMAGE, IMAGE, Message, typestore
from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.errors import ImageEncodingError
from opendr_panoptic_ros.prediction import PanopticPrediction

SEGMENTATION = "opendr_panoptic_ros/msg/PanopticSegmentation"


class Frame(NamedTuple):
    """A camera's message and the picture in it. header: of rosbags' kind. image_rgb: `(H, W, 3)` uint8."""

    message: Message
    header: Any
    image_rgb: NDArray[np.uint8]


def read_frame(message: Message) -> Frame:
    """The picture in a message of type Image or CompressedImage.

    Raises ImageEncodingError when it cannot be decoded.
    """
    content: Any
    try:
        content = typestore().deserialize_cdr(message.data, message.type_name)
    except Exception as error:  # rosbags raises errors of any kind for bytes that are no such message
        raise ImageEncodingError(f"{len(message.data)} bytes are no {message.type_name}, or were cut short.") from error
    read = decode_compressed if message.type_name == COMPRESSED_IMAGE else decode
    return Frame(message, content.header, read(content))


_Pixels = Callable[[Frame, PanopticPrediction], NDArray[Any]]

_IMAGES: dict[str, tuple[str, _Pixels]] = {
    "semantic": ("mono8", lambda _, prediction: prediction.semantic_map),
    "instance": ("mono16", lambda _, prediction: prediction.instance_map),
    "panoptic": ("32SC1", lambda _, prediction: prediction.panoptic_ids),
    "semantic_color": ("rgb8", lambda _, prediction: visualize.semantic_color(prediction)),
    "instance_color": ("rgb8", lambda _, prediction: visualize.instance_color(prediction)),
    "rgb_visualization": ("rgb8", lambda frame, prediction: visualize.overlay(frame.image_rgb, prediction)),
}
LABELS = ("semantic", "instance", "panoptic", "segmentation")
COLORS = ("semantic_color", "instance_color")
VISUALIZATION = "rgb_visualization"
TYPE_NAMES = dict.fromkeys(_IMAGES, IMAGE) | {"segmentation": SEGMENTATION}
"""Topic below `panoptic/` to its type."""


def serialized(output: str, frame: Frame, prediction: PanopticPrediction) -> memoryview:
    """The message of an output, one of TYPE_NAMES, for a frame; it carries the frame's header."""
    if output == "segmentation":
        message = _segmentation(frame, prediction)
    else:
        encoding, pixels = _IMAGES[output]
        message = _image(frame, encoding, pixels(frame, prediction))
    return typestore().serialize_cdr(message, TYPE_NAMES[output])


def _image(frame: Frame, encoding: str, pixels: NDArray[Any]) -> Any:
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    height, width = pixels.shape[:2]
    data = pixels.reshape(-1).view(np.uint8)
    return typestore().types[IMAGE](frame.header, height, width, encoding, 0, pixels.strides[0], data)


def _segmentation(frame: Frame, prediction: PanopticPrediction) -> Any:
    types = typestore().types
    segments = [
        types["opendr_panoptic_ros/msg/SegmentInfo"](
            id=s.id,
            class_id=s.class_id,
            label=s.label,
            is_thing=s.is_thing,
            score=s.score,
            area_px=s.area_px,
            box_xyxy_px=np.array(s.box_xyxy_px, np.int32),
        )
        for s in prediction.segments
    ]
    return types[SEGMENTATION](frame.header, _image(frame, "32SC1", prediction.segment_map), segments)
