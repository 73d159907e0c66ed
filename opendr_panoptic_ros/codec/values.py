# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reads `sensor_msgs/Image` messages whose pixels are numbers, such as depth in metres or ids of segments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.codec.image import ImageFields, ImageMessage
from opendr_panoptic_ros.errors import ImageEncodingError, quoted

_DTYPES = {"16UC1": "u2", "mono16": "u2", "32SC1": "i4", "32FC1": "f4"}


def decode_values(message: ImageMessage | ImageFields, *encodings: str) -> NDArray[Any]:
    """Return the values of an image message with one channel.

    Args:
        message: A message of ROS or of the rosbags library, or `ImageFields`. Padded rows (`step`) and both byte orders
            (`is_bigendian`) are supported.
        encodings: The encodings to accept: 16UC1, mono16, 32SC1, 32FC1.

    Returns:
        `(H, W)` of uint16, int32 or float32 in the byte order of the message: a read-only view into its data.

    Raises:
        ImageEncodingError: The encoding is not accepted, or the data do not fit the other fields.
    """
    if message.encoding not in encodings:
        raise ImageEncodingError(
            f"The encoding is {quoted(message.encoding)}; expected {' or '.join(encodings)}. Convert the images, or "
            "choose another topic."
        )
    dtype = np.dtype(_DTYPES[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height < 1 or width < 1:
        raise ImageEncodingError(f"The image is {width}x{height} pixels; expected at least 1x1.")
    data = np.frombuffer(message.data, np.uint8)
    row_bytes = width * dtype.itemsize
    if step < row_bytes or len(data) < step * height:
        raise ImageEncodingError(
            f"data holds {len(data)} bytes in rows of step {step}; {height} rows of {width} pixels {message.encoding} "
            f"take at least {row_bytes} bytes each. The message is truncated, or its size or step is wrong."
        )
    rows = data[: step * height].reshape(height, step)[:, :row_bytes]
    rows.flags.writeable = False
    return rows.view(dtype) if rows.flags.c_contiguous else np.ascontiguousarray(rows).view(dtype)
