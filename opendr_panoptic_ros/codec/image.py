# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Between `sensor_msgs/Image` and NumPy arrays.

`decode` reads messages of ROS and of the `rosbags` library alike, so it needs no ROS installation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ImageEncodingError

if TYPE_CHECKING:
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

Pixels = NDArray[np.uint8]


class ImageMessage(Protocol):
    """The fields of `sensor_msgs/Image` that `decode` reads. `data`: anything with the buffer interface."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


@dataclass(frozen=True)
class _Layout:
    """How one encoding stores its pixels: `bytes_per_px` of them, and what makes RGB of `(H, W, bytes_per_px)`.

    even_width: pixels are stored in pairs.
    """

    bytes_per_px: int
    to_rgb: Callable[[Pixels], Pixels]
    even_width: bool = False


def decode(message: ImageMessage) -> Pixels:
    """The picture in an image message, `(H, W, 3)` uint8, RGB.

    The message stays as it is; for rgb8 and rgba8 the result is a read-only view into its data. Rows may be padded
    (`step`), `is_bigendian` is obeyed. 16-bit grey values lose their low byte; alpha is left out; 8UC3 and 8UC4 are
    taken for BGR and BGRA, as RViz does. An encoding not listed here is passed to cv_bridge, if that is installed.

    Raises ImageEncodingError for an unknown encoding and for data that does not fit the message's own header.
    """
    height, width = int(message.height), int(message.width)
    if height < 1 or width < 1:
        raise ImageEncodingError(f"The image is {width}x{height} pixels; expected at least 1x1.")
    layouts = _BIG_ENDIAN if message.is_bigendian else _LITTLE_ENDIAN
    layout = layouts.get(message.encoding)
    if layout is None:
        return _decode_with_cv_bridge(message)
    stored_width = width + width % 2 if layout.even_width else width
    row_bytes = stored_width * layout.bytes_per_px
    step = int(message.step)
    if step < row_bytes:
        raise ImageEncodingError(
            f"step is {step} bytes; a row of {width} pixels {message.encoding} takes at least {row_bytes}. "
            "Set step to the length of a row in bytes, padding included."
        )
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < step * height:
        raise ImageEncodingError(
            f"data holds {len(data)} bytes; {height} rows of step {step} take {step * height}. "
            "The message was cut short, or its height or step is wrong."
        )
    shape, strides = (height, stored_width, layout.bytes_per_px), (step, layout.bytes_per_px, 1)
    stored = np.ndarray(shape, np.uint8, data, strides=strides)
    stored.flags.writeable = False
    return layout.to_rgb(stored)[:, :width]


def encode(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """An image message that holds a copy of `pixels`, with a copy of `header`, no padding, little-endian.

    encoding and pixels: rgb8 `(H, W, 3)` uint8, mono8 `(H, W)` uint8, mono16 `(H, W)` uint16, 32SC1 `(H, W)` int32.
    Raises ImageEncodingError for any other encoding, or when `pixels` has another shape or dtype.
    """
    from sensor_msgs.msg import Image

    if encoding not in _ENCODABLE:
        raise ImageEncodingError(f"The encoding is {encoding!r}; expected one of {', '.join(_ENCODABLE)}.")
    dtype, channels = _ENCODABLE[encoding]
    if pixels.dtype != dtype or pixels.shape[2:] != channels or pixels.ndim != 2 + len(channels) or pixels.size == 0:
        shape = ", ".join(["H", "W", *map(str, channels)])
        raise ImageEncodingError(
            f"The pixels are {pixels.dtype} of shape {pixels.shape}; {encoding} needs {dtype} of shape ({shape})."
        )
    pixels = np.ascontiguousarray(pixels, dtype.newbyteorder("<"))
    message = Image(header=copy.deepcopy(header))
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels.strides[0]
    # Straight into the message's own array.array: one copy. Assigning a list or bytes checks or copies each element.
    message.data.frombytes(pixels.reshape(-1).view(np.uint8).data)
    return message


def _convert(code: int) -> Callable[[Pixels], Pixels]:
    """OpenCV's conversion `code`. Its loops are vectorised: 30 times faster than turning the channels with NumPy."""
    return lambda stored: np.asarray(cv2.cvtColor(stored, code), np.uint8)


def _bayer(code: int) -> Callable[[Pixels], Pixels]:
    """OpenCV's bilinear demosaicing. It leaves images with a side below 3 pixels black; those are continued first."""
    to_rgb = _convert(code)

    def demosaic(stored: Pixels) -> Pixels:
        if min(stored.shape[:2]) >= 3:
            return to_rgb(stored)
        # Mirroring at an even distance keeps the pattern's phase.
        continued = np.pad(stored[:, :, 0], 2, mode="reflect")
        return to_rgb(continued)[2:-2, 2:-2]

    return demosaic


_RGB = _Layout(3, lambda stored: stored)
_RGBA = _Layout(4, lambda stored: stored[:, :, :3])
_BGR = _Layout(3, _convert(cv2.COLOR_BGR2RGB))
_BGRA = _Layout(4, _convert(cv2.COLOR_BGRA2RGB))
_GREY = _Layout(1, _convert(cv2.COLOR_GRAY2RGB))
_GREY_16_LITTLE = _Layout(2, lambda stored: _GREY.to_rgb(stored[:, :, 1]))  # the high byte
_GREY_16_BIG = _Layout(2, lambda stored: _GREY.to_rgb(stored[:, :, 0]))
_UYVY = _Layout(2, _convert(cv2.COLOR_YUV2RGB_UYVY), even_width=True)
_YUYV = _Layout(2, _convert(cv2.COLOR_YUV2RGB_YUY2), even_width=True)

_LITTLE_ENDIAN = {
    "rgb8": _RGB,
    "bgr8": _BGR,
    "rgba8": _RGBA,
    "bgra8": _BGRA,
    "mono8": _GREY,
    "8UC1": _GREY,
    "mono16": _GREY_16_LITTLE,
    "16UC1": _GREY_16_LITTLE,
    "8UC3": _BGR,
    "8UC4": _BGRA,
    # ROS names a pattern by its first two rows, OpenCV by the second and third pixel of the second row.
    "bayer_rggb8": _Layout(1, _bayer(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr8": _Layout(1, _bayer(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg8": _Layout(1, _bayer(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg8": _Layout(1, _bayer(cv2.COLOR_BayerGB2RGB)),
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
}
_BIG_ENDIAN = {**_LITTLE_ENDIAN, "mono16": _GREY_16_BIG, "16UC1": _GREY_16_BIG}

_ENCODABLE: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "rgb8": (np.dtype(np.uint8), (3,)),
    "mono8": (np.dtype(np.uint8), ()),
    "mono16": (np.dtype(np.uint16), ()),
    "32SC1": (np.dtype(np.int32), ()),
}


def _decode_with_cv_bridge(message: ImageMessage) -> Pixels:
    known = ", ".join(sorted(_LITTLE_ENDIAN))
    advice = f"The encoding is {message.encoding!r}; expected one of {known}. Convert the image before it comes here"
    try:
        from cv_bridge import CvBridge
    except Exception as error:  # missing, or compiled for another NumPy: then its import fails in many ways
        raise ImageEncodingError(f"{advice}, or install cv_bridge, which knows more.") from error
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:
        raise ImageEncodingError(f"{advice}; cv_bridge cannot read it either: {error}") from error
