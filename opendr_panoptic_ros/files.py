# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading and writing files: only regular files of a limited size are read, and files are replaced atomically."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def expand_user(path: str | Path) -> Path:
    """Return a path with a leading `~` or `~user` replaced by the home folder.

    Args:
        path: A path as the user gives it.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: There is no such user, or the home folder of this user is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            errno.ENOENT, "the home folder that '~' stands for is not known; give the whole path", os.fspath(path)
        ) from error


def is_file(path: Path) -> bool:
    """Return whether a path names a regular file; False also for a name that the file system cannot hold.

    Args:
        path: The path; links are followed.

    Returns:
        Whether the file can be looked at and is neither a folder, a pipe nor a device.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a pipe or a device is refused, since reading it may never end.

    Args:
        path: The path; links are followed.

    Returns:
        The open file, at its beginning.

    Raises:
        OSError: There is no such file, it cannot be read, or it is not a regular file.
    """
    refused = OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", os.fspath(path))
    if not stat.S_ISREG(path.stat().st_mode):
        raise refused
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced in between
        file.close()
        raise refused
    return file


def read_small(path: Path, *, limit_bytes: int) -> bytes:
    """Read a regular file that must be small.

    Args:
        path: The path; links are followed.
        limit_bytes: Largest size that is read.

    Returns:
        The content.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"Larger than {limit_bytes} bytes", os.fspath(path))
    return content


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: `write` fills a temporary file, which then replaces `path`.

    After an error or a kill, `path` is as it was. The temporary name is a fixed one, so that a second attempt
    overwrites what a kill left of the first.

    Args:
        path: The file; missing folders are created.
        write: Called with the path of the temporary file, in the folder of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # a link left there would be written through
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys, atomically: equal values give equal bytes.

    Args:
        path: The file.
        value: Dicts, lists, text and finite numbers.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    write_whole(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write an image as PNG, atomically.

    Args:
        path: The file.
        pixels: `(H, W)` uint8 or uint16, or `(H, W, 3)` uint8 RGB.
    """
    import cv2  # only here: reading and writing JSON needs no OpenCV

    _, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1]))
    write_whole(path, lambda partial: partial.write_bytes(data.tobytes()))
