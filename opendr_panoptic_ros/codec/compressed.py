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
from opendr_panoptic_ros.errors import ImageEncodingError


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


_ENCODINGS = {  # of what OpenCV returns, by dtype and number of channels
    (np.dtype(np.uint8), 1): "mono8",
    (np.dtype(np.uint8), 3): "bgr8",
    (np.dtype(np.uint8), 4): "bgra8",
    (np.dtype(np.uint16), 1): "mono16",
    (np.dtype(np.uint16), 3): "bgr16",
    (np.dtype(np.uint16), 4): "bgra16",
}


def decode_compressed(message: CompressedImageMessage | CompressedImageFields) -> NDArray[np.uint8]:
    """Return the pixels of a compressed image message.

    JPEG and PNG are read, greyscale or colour. 16-bit values lose their low byte and an alpha channel is ignored. The
    kind of the data is detected from the data; `format` only tells a Bayer pattern, as in "bayer_rggb8; png
    compressed".

    A JPEG has no checksum: one that was damaged in the middle, which no ROS transport does, yields wrong pixels.

    Args:
        message: A message of ROS or of the rosbags library. It is not modified.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB.

    Raises:
        ImageEncodingError: If the data are not an image, or are truncated.
    """
    data = np.frombuffer(message.data, np.uint8)
    pixels: NDArray[Any] | None = None
    with contextlib.suppress(cv2.error):
        if data.size and not is_truncated_jpeg(data):
            # Unchanged: neither rotated by EXIF, of which CameraInfo knows nothing, nor stretched to 8 bits.
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageEncodingError(
            f"The compressed image ({data.size} bytes, format {message.format!r}) cannot be read; expected a whole "
            "JPEG or PNG. The data may be cut short, or be of another kind."
        )
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    encoding = _ENCODINGS.get((pixels.dtype, channels))
    if encoding is None:
        raise ImageEncodingError(
            f"The compressed image holds {pixels.dtype} in {channels} channels; expected 8 or 16 bits, grey or colour."
        )
    if encoding.endswith("16"):
        pixels, encoding = (pixels // 256).astype(np.uint8), encoding[:-2] + "8"
    original = str(message.format).partition(";")[0].strip()
    if channels == 1 and original.startswith("bayer_"):
        encoding = original.removesuffix("16") + "8" if original.endswith("16") else original
    height, width = pixels.shape[:2]
    return decode(ImageFields(height, width, encoding, 0, width * channels, pixels.reshape(-1)))


def is_truncated_jpeg(data: NDArray[np.uint8]) -> bool:
    """Return whether data are a JPEG without an end marker. OpenCV 4 fills the missing rows and reports success.

    The marker is searched for behind the last scan, because a preview in the header has an end marker of its own.
    Padding may follow it.

    Args:
        data: The bytes of a file or message, `(N,)` uint8.

    Returns:
        Whether it is truncated; False for other formats.
    """
    stored = data.tobytes()
    return stored.startswith(b"\xff\xd8") and stored.rfind(b"\xff\xd9") < stored.rfind(b"\xff\xda")


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
