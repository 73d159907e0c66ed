# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between the fields of `sensor_msgs/Image` and NumPy arrays.

Messages of ROS and of the rosbags library have the same fields, so no ROS installation is needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import ImageEncodingError, quoted
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS

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


def decode(message: ImageMessage | ImageFields, *, max_pixels: int = MAX_IMAGE_PIXELS) -> Pixels:
    """Return the pixels of an image message.

    Values of 16 bits lose their low byte and an alpha channel is ignored. 8UC3, 8UC4, 16UC3 and 16UC4 are read as BGR
    and BGRA, as RViz does. YUV is converted by ITU-R BT.601 with video range.

    Args:
        message: A message of ROS or of the rosbags library, or `ImageFields`. It is not modified. Padded rows (`step`)
            and both byte orders (`is_bigendian`) are supported.
        max_pixels: Largest number of pixels; a larger image is refused.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB; for the encodings rgb and rgba a read-only view into the data of the message.

    Raises:
        ImageEncodingError: If the encoding is not in `ENCODINGS`, the data do not fit the other fields, or the image
            has too many pixels.
    """
    height, width = int(message.height), int(message.width)
    if height < 1 or width < 1:
        raise ImageEncodingError(f"The image is {width}x{height} pixels; expected at least 1x1.")
    if height * width > max_pixels:
        raise ImageEncodingError(f"The image is {width}x{height} pixels; expected at most {max_pixels} pixels.")
    layout = (_BIG_ENDIAN if message.is_bigendian else _LITTLE_ENDIAN).get(message.encoding)
    if layout is None:
        raise ImageEncodingError(refusal(message.encoding))
    row_bytes = (width + width % 2 if layout.even_width else width) * layout.bytes_per_px
    step, num_rows = int(message.step), layout.num_rows(height)
    if step < row_bytes:
        raise ImageEncodingError(
            f"step is {step} bytes; a row of {width} pixels {message.encoding} takes at least {row_bytes}. "
            "Set step to the length of a row in bytes, padding included."
        )
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < step * num_rows:
        raise ImageEncodingError(
            f"data holds {len(data)} bytes; {num_rows} rows of step {step} take {step * num_rows}. "
            "The message is truncated, or its height or step is wrong."
        )
    rows = data[: step * num_rows].reshape(num_rows, step)
    rows.flags.writeable = False
    return layout.to_rgb(rows, height, width)


def encode(pixels: NDArray[Any], encoding: str) -> ImageFields:
    """Return the fields of an image message: no row padding, little-endian.

    Args:
        pixels: The pixels, of the shape and dtype that `encoding` names.
        encoding: "rgb8" `(H, W, 3)` uint8, "mono8" `(H, W)` uint8, "mono16" `(H, W)` uint16, "32SC1" `(H, W)` int32 or
            "32FC1" `(H, W)` float32.

    Returns:
        The fields. Their data are a view of `pixels` where these are contiguous, else a copy.

    Raises:
        ImageEncodingError: If the encoding is another one, or the pixels do not fit it.
    """
    if encoding not in _ENCODABLE:
        raise ImageEncodingError(f"The encoding is {quoted(encoding)}; expected one of {', '.join(_ENCODABLE)}.")
    dtype, channels = _ENCODABLE[encoding]
    if pixels.dtype != dtype or pixels.shape[2:] != channels or pixels.ndim != 2 + len(channels) or pixels.size == 0:
        shape = ", ".join(["H", "W", *map(str, channels)])
        raise ImageEncodingError(
            f"The pixels are {pixels.dtype} of shape {pixels.shape}; {encoding} needs {dtype} of shape ({shape})."
        )
    pixels = np.ascontiguousarray(pixels, dtype.newbyteorder("<"))
    height, width = pixels.shape[:2]
    step = width * bytes_per_px(encoding)  # not the stride of a row, which is arbitrary where there is only one
    return ImageFields(height, width, encoding, 0, step, pixels.reshape(-1).view(np.uint8))


def bytes_per_px(encoding: str) -> int:
    """Return the size of a pixel in messages that `encode` makes.

    Args:
        encoding: An encoding that `encode` writes.

    Returns:
        Bytes per pixel.
    """
    dtype, channels = _ENCODABLE[encoding]
    return dtype.itemsize * math.prod(channels)


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


def _semi_planar(code: int) -> Callable[[NDArray[np.uint8], int, int], Pixels]:
    """Return the conversion of a Y plane and a plane of 2x2 subsampled chroma pairs, both with rows of `step` bytes."""

    def to_rgb(rows: NDArray[np.uint8], height: int, width: int) -> Pixels:
        even_width = width + width % 2
        luma = rows[:height, :width]
        if height % 2 or width % 2:  # OpenCV needs even sizes
            luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge")
        chroma = rows[height:, :even_width].reshape(-1, even_width // 2, 2)
        return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, code), np.uint8)[:height, :width]

    return to_rgb


def _nv24(rows: NDArray[np.uint8], height: int, width: int) -> Pixels:
    """Convert a Y plane with rows of `step` bytes and a plane of chroma pairs with rows of twice as many."""
    chroma = rows[height:].reshape(height, -1)[:, : 2 * width].reshape(height, width, 2)
    # At twice the size this is NV12, of which OpenCV repeats each chroma pair in 2x2 pixels.
    luma = rows[:height, :width].repeat(2, axis=0).repeat(2, axis=1)
    return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12), np.uint8)[::2, ::2]


