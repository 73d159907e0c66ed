# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Image files of datasets, read strictly: a damaged file is an error."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.image_header import read_image_file, refusal


def read_pixels(path: Path) -> NDArray[Any]:
    """Read the pixels of an image file, upright (EXIF orientation applied).

    Args:
        path: The file.

    Returns:
        `(H, W)` or `(H, W, C)` in the file's own type: labels keep their 16 bits, palettes their indices.

    Raises:
        DatasetError: The file is missing, is not an image, ends too early (OpenCV would fill up the rest), or has more
            than `MAX_IMAGE_PIXELS`.
    """
    try:
        data = read_image_file(path)
        reason = refusal(data)
        if reason:
            raise DatasetError(f"{path}: cannot be read: {reason}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PilImage.DecompressionBombWarning)  # the size is checked above
            with PilImage.open(BytesIO(data.data)) as image:
                return np.asarray(ImageOps.exif_transpose(image))
    except DatasetError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three for damaged files
        raise DatasetError(f"{path}: cannot be read: {error}") from error
