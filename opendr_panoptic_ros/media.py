# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading image and video files, and writing videos. All pixels are `(H, W, 3)` uint8 RGB.

Files are shown as a viewer shows them: an orientation in their metadata (EXIF of an image, rotation of a video) is
applied. Messages of cameras are not files: `codec/` never rotates them, because CameraInfo describes the sensor's rows.

File names need not be UTF-8. OpenCV cannot open others, so images are read by Python, and videos through a link.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError, PanopticError
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS, read_image_file, refusal

if TYPE_CHECKING:
    from typing_extensions import Self

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")

_CODECS = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG"}


def printable(path: Path) -> str:
    """Return a path as text that can be printed.

    Args:
        path: Any path.

    Returns:
        The path; bytes that are not UTF-8 are replaced by U+FFFD.
    """
    return os.fsencode(path).decode("utf-8", "replace")


def is_image(path: Path) -> bool:
    """Return whether the suffix of a file is one of `IMAGE_SUFFIXES`.

    Args:
        path: Path of the file.

    Returns:
        Whether it is.
    """
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_video(path: Path) -> bool:
    """Return whether the suffix of a file is one of `VIDEO_SUFFIXES`.

    Args:
        path: Path of the file.

    Returns:
        Whether it is.
    """
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file.

    Args:
        path: A file of one of the formats in `IMAGE_SUFFIXES`, whatever its suffix is.

    Returns:
        The pixels, `(H, W, 3)` uint8 RGB. Values of 16 bits lose their low byte and an alpha channel is ignored.

    Raises:
        DatasetError: If the file cannot be read, is not an image, is truncated, or has more than `MAX_IMAGE_PIXELS`.
    """
    try:
        data = read_image_file(path)
    except OSError as error:
        raise DatasetError(f"{printable(path)} cannot be read: {error.strerror}.") from error
    bgr, reason = None, refusal(data)
    with contextlib.suppress(cv2.error):
        if not reason:
            bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise DatasetError(
            f"{printable(path)} is not an image that OpenCV can read, or is truncated ({data.size} bytes)"
            f"{': ' if reason else ''}{reason}. Copy the file again, convert or resize it, or remove it."
        )
    return _rgb(bgr)


@dataclass(frozen=True)
class Video:
    """A video file that was opened.

    Attributes:
        rate_hz: Frames per second, or None where the file does not contain a plausible value.
        frame_count: Number of frames by the header of the file, or None where it does not contain it.
        frames: Its frames, each `(H, W, 3)` uint8 RGB, to be read once. After the last readable frame of a truncated
            file, DatasetError is raised.
    """

    rate_hz: float | None
    frame_count: int | None
    frames: Iterator[NDArray[np.uint8]]


def open_video(path: Path) -> Video:
    """Open a video file.

    Args:
        path: Path of the file.

    Returns:
        The video.

    Raises:
        DatasetError: If the file cannot be opened as a video, or its frames have more than `MAX_IMAGE_PIXELS`.
    """
    with utf8_name(path) as name:
        capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        raise DatasetError(f"{printable(path)} is not a video that OpenCV can read, or is truncated.")
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_IMAGE_PIXELS:
        capture.release()
        raise DatasetError(
            f"{printable(path)} has frames of {width}x{height} pixels, and the limit is {MAX_IMAGE_PIXELS} pixels."
        )
    rate_hz, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frame_count = count if count > 0 else None
    return Video(rate_hz if 1 <= rate_hz <= 240 else None, frame_count, _frames(path, capture, frame_count))


class VideoWriter:
    """A new video file, as a context. The file gets its name when the context ends without an error.

    Args:
        path: Path of the file, which is replaced if it exists. The suffix selects the format: .mp4, .webm (plays in
            browsers) or .avi (which every build of OpenCV writes).
        rate_hz: Frames per second.
        size_px: Width and height of the frames in pixels.

    Raises:
        PanopticError: If OpenCV cannot write this format, or the folder cannot be written.
    """

    def __init__(self, path: Path, *, rate_hz: float, size_px: tuple[int, int]) -> None:
        self._path, self._size_px = path, size_px
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name("." + path.name.encode("ascii", "replace").decode())
        codec = cv2.VideoWriter.fourcc(*_CODECS[path.suffix])
        # OpenCV reports the tag of VP8 in WebM as unknown, although the file is correct.
        with utf8_name(path.parent) as folder, _silent_stderr():
            self._writer = cv2.VideoWriter(f"{folder}/{self._partial.name}", codec, rate_hz, size_px)
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise PanopticError(f"OpenCV cannot write the video {printable(path)}; expected a format it was built for.")

    def __enter__(self) -> Self:
        return self

    def write(self, frame_rgb: NDArray[np.uint8]) -> None:
        """Append a frame.

        Args:
            frame_rgb: `(H, W, 3)` uint8 RGB, of the size of the video.

        Raises:
            ValueError: If the frame has another size.
        """
        if frame_rgb.shape[1::-1] != self._size_px:  # OpenCV would leave it out without an error
            raise ValueError(f"The frame is {frame_rgb.shape[1::-1]} pixels; the video is {self._size_px}.")
        self._writer.write(cv2.cvtColor(frame_rgb, cv2.COLOR_RGB2BGR))

    def __exit__(self, error: type[BaseException] | None, *_details: object) -> None:
        self._writer.release()
        if error is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)


def _frames(path: Path, capture: cv2.VideoCapture, frame_count: int | None) -> Iterator[NDArray[np.uint8]]:
    read = 0
    try:
        while True:
            more, bgr = capture.read()
            if not more:
                break
            read += 1
            yield _rgb(bgr)
    finally:
        capture.release()
    # Neither alone is sufficient: some recorders write wrong sizes, and the count is an estimate in some formats.
    if frame_count is not None and read < frame_count and _is_truncated(path):
        raise DatasetError(
            f"{printable(path)} is truncated: {read} of {frame_count} frames can be read. Copy the file again."
        )


def _is_truncated(path: Path) -> bool:
    """Whether a container ends before the place that its own headers give. False for formats without such a place."""
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if start.startswith(b"RIFF"):
            end = _end_of_chunks(file, "little")
        elif start.startswith(b"\x1a\x45\xdf\xa3"):
            end = _end_of_matroska(file)
        elif start[4:8].isalpha():
            end = _end_of_chunks(file, "big")
        else:
            return False
        return end > file.seek(0, os.SEEK_END)


def _end_of_chunks(file: IO[bytes], order: Any) -> int:
    """Return where the last complete or truncated chunk of a RIFF (little) or ISO base media file (big) should end.

    A RIFF chunk is a name, a size and the content; a box of ISO base media is a size that includes itself, and a name.
    """
    end = 0
    while len(start := file.read(8)) == 8:
        if order == "little":
            size = 8 + int.from_bytes(start[4:], order)
        else:
            size = int.from_bytes(start[:4], order)
            if size == 1:
                size = int.from_bytes(file.read(8), order)
        if size < 8:  # up to the end of the file, or not a chunk
            break
        end += size + (size % 2 if order == "little" else 0)
        file.seek(end)
    return end


def _end_of_matroska(file: IO[bytes]) -> int:
    """Return where the segment of a Matroska or WebM file should end; 0 for a stream of unknown length."""
    for _ in range(2):  # the EBML header, then the segment; both have identifiers of four bytes
        file.read(4)
        first = file.read(1)
        if not first or first == b"\0":
            return 0
        length = 9 - first[0].bit_length()
        size = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
        content = file.tell()
        file.seek(content + size)
    return 0 if size == (1 << 7 * length) - 1 else content + size


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """Provide a name in UTF-8 for a file or folder, for programs that accept no others.

    Args:
        path: An existing file or folder.

    Yields:
        Its own path, or that of a temporary link to it if this is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"link{path.suffix}"
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what C code prints to standard error."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _rgb(bgr: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
