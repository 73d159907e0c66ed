# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between the fields of `sensor_msgs/CompressedImage` and NumPy arrays: JPEG and PNG."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.codec.image import ImageFields, decode
from opendr_panoptic_ros.errors import ImageEncodingError, quoted
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS, refusal


class CompressedImageMessage(Protocol):
    """The fields of `sensor_msgs/CompressedImage` that are read. `data`: any object with the buffer interface."""

    format: str
    data: Any


@dataclass(frozen=True)
class CompressedImageFields:
    """The content of a compressed image message, apart from its header.

    Attributes:
        format: As in `sensor_msgs/CompressedImage`.
        data: The compressed bytes, `(N,)` uint8.
    """

    format: str
    data: NDArray[np.uint8]


# As isColor() of sensor_msgs/image_encodings.hpp.
_COLOR_ENCODINGS = {f"{order}{bits}" for order in ("rgb", "bgr", "rgba", "bgra") for bits in (8, 16)} | {
    "yuv422",
    "yuv422_yuy2",
    "uyvy",
    "yuyv",
    "nv12",
    "nv21",
    "nv24",
}


_FORMATS = ("PNG", "JPEG", "TIFF")  # image_transport writes no others


def decode_compressed(
    message: CompressedImageMessage | CompressedImageFields, *, max_pixels: int = MAX_IMAGE_PIXELS
) -> NDArray[np.uint8]:
    """Return the pixels of a compressed image message.

    JPEG, PNG and TIFF are read, greyscale or colour. Values of 16 bits lose their low byte and an alpha channel is
    ignored. The kind of the data is detected from the data. `format` states the order of the channels and a Bayer
    pattern; every text that image_transport's plugin "compressed" has written since ROS 1 is supported:

    - "jpeg", "png": BGR, as OpenCV orders the channels, which makes a file that other programs show correctly.
    - "ENCODING; jpeg compressed TARGET" (or png): the data hold TARGET: bgr8, bgr16 or mono8. A Bayer image with the
      target mono8 is a greyscale picture, not a mosaic.
    - "ENCODING; jpeg compressed" (or png): a mosaic for a Bayer encoding; for a colour encoding RGB channels, which
      OpenCV has taken for BGR (before 2013).
    - "ENCODING; tiff compressed": the channels of the encoding, which OpenCV has taken for BGR.

    A JPEG has no checksum: one that was damaged in the middle, which no ROS transport does, yields wrong pixels.

    Args:
        message: A message of ROS or of the rosbags library. It is not modified.
        max_pixels: Largest number of pixels; a larger image is refused before memory is reserved for it.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB.

    Raises:
        ImageEncodingError: If the data are not a picture of a camera, are truncated, or hold too many pixels.
    """
    image_format = str(message.format)
    if "compressedDepth" in image_format:
        raise ImageEncodingError(
            f"The format is {quoted(image_format)}: a depth image of the transport compressedDepth. Expected a "
            "picture: choose the topic of a colour or greyscale camera, NAME/compressed."
        )
    data = np.frombuffer(message.data, np.uint8)
    pixels: NDArray[Any] | None = None
    reason = refusal(data, formats=_FORMATS, max_pixels=max_pixels)
    with contextlib.suppress(cv2.error):
        if not reason:
            # Unchanged: neither rotated by EXIF, which CameraInfo does not describe, nor stretched to 8 bits.
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageEncodingError(
            f"The compressed image ({data.size} bytes, format {quoted(image_format)}) cannot be read; expected a whole "
            f"JPEG or PNG, but {reason or 'its data are damaged'}."
        )
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise ImageEncodingError(
            f"The compressed image holds {pixels.dtype} in {channels} channels; expected 8 or 16 bits, grey or colour."
        )
    if pixels.dtype == np.uint16:
        pixels = (pixels // 256).astype(np.uint8)
    height, width = pixels.shape[:2]
    encoding = _encoding_of(image_format, channels)
    return decode(ImageFields(height, width, encoding, 0, width * channels, pixels.reshape(-1)), max_pixels=max_pixels)


def _encoding_of(image_format: str, channels: int) -> str:
    """Return the encoding, of 8 bits, of the pixels that OpenCV has decoded."""
    original, separator, compression = image_format.partition(";")
    original = original.strip()
    kind, _, target = compression.strip().partition(" compressed")
    if channels == 1:
        is_mosaic = original.startswith("bayer_") and separator and not target.strip()
        return original.removesuffix("16").removesuffix("8") + "8" if is_mosaic else "mono8"
    if kind == "tiff":
        is_rgb = original.startswith("rgb")
    else:
        is_rgb = bool(separator) and original in _COLOR_ENCODINGS and not target.strip().startswith("bgr")
    return ("rgb" if is_rgb else "bgr") + ("a8" if channels == 4 else "8")


def encode_jpeg(pixels_rgb: NDArray[np.uint8], *, quality: int) -> CompressedImageFields:
    """Encode an image as JPEG, as image_transport's compressed publisher does.

    Args:
        pixels_rgb: The image, `(H, W, 3)` uint8 RGB.
        quality: JPEG quality, 1 to 100; higher is better and larger.

    Returns:
        The fields of the compressed image message.
    """
    bgr = cv2.cvtColor(pixels_rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return CompressedImageFields("rgb8; jpeg compressed bgr8", np.asarray(data, np.uint8))
