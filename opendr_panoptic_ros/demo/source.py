# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The frames of the demo: a synthetic drive, a video file, or a folder of images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.media import IMAGE_SUFFIXES, is_image, open_video, printable, read_image
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM

_DEFAULT_RATE_HZ = 10.0
_DRIVE_SIZE_PX = (512, 256)


@dataclass(frozen=True)
class FrameSource:
    """A sequence of frames and the rate at which they were taken.

    Attributes:
        description: Name of the sequence for messages to the user.
        count: Number of frames, as far as a video file gives it.
        rate_hz: Frames per second.
        size_px: Width and height of the first frame in pixels.
        frames: The frames, `(H, W, 3)` uint8 RGB of any sizes, to be read once.
        drive: The synthetic drive whose frames these are, or None for a video.
    """

    description: str
    count: int
    rate_hz: float
    size_px: tuple[int, int]
    frames: Iterator[NDArray[np.uint8]]
    drive: SyntheticDrive | None = None


def open_source(path: Path | None, max_frames: int) -> FrameSource:
    """Open a sequence of frames.

    Args:
        path: A video file, a folder of images (read in the order of their names), or None for the synthetic drive.
        max_frames: Maximum number of frames, at least 1.

    Returns:
        The frames. Iterating over them raises DatasetError at a file that cannot be read.

    Raises:
        DatasetError: If there is no such file or folder, or its first frame cannot be read.
    """
    if path is None:
        drive = synthetic_drive(max_frames)
        pixels = (image.convert("channels_last", "rgb") for image, _ in drive)
        return FrameSource("a synthetic drive", max_frames, _DEFAULT_RATE_HZ, _DRIVE_SIZE_PX, pixels, drive)
    rate_hz, count, frames = _open_folder(path) if path.is_dir() else _open_file(path)
    first = next(frames, None)
    if first is None:
        raise DatasetError(
            f"There is nothing in {printable(path)} that can be shown; expected a video that OpenCV can read, or a "
            f"folder with images ({', '.join(IMAGE_SUFFIXES)})."
        )
    return FrameSource(
        printable(Path(path.name)),
        min(count or max_frames, max_frames),
        rate_hz,
        (first.shape[1], first.shape[0]),
        itertools.islice(itertools.chain([first], frames), max_frames),
    )


def synthetic_drive(num_frames: int) -> SyntheticDrive:
    """Return the drive that the demo shows, along a street that is not in the training data.

    Args:
        num_frames: Number of frames, at least 1.

    Returns:
        The drive.
    """
    width, height = _DRIVE_SIZE_PX
    return SyntheticDrive(
        EVALUATION_SEEDS_FROM, num_frames=num_frames, height=height, width=width, fps=_DEFAULT_RATE_HZ
    )


def _open_folder(path: Path) -> tuple[float, int, Iterator[NDArray[np.uint8]]]:
    files = [file for file in sorted(path.iterdir()) if file.is_file() and is_image(file)]
    return _DEFAULT_RATE_HZ, len(files), map(read_image, files)


def _open_file(path: Path) -> tuple[float, int, Iterator[NDArray[np.uint8]]]:
    if not path.is_file():
        raise DatasetError(f"There is no video file or image folder {printable(path)}.")
    video = open_video(path)
    return video.rate_hz or _DEFAULT_RATE_HZ, video.frame_count or 0, video.frames