@dataclass(frozen=True)
class _Layout:
    """How one encoding stores its pixels.

    Attributes:
        bytes_per_px: Bytes of one pixel in a row of the first or only plane.
        to_rgb: Converts the rows of all planes, `(rows, step)` uint8, for a height and width in pixels.
        even_width: Whether pixels are stored in pairs.
        num_rows: Number of rows of `step` bytes in all planes, for a height.
    """

    bytes_per_px: int
    to_rgb: Callable[[NDArray[np.uint8], int, int], Pixels]
    even_width: bool = False
    num_rows: Callable[[int], int] = lambda height: height


def _packed(bytes_per_px: int, to_rgb: Callable[[Pixels], Pixels], *, even_width: bool = False) -> _Layout:
    """Return the layout of an encoding with one plane; `to_rgb` converts its pixels, `(H, W, bytes_per_px)`."""

    def rows_to_rgb(rows: NDArray[np.uint8], height: int, width: int) -> Pixels:
        stored_width = width + width % 2 if even_width else width
        stored = rows[:, : stored_width * bytes_per_px].reshape(height, stored_width, bytes_per_px)
        return to_rgb(stored)[:, :width]

    return _Layout(bytes_per_px, rows_to_rgb, even_width)


_TO_RGB: dict[str, tuple[int, Callable[[Pixels], Pixels]]] = {  # channels of 8 bits, and their conversion
    "rgb": (3, lambda stored: stored),
    "rgba": (4, lambda stored: stored[:, :, :3]),
    "bgr": (3, _convert(cv2.COLOR_BGR2RGB)),
    "bgra": (4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono": (1, _convert(cv2.COLOR_GRAY2RGB)),
    # ROS names a pattern by its first two rows, OpenCV by the second and third pixel of the second row.
    "bayer_rggb": (1, _bayer(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr": (1, _bayer(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg": (1, _bayer(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg": (1, _bayer(cv2.COLOR_BayerGB2RGB)),
}
_UNNAMED = {"UC1": "mono", "UC3": "bgr", "UC4": "bgra"}  # 8UC3, 16UC3 and so on name no colours; RViz shows BGR


def _high_bytes(channels: int, to_rgb: Callable[[Pixels], Pixels], *, is_bigendian: bool) -> _Layout:
    """Return the layout of channels of 16 bits, of which the high bytes are converted."""
    first = 0 if is_bigendian else 1
    return _packed(2 * channels, lambda stored: to_rgb(stored[:, :, first::2]))


def _layouts(*, is_bigendian: bool) -> dict[str, _Layout]:
    layouts = {
        "uyvy": _packed(2, _convert(cv2.COLOR_YUV2RGB_UYVY), even_width=True),
        "yuyv": _packed(2, _convert(cv2.COLOR_YUV2RGB_YUY2), even_width=True),
        "nv12": _Layout(1, _semi_planar(cv2.COLOR_YUV2RGB_NV12), even_width=True, num_rows=lambda h: h + (h + 1) // 2),
        "nv21": _Layout(1, _semi_planar(cv2.COLOR_YUV2RGB_NV21), even_width=True, num_rows=lambda h: h + (h + 1) // 2),
        "nv24": _Layout(1, _nv24, num_rows=lambda h: 3 * h),
    }
    layouts |= {"yuv422": layouts["uyvy"], "yuv422_yuy2": layouts["yuyv"]}
    for name, (channels, to_rgb) in _TO_RGB.items():
        layouts[f"{name}8"] = _packed(channels, to_rgb)
        layouts[f"{name}16"] = _high_bytes(channels, to_rgb, is_bigendian=is_bigendian)
    for unnamed, name in _UNNAMED.items():
        layouts |= {f"{bits}{unnamed}": layouts[f"{name}{bits}"] for bits in (8, 16)}
    return layouts


_LITTLE_ENDIAN = _layouts(is_bigendian=False)
_BIG_ENDIAN = _layouts(is_bigendian=True)

ENCODINGS = frozenset(_LITTLE_ENDIAN)
"""The encodings that `decode` reads."""

_REFUSED = {  # the other encodings of sensor_msgs/image_encodings.hpp
    r"(32|64)FC1": "one floating-point channel, such as a depth image; it has no defined brightness",
    r"(32|64)FC[234]": "floating-point channels without a defined range and order of colours",
    r"(8|16|32)SC[1234]": "signed values, such as labels or disparities",
    r"(8|16)UC2": "two channels, which are not colours",
}

_ENCODABLE: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "rgb8": (np.dtype(np.uint8), (3,)),
    "mono8": (np.dtype(np.uint8), ()),
    "mono16": (np.dtype(np.uint16), ()),
    "32SC1": (np.dtype(np.int32), ()),
    "32FC1": (np.dtype(np.float32), ()),
}


def refusal(encoding: str) -> str:
    """Explain why an encoding that is not in `ENCODINGS` cannot be read.

    Args:
        encoding: The encoding.

    Returns:
        The explanation, with a remedy.
    """
    for pattern, content in _REFUSED.items():
        if re.fullmatch(pattern, encoding):
            return (
                f"The encoding is {quoted(encoding)}: {content}. Expected a picture of a camera: choose another "
                "topic, or convert the images to rgb8 or mono8 before they are published or recorded."
            )
    return (
        f"The encoding is {quoted(encoding)}; expected one of {', '.join(sorted(ENCODINGS))}. "
        "Convert the images before they are published or recorded."
    )
