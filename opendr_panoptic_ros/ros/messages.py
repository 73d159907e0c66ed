# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between ROS messages and arrays: the camera's images, and the node's outputs."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_panoptic_ros.codec.compressed import encode_jpeg
from opendr_panoptic_ros.codec.image import ENCODINGS, decode, encode, refusal
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS
from opendr_panoptic_ros.outputs import (
    CAMERA_INFOS,
    COMPRESSED,
    LABEL_INFO,
    LABEL_INFO_TYPE,
    LISTS,
    OUTPUTS,
    SEGMENTATION,
    RenderContext,
)


@dataclass(frozen=True, kw_only=True)
class MessageContext(RenderContext):
    """Everything that the messages of a frame are made of.

    Attributes:
        header: Header of the camera's message; every output carries it.
        camera_info: The camera's latest CameraInfo at the time of the frame, or None.
        jpeg_quality: Quality of the compressed outputs, 1 to 100.
    """

    header: Header
    camera_info: CameraInfo | None
    jpeg_quality: int


def image_message(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """Return an image message with a copy of the pixels and of the header.

    Args:
        pixels: The pixels, of the shape and dtype that `encoding` names.
        encoding: One that `codec.image.encode` writes: rgb8, mono8, mono16 or 32SC1.
        header: Header of the message.

    Returns:
        The message.

    Raises:
        ImageEncodingError: If the encoding is another one, or the pixels do not fit it.
    """
    fields = encode(pixels, encoding)
    message = Image(header=copy.deepcopy(header))
    message.height, message.width, message.encoding = fields.height, fields.width, fields.encoding
    message.is_bigendian, message.step = fields.is_bigendian, fields.step
    # Appending to the message's own array.array copies once. Assigning a list or bytes checks or copies each element.
    message.data.frombytes(fields.data.data)
    return message


def jpeg_message(pixels_rgb: NDArray[np.uint8], header: Header, *, quality: int) -> CompressedImage:
    """Return a compressed image message that holds an image as JPEG.

    Args:
        pixels_rgb: The image, `(H, W, 3)` uint8 RGB.
        header: Header of the message; it is copied.
        quality: JPEG quality, 1 to 100.

    Returns:
        The message.
    """
    fields = encode_jpeg(pixels_rgb, quality=quality)
    message = CompressedImage(header=copy.deepcopy(header), format=fields.format)
    message.data.frombytes(fields.data.data)  # one copy, as above
    return message


def decode_image(message: Image, *, max_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[np.uint8]:
    """Return the pixels of an image message; an encoding that the codec does not know is passed to cv_bridge.

    Args:
        message: The message. It is not modified.
        max_pixels: Largest number of pixels; a larger image is refused.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB.

    Raises:
        ImageEncodingError: If the encoding is unknown to the codec, and to cv_bridge where that is installed; or if
            the data do not fit the other fields.
    """
    bridge = None if message.encoding in ENCODINGS else _cv_bridge()
    if bridge is None:
        return decode(message, max_pixels=max_pixels)
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:
        raise ImageEncodingError(f"{refusal(message.encoding)} cv_bridge cannot convert it either: {error}") from error


@cache
def _cv_bridge() -> Any:
    """Return the converter of cv_bridge, or None where it is missing, or is compiled for another NumPy."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:  # noqa: BLE001 - compiled for another NumPy it fails in several ways
        return None


def _image(topic: str) -> Callable[[MessageContext], Image]:
    output = OUTPUTS[topic]
    return lambda context: image_message(output.pixels(context), output.encoding, context.header)


def _jpeg(topic: str) -> Callable[[MessageContext], CompressedImage]:
    output = OUTPUTS[topic]
    return lambda context: jpeg_message(output.pixels(context), context.header, quality=context.jpeg_quality)


def _camera_info(context: MessageContext) -> CameraInfo | None:
    if context.camera_info is None:
        return None
    message = copy.copy(context.camera_info)
    message.header = context.header
    return message


def _segmentation(context: MessageContext) -> Any:
    from opendr_panoptic_ros.msg import PanopticSegmentation, SegmentInfo

    message = PanopticSegmentation(header=copy.deepcopy(context.header))
    message.segment_map = image_message(context.prediction.segment_map, "32SC1", context.header)
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
        for segment in context.prediction.segments
    ]
    return message


def ros_type(type_name: str) -> Any:
    """Return the class of a message type.

    Args:
        type_name: Name of the type, such as `vision_msgs/msg/LabelInfo`.

    Returns:
        The class.

    Raises:
        ImportError: The package is not installed or has no such type, or cannot be loaded.
    """
    package, _, name = type_name.split("/")
    module = importlib.import_module(f"{package}.msg")
    if not hasattr(module, name):
        raise ImportError(f"cannot import name {name!r} from {package}.msg")
    return getattr(module, name)


def _list(topic: str) -> Callable[[MessageContext], Any]:
    return lambda context: LISTS[topic].make(context.prediction, context.header, ros_type)


MAKE_MESSAGE: dict[str, Callable[[MessageContext], Any]] = {
    **{topic: _image(topic) for topic in OUTPUTS},
    **{compressed: _jpeg(topic) for compressed, topic in COMPRESSED.items()},
    **dict.fromkeys(CAMERA_INFOS, _camera_info),
    SEGMENTATION: _segmentation,
    **{topic: _list(topic) for topic in LISTS},
}
"""Makes the message of each topic below `panoptic/`, or None where there is nothing to publish."""


def make_message(topic: str, context: MessageContext) -> Any:
    """Return the message of an output.

    Args:
        topic: Topic below `panoptic/`, a key of `MAKE_MESSAGE`.
        context: The frame and its result.

    Returns:
        The message, with the header of the frame; None where there is nothing to publish.

    Raises:
        PanopticError: If there is no such output.
    """
    if topic not in MAKE_MESSAGE:
        raise PanopticError(f"There is no output panoptic/{topic}; expected one of {', '.join(MAKE_MESSAGE)}.")
    return MAKE_MESSAGE[topic](context)


class MessageTypes(NamedTuple):
    """The message types that this ROS installation has.

    Attributes:
        outputs: Message type by topic below `panoptic/`, for the outputs made of each frame that can be published.
        unavailable: The topics below `panoptic/` that cannot be published, with the exception that is the reason.
    """

    outputs: dict[str, type]
    unavailable: dict[str, Exception]


def message_types() -> MessageTypes:
    """Return the message types of the outputs.

    Returns:
        The types. `segmentation` is unavailable where the messages of this package are not built or not sourced,
        `label_info` and `detections` where vision_msgs is not installed, `annotations` where foxglove_msgs is not.
    """
    outputs: dict[str, type] = dict.fromkeys(OUTPUTS, Image)
    outputs |= dict.fromkeys(COMPRESSED, CompressedImage) | dict.fromkeys(CAMERA_INFOS, CameraInfo)
    unavailable: dict[str, Exception] = {}
    try:
        from opendr_panoptic_ros.msg import PanopticSegmentation

        serialize_message(PanopticSegmentation())  # needs the compiled libraries, as publishing does
        outputs[SEGMENTATION] = PanopticSegmentation
    except Exception as error:  # noqa: BLE001 - not built, not sourced, or built for another Python
        unavailable[SEGMENTATION] = error
    for topic, type_name in {LABEL_INFO: LABEL_INFO_TYPE, **{t: row.type_name for t, row in LISTS.items()}}.items():
        reason = _loading_error(type_name)
        if reason is not None:
            unavailable[topic] = reason
        elif topic in LISTS:
            outputs[topic] = ros_type(type_name)
    return MessageTypes(outputs, unavailable)


def _loading_error(type_name: str) -> Exception | None:
    """Return the error of loading a message type of another package, or None if it can be published."""
    try:
        serialize_message(ros_type(type_name)())  # needs the compiled libraries, as publishing does
    except Exception as error:  # noqa: BLE001 - not installed, or built for another Python
        return error
    return None
