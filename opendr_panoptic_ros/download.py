# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Download of the released weights. It happens only on request, and an interrupted transfer is resumed.

A file gets its name only when it is complete and readable as a checkpoint. Plain FTP and HTTP are not authenticated:
without a SHA-256, anyone on the network path can replace the weights. Replaced weights cannot run code, but they can
produce wrong segmentations.
"""

from __future__ import annotations

import fcntl
import ftplib
import hashlib
import http.client
import os
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from opendr_panoptic_ros.checkpoint import load_checkpoint, weights_directory
from opendr_panoptic_ros.connections import Connect, Resume, Stream, ftp_connection, http_connection
from opendr_panoptic_ros.errors import CheckpointError, DownloadError, plain
from opendr_panoptic_ros.files import expand_user, is_file, sha256_of

WEIGHTS_URL = "ftp://opendrdata.csd.auth.gr/perception/panoptic_segmentation/models"
"""The folder of OpenDR's server that holds `model_cityscapes.pth` and `model_kitti.pth`."""
WEIGHTS_URL_VARIABLE = "OPENDR_PANOPTIC_WEIGHTS_URL"
"""The environment variable that names another such folder."""
TRAINED_ON = ("cityscapes", "kitti")

MAX_BYTES = 8 << 30
"""Largest file that is downloaded."""

_CHUNK_BYTES = 1 << 20


