# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Where the demo's frames come from: the synthetic drive, a video file, or a folder of images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM

_DEFAULT_RATE_HZ = 10.0
_DRIVE_SIZE_PX = (512, 256)


@dataclass(frozen=True)
class FrameSource:
    """A run of frames, each `(H, W, 3)` uint8 RGB of any size, and the pace at which they were taken.

    count: how many there will be, as far as a video file knows. size_px: width and height of the first.
    """

    description: str
    count: int
    rate_hz: float
    size_px: tuple[int, int]
    frames: Iterator[NDArray[np.uint8]]


def open_source(path: Path | None, max_frames: int) -> FrameSource:
    """The frames of a video file or of a folder of images in the order of their names; of the synthetic drive for None.

    Raises DatasetError when there is no such file or folder, or nothing in it can be read.
    """
    rate_hz, count = _DEFAULT_RATE_HZ, max_frames
    if path is None:
        return FrameSource("a synthetic drive", count, rate_hz, _DRIVE_SIZE_PX, _pixels(synthetic_drive(max_frames)))
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.is_file() and cv2.haveImageReader(str(file))]
        count, frames = len(files), _images(files)
    elif path.is_file():
        capture = cv2.VideoCapture(str(path))
        rate_hz, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        frames = _video(capture)
    else:
        raise DatasetError(f"There is no video file or image folder {path}.")
    first = next(frames, None)
    if first is None:
        raise DatasetError(
            f"There is nothing in {path} that OpenCV can read; expected a video (.mp4, .avi, .mkv or the like) or a "
            "folder with images (.png, .jpg or the like)."
        )
    return FrameSource(
        path.name,
        min(count, max_frames) if count > 0 else max_frames,
        rate_hz if 1 <= rate_hz <= 240 else _DEFAULT_RATE_HZ,
        (first.shape[1], first.shape[0]),
        itertools.islice(itertools.chain([first], frames), max_frames),
    )


def synthetic_drive(num_frames: int) -> SyntheticDrive:
    """The drive that the demo shows: a street that nothing was trained on."""
    width, height = _DRIVE_SIZE_PX
    return SyntheticDrive(
        EVALUATION_SEEDS_FROM, num_frames=num_frames, height=height, width=width, fps=_DEFAULT_RATE_HZ
    )


def _images(files: list[Path]) -> Iterator[NDArray[np.uint8]]:
    for file in files:
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DatasetError(f"{file} is not an image that OpenCV can read; mend it or take it out of the folder.")
        yield _rgb(bgr)


def _video(capture: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    while True:
        ok, bgr = capture.read()
        if not ok:
            capture.release()
            return
        yield _rgb(bgr)


def _rgb(bgr: NDArray[Any]) -> NDArray[np.uint8]:
    rgb: NDArray[Any] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def _pixels(drive: SyntheticDrive) -> Iterator[NDArray[np.uint8]]:
    for image, _ in drive:
        yield image.convert("channels_last", "rgb")
