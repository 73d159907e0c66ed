# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Image and Heatmap with the behaviour of OpenDR's engine types, for scripts written for OpenDR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from opendr_panoptic_ros.image_header import read_image_file, refusal


class Image:
    """An image, stored channels first in RGB order, as in OpenDR.

    Args:
        data: Three-dimensional array.
        dtype: Type of the stored values.
        guess_format: Whether to convert an `(H, W, 3)` array from OpenCV's BGR, and to transpose any other array whose
            last axis is the shortest to `(C, H, W)`.

    Raises:
        ValueError: `data` is None or not three-dimensional.
    """

    def __init__(self, data: ArrayLike | None = None, dtype: DTypeLike = np.uint8, guess_format: bool = True) -> None:
        self.dtype = dtype
        if data is None:
            raise ValueError("Image got None; pass a 3-dimensional array, or use Image.open(path).")
        array = _three_dimensional(data)
        if guess_format:
            if array.shape[2] == 3:  # OpenCV's layout and channel order
                array = array[:, :, ::-1].transpose(2, 0, 1)
            elif array.shape[2] < min(array.shape[:2]):
                array = array.transpose(2, 0, 1)
        self.data = array

    @property
    def data(self) -> NDArray[Any]:
        """The stored array, `(C, H, W)`, RGB."""
        return self._data

    @data.setter
    def data(self, data: ArrayLike) -> None:
        self._data = np.ascontiguousarray(_three_dimensional(data), dtype=self.dtype)

    def numpy(self) -> NDArray[Any]:
        """Return a copy of the stored array, `(C, H, W)`, RGB."""
        return self._data.copy()

    def opencv(self) -> NDArray[Any]:
        """Return the image in OpenCV's layout, `(H, W, 3)`, BGR."""
        return self.convert("channels_last", "bgr")

    def convert(self, format: str = "channels_first", channel_order: str = "rgb") -> NDArray[Any]:  # noqa: A002 - OpenDR's name
        """Return a copy in another layout or channel order.

        Args:
            format: "channels_first", `(C, H, W)`, or "channels_last", `(H, W, C)`.
            channel_order: "rgb" or "bgr".

        Returns:
            The contiguous copy.

        Raises:
            ValueError: An argument is another word.
        """
        if format not in ("channels_first", "channels_last"):
            raise ValueError(f"format is {format!r}; expected 'channels_first' or 'channels_last'.")
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order is {channel_order!r}; expected 'rgb' or 'bgr'.")
        array = self._data[::-1] if channel_order == "bgr" else self._data
        return np.array(array if format == "channels_first" else array.transpose(1, 2, 0), order="C")

    @classmethod
    def open(cls, filename: str | Path) -> Image:
        """Read an image file with OpenCV.

        Args:
            filename: The file.

        Returns:
            The image, upright (EXIF orientation applied).

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not an image.
        """
        import cv2  # only here: a value needs no OpenCV

        if not Path(filename).is_file():
            raise FileNotFoundError(f"There is no image file {filename}.")
        data = read_image_file(Path(filename))  # OpenCV itself opens only names that are UTF-8
        reason = refusal(data)
        bgr = None if reason else cv2.imdecode(data, cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError(f"{filename} is not an image that OpenCV can read{': ' if reason else ''}{reason}.")
        return cls(bgr)

    def __str__(self) -> str:
        return str(self._data)


class Heatmap:
    """A map of labels or scores, optionally with the names of the labels.

    Args:
        data: Array, usually `(H, W)`.
        class_names: Name of each label, or None.

    Raises:
        TypeError: `data` is not an array, or a name is not a string.
    """

    def __init__(self, data: NDArray[Any], class_names: dict[Any, str] | None = None) -> None:
        self.data = data
        self._class_names: dict[Any, str] | None = None
        if class_names is not None:
            self.class_names = class_names

    @property
    def data(self) -> NDArray[Any]:
        """The array."""
        return self._data

    @data.setter
    def data(self, data: NDArray[Any]) -> None:
        if not isinstance(data, np.ndarray):
            raise TypeError(f"Heatmap got {type(data).__name__}; pass a numpy array.")
        self._data = data

    @property
    def class_names(self) -> dict[Any, str] | None:
        """Name of each label, or None."""
        return self._class_names

    @class_names.setter
    def class_names(self, class_names: dict[Any, str]) -> None:
        if not isinstance(class_names, dict) or not all(isinstance(name, str) for name in class_names.values()):
            raise TypeError("class_names must be a dictionary whose values are strings.")
        self._class_names = class_names

    def numpy(self) -> NDArray[Any]:
        """Return the array itself, not a copy."""
        return self._data

    def shape(self) -> tuple[int, ...]:
        """Return the array's shape (a method, as in OpenDR)."""
        return self._data.shape

    def __str__(self) -> str:
        return str(self._data)


def _three_dimensional(data: ArrayLike) -> NDArray[Any]:
    array = np.asarray(data)
    if array.ndim != 3:
        raise ValueError(f"Image got an array of shape {array.shape}; expected three dimensions, such as (H, W, 3).")
    return array
