# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Between `sensor_msgs/CompressedImage` and NumPy arrays: JPEG and PNG."""

from __future__ import annotations

import contextlib
import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.errors import ImageEncodingError

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import Header


class CompressedImageMessage(Protocol):
    """The fields of `sensor_msgs/CompressedImage` that are read. `data`: anything with the buffer interface."""

    format: str
    data: Any


_ENCODINGS = {  # what OpenCV gives: dtype and number of channels
    (np.dtype(np.uint8), 1): "mono8",
    (np.dtype(np.uint8), 3): "bgr8",
    (np.dtype(np.uint8), 4): "bgra8",
    (np.dtype(np.uint16), 1): "mono16",
    (np.dtype(np.uint16), 3): "bgr16",
    (np.dtype(np.uint16), 4): "bgra16",
}


def decode_compressed(message: CompressedImageMessage) -> NDArray[np.uint8]:
    """The picture in a compressed image message, `(H, W, 3)` uint8, RGB.

    JPEG or PNG, grey or colour; 16-bit values lose their low byte, alpha is left out. The data say themselves what
    they are; of `format` only a Bayer pattern is read, as in "bayer_rggb8; png compressed".

    Raises ImageEncodingError for data that are no picture, or were cut short. A JPEG has no checksum: one that was
    damaged in the middle, which no transport of ROS does, is read with wrong pixels.
    """
    data = np.frombuffer(message.data, np.uint8)
    pixels: NDArray[Any] | None = None
    with contextlib.suppress(cv2.error):
        if data.size and not _is_cut_jpeg(data):
            # Unchanged: neither turned as EXIF says, which CameraInfo knows nothing of, nor made 8-bit by stretching.
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
    return decode(
        SimpleNamespace(
            height=height, width=width, encoding=encoding, is_bigendian=False, step=width * channels, data=pixels
        )
    )


def _is_cut_jpeg(data: NDArray[np.uint8]) -> bool:
    """Whether this is a JPEG without its end, which OpenCV 4 fills up with repeated rows and calls read.

    The end is looked for behind the last scan: a preview in the header has an end of its own. Padding may follow it.
    """
    stored = data.tobytes()
    return stored.startswith(b"\xff\xd8") and stored.rfind(b"\xff\xd9") < stored.rfind(b"\xff\xda")


def encode_jpeg(pixels_rgb: NDArray[np.uint8], header: Header, *, quality: int) -> CompressedImage:
    """A compressed image message that holds `pixels_rgb`, `(H, W, 3)` uint8, as JPEG, with a copy of `header`.

    quality: 1 to 100.
    """
    from sensor_msgs.msg import CompressedImage

    bgr = cv2.cvtColor(pixels_rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    message = CompressedImage(header=copy.deepcopy(header), format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(data.data)  # one copy, as in image.encode
    return message
