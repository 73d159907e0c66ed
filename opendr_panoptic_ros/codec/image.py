# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between the fields of `sensor_msgs/Image` and NumPy arrays.

Messages of ROS and of the rosbags library have the same fields, so no ROS installation is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ImageEncodingError

Pixels = NDArray[np.uint8]


class ImageMessage(Protocol):
    """The fields of `sensor_msgs/Image` that `decode` reads. `data`: any object with the buffer interface."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


@dataclass(frozen=True)
class ImageFields:
    """The content of an image message, apart from its header.

    Attributes:
        height: In pixels.
        width: In pixels.
        encoding: As in `sensor_msgs/image_encodings.hpp`.
        is_bigendian: 1 where values of more than one byte are stored with the most significant byte first, else 0.
        step: Length of a row in bytes, padding included.
        data: The bytes of all rows, `(height * step,)` uint8.
    """

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class _Layout:
    """How one encoding stores its pixels.

    Attributes:
        bytes_per_px: Bytes of one pixel.
        to_rgb: Converts `(H, W, bytes_per_px)` to RGB.
        even_width: Whether pixels are stored in pairs.
    """

    bytes_per_px: int
    to_rgb: Callable[[Pixels], Pixels]
    even_width: bool = False


def decode(message: ImageMessage | ImageFields) -> Pixels:
    """Return the pixels of an image message.

    16-bit grey values lose their low byte and an alpha channel is ignored. 8UC3 and 8UC4 are read as BGR and BGRA, as
    RViz does.

    Args:
        message: A message of ROS or of the rosbags library, or `ImageFields`. It is not modified. Padded rows (`step`)
            and both byte orders (`is_bigendian`) are supported.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB; for rgb8 and rgba8 a read-only view into the data of the message.

    Raises:
        ImageEncodingError: If the encoding is not in `ENCODINGS`, or the data do not fit the other fields.
    """
    height, width = int(message.height), int(message.width)
    if height < 1 or width < 1:
        raise ImageEncodingError(f"The image is {width}x{height} pixels; expected at least 1x1.")
    layouts = _BIG_ENDIAN if message.is_bigendian else _LITTLE_ENDIAN
    layout = layouts.get(message.encoding)
    if layout is None:
        raise ImageEncodingError(
            f"The encoding is {message.encoding!r}; expected one of {', '.join(sorted(ENCODINGS))}. "
            "Convert the images before they are published or recorded."
        )
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


def encode(pixels: NDArray[Any], encoding: str) -> ImageFields:
    """Return the fields of an image message: no row padding, little-endian.

    Args:
        pixels: The pixels, of the shape and dtype that `encoding` names.
        encoding: "rgb8" `(H, W, 3)` uint8, "mono8" `(H, W)` uint8, "mono16" `(H, W)` uint16 or "32SC1" `(H, W)` int32.

    Returns:
        The fields. Their data are a view of `pixels` where these are contiguous, else a copy.

    Raises:
        ImageEncodingError: If the encoding is another one, or the pixels do not fit it.
    """
    if encoding not in _ENCODABLE:
        raise ImageEncodingError(f"The encoding is {encoding!r}; expected one of {', '.join(_ENCODABLE)}.")
    dtype, channels = _ENCODABLE[encoding]
    if pixels.dtype != dtype or pixels.shape[2:] != channels or pixels.ndim != 2 + len(channels) or pixels.size == 0:
        shape = ", ".join(["H", "W", *map(str, channels)])
        raise ImageEncodingError(
            f"The pixels are {pixels.dtype} of shape {pixels.shape}; {encoding} needs {dtype} of shape ({shape})."
        )
    pixels = np.ascontiguousarray(pixels, dtype.newbyteorder("<"))
    height, width = pixels.shape[:2]
    return ImageFields(height, width, encoding, 0, pixels.strides[0], pixels.reshape(-1).view(np.uint8))


def _convert(code: int) -> Callable[[Pixels], Pixels]:
    """Return OpenCV's conversion `code`, which is vectorised: 30 times faster than reversing the channels in NumPy."""
    return lambda stored: np.asarray(cv2.cvtColor(stored, code), np.uint8)


def _bayer(code: int) -> Callable[[Pixels], Pixels]:
    """Return OpenCV's bilinear demosaicing; smaller images than 3x3, which OpenCV leaves black, are padded for it."""
    to_rgb = _convert(code)

    def demosaic(stored: Pixels) -> Pixels:
        if min(stored.shape[:2]) >= 3:
            return to_rgb(stored)
        # Mirroring at an even distance keeps the pattern's phase.
        padded = np.pad(stored[:, :, 0], 2, mode="reflect")
        return to_rgb(padded)[2:-2, 2:-2]

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

ENCODINGS = frozenset(_LITTLE_ENDIAN)
"""The encodings that `decode` reads."""

_ENCODABLE: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "rgb8": (np.dtype(np.uint8), (3,)),
    "mono8": (np.dtype(np.uint8), ()),
    "mono16": (np.dtype(np.uint16), ()),
    "32SC1": (np.dtype(np.int32), ()),
}