def download_weights(
    trained_on: str = "cityscapes",
    directory: str | Path | None = None,
    *,
    url: str | None = None,
    sha256: str | None = None,
    show_progress: bool = True,
    timeout_s: float = 30.0,
) -> Path:
    """Download the released weights, unless they exist already.

    Args:
        trained_on: `cityscapes` or `kitti`.
        directory: Folder of the file; by default the one in which `load_checkpoint` finds named weights.
        url: Folder on a server; by default `$OPENDR_PANOPTIC_WEIGHTS_URL`, else OpenDR's server.
        sha256: Checksum of the file in hexadecimal digits, also of a file that exists already.
        show_progress: Whether to draw a progress bar.
        timeout_s: Longest silence of the server, in s.

    Returns:
        The file, `model_NAME.pth`, which is a readable checkpoint.

    Raises:
        ValueError: There are no weights of that name.
        DownloadError: The download failed, or the file is not a checkpoint.
    """
    if trained_on not in TRAINED_ON:
        raise ValueError(f"trained_on is {trained_on!r}; expected one of {', '.join(TRAINED_ON)}.")
    name = f"model_{trained_on}.pth"
    folder = url or os.environ.get(WEIGHTS_URL_VARIABLE) or WEIGHTS_URL
    try:
        target = (weights_directory() if directory is None else expand_user(directory)) / name
    except OSError as error:
        raise DownloadError(f"The folder for {name} is not known: {error}.") from error
    return download(
        f"{folder.rstrip('/')}/{name}",
        target,
        sha256=sha256,
        check=load_checkpoint,
        show_progress=show_progress,
        timeout_s=timeout_s,
    )


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    show_progress: bool = True,
    timeout_s: float = 30.0,
) -> Path:
    """Download a file, unless it exists already.

    An interrupted transfer leaves a hidden `.partial` file beside `path`, which the next call continues if the server
    still has the same file, by its ETag or its date.

    Args:
        url: An address that begins with http, https or ftp. A redirection to another host is followed only with a
            `sha256`, one to another scheme only from http to https.
        path: Where to put the file.
        sha256: Checksum of the file in hexadecimal digits, also of a file that exists already.
        check: Called with the complete file before it gets its name; raises CheckpointError if it is unusable.
        show_progress: Whether to draw a progress bar.
        timeout_s: Longest silence of the server, in s.

    Returns:
        The path of the file.

    Raises:
        DownloadError: The server cannot be reached or has no such file, the transfer was interrupted, or the content
            is not what was expected.
    """
    path = Path(path).expanduser()
    if path.exists() or path.is_symlink():
        _check_existing(path, sha256, check)
        return path
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https", "ftp"):
        raise DownloadError(f"{plain(url, 200)} is not a URL to fetch from; expected http://, https:// or ftp://.")
    connect: Connect = ftp_connection if scheme == "ftp" else http_connection(any_host=sha256 is not None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(0, "not writable")
    except OSError as error:
        raise DownloadError(
            f"The folder {path.parent} cannot be written to ({error.strerror}); give another one with --out or set "
            "OPENDR_PANOPTIC_HOME."
        ) from error
    try:
        with _transfer(connect, url, path, show_progress=show_progress, timeout_s=timeout_s) as partial:
            _check_new(url, partial, sha256, check)
            partial.replace(path)
    except DownloadError:
        raise
    except (OSError, EOFError, ValueError, ftplib.Error, http.client.HTTPException) as error:
        raise DownloadError(
            f"{plain(url, 200)} cannot be fetched: {plain(str(error), 120)}. Check the network and the address; call "
            f"again to continue an interrupted transfer. Without a network, put the file at {path} by other means."
        ) from error
    return path


def partial_path(path: Path, total_bytes: int | None, validator: str | None) -> Path:
    """Return the name of an incomplete file, which differs for other versions of the file on the server.

    Args:
        path: The complete file.
        total_bytes: Size of the complete file, if known.
        validator: ETag or date of the version; None if the server gives neither.

    Returns:
        A hidden file in the same folder.
    """
    version = hashlib.sha256(validator.encode(errors="replace")).hexdigest()[:12] if validator else "unknown"
    return path.with_name(f".{path.name}.{total_bytes or 'unknown'}.{version}.partial")


def _check_existing(path: Path, sha256: str | None, check: Callable[[Path], object] | None) -> None:
    if not is_file(path):
        raise DownloadError(f"{path} is not a file. Remove it to fetch the file.")
    if sha256 is not None and sha256_of(path) != sha256.lower():
        raise DownloadError(f"{path} exists, but its SHA-256 is not {sha256}. Remove it to fetch it again.")
    try:
        if check is not None:
            check(path)
    except CheckpointError as error:
        raise DownloadError(f"{path} exists, but is unusable. Remove it to fetch it again. {error}") from error


def _check_new(url: str, partial: Path, sha256: str | None, check: Callable[[Path], object] | None) -> None:
    """Raise DownloadError and remove the file if the checksum differs or `check` refuses it."""
    if sha256 is not None and (found := sha256_of(partial)) != sha256.lower():
        partial.unlink()
        raise DownloadError(f"{url} has the SHA-256 {found}; expected {sha256}. The downloaded file has been removed.")
    try:
        if check is not None:
            check(partial)
    except CheckpointError as error:
        partial.unlink()
        raise DownloadError(f"{url} is not usable. The downloaded file has been removed. {error}") from error


@contextmanager
def _transfer(connect: Connect, url: str, path: Path, *, show_progress: bool, timeout_s: float) -> Iterator[Path]:
    """Yield the complete file under a temporary name; a lock keeps other downloads from writing to it."""
    with connect(url, None, timeout_s) as stream:
        partial = partial_path(path, stream.total_bytes, stream.validator)
        total_bytes, validator = stream.total_bytes, stream.validator
        with _open_locked(partial) as file:
            done = os.fstat(file.fileno()).st_size if total_bytes and validator else 0
            if done == 0 or done > (total_bytes or 0):
                done = 0
                _copy(stream, file, partial, show_progress=show_progress)
            if validator and 0 < done < (total_bytes or 0):
                stream.file.close()
                with connect(url, Resume(done, validator), timeout_s) as rest:
                    if (rest.total_bytes, rest.validator) != (total_bytes, validator):
                        partial.unlink()
                        raise DownloadError(f"{url} has changed during the transfer; call again.")
                    _copy(rest, file, partial, show_progress=show_progress)
            size = os.fstat(file.fileno()).st_size
            if total_bytes is not None and size != total_bytes:
                if size > total_bytes or not validator:
                    partial.unlink()
                raise DownloadError(
                    f"{url}: the transfer ended after {size} of {total_bytes} bytes; call again to continue."
                )
            yield partial


@contextmanager
def _open_locked(partial: Path) -> Iterator[BinaryIO]:
    """Open a file for writing; a link of its name is replaced, and a second process is refused."""
    if partial.is_symlink() or (partial.exists() and not is_file(partial)):
        partial.unlink()
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(f"{partial} is being written to by another download.") from error
        yield file


def _copy(stream: Stream, file: BinaryIO, partial: Path, *, show_progress: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    name = partial.name.removeprefix(".").split(".pth")[0]
    limit_bytes = MAX_BYTES if stream.total_bytes is None else stream.total_bytes
    done = stream.offset_bytes
    file.truncate(done)
    file.seek(done)
    with Progress(*columns, TimeRemainingColumn(), disable=not show_progress) as progress:
        task = progress.add_task(name, total=stream.total_bytes, completed=done)
        while chunk := stream.file.read(_CHUNK_BYTES):
            done += len(chunk)
            if done > limit_bytes:
                partial.unlink()
                raise DownloadError(
                    f"The server sent more than {limit_bytes} bytes; the downloaded part has been removed."
                )
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise DownloadError(f"{partial} cannot be written: {error.strerror}.") from error
            progress.advance(task, len(chunk))
