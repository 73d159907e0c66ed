# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading and writing files: only regular files of a limited size are read, and files are replaced atomically."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK_BYTES = 1 << 20


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


def read_json(path: Path) -> Any:
    """Read a regular file as JSON.

    Args:
        path: The path; links are followed.

    Returns:
        The content.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
        ValueError: The content is not JSON in UTF-8, or is nested too deeply.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the content of a file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def stays_inside(name: str) -> bool:
    """Return whether a file name of foreign data, joined to a folder, names something inside this folder.

    Args:
        name: A relative path, which may contain subfolders.

    Returns:
        False for absolute paths, for paths that contain `..`, and for those without a name.
    """
    path = PurePath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def check_writable_folder(path: Path) -> None:
    """Check, before work is done, that its results can be written into a folder.

    Args:
        path: The folder; it need not exist.

    Raises:
        OSError: The path or a folder above it is a link whose target is missing, is not a folder, or is not writable.
    """
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.lexists(folder))
    if not existing.exists():
        raise FileNotFoundError(errno.ENOENT, "it is a link whose target is missing", os.fspath(existing))
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", os.fspath(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it is not writable", os.fspath(existing))


class WorkFolder:
    """A folder for unfinished work, locked while its process lives. What a process left that was killed is replaced.

    Args:
        path: The folder to make.

    Raises:
        OSError: Another process works in the folder, it has content that is not from such work, or it cannot be made.
    """

    _LOCK = ".lock"

    def __init__(self, path: Path) -> None:
        self.check(path)
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path / self._LOCK)
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != self._LOCK:
                entry.unlink()

    @classmethod
    def check(cls, path: Path) -> None:
        """Check that the folder can be used.

        Args:
            path: The folder; it need not exist.

        Raises:
            OSError: Another process works in the folder, or it has content that is not from such work.
        """
        if not os.path.lexists(path):
            return
        lock = path / cls._LOCK
        if path.is_symlink() or not path.is_dir() or not (is_file(lock) or not any(path.iterdir())):
            raise FileExistsError(errno.EEXIST, "it exists and is not a folder of unfinished work", os.fspath(path))
        if lock.exists():
            _locked(lock).close()

    def remove(self) -> None:
        """Remove the folder and end the lock."""
        shutil.rmtree(self._path)
        self._lock.close()


def _locked(path: Path) -> BufferedReader:
    """Open and lock a file, which is made if it is missing. Closing it, or the end of the process, ends the lock."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644), "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        reason = "another process is writing to it" if isinstance(error, BlockingIOError) else str(error.strerror)
        raise OSError(error.errno, reason, os.fspath(path.parent)) from error
    return file


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
