# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Fetches the released weights: once, resuming a broken transfer, and only when asked to."""

from __future__ import annotations

import ftplib
import hashlib
import http.client
import os
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from opendr_panoptic_ros.checkpoint import weights_directory
from opendr_panoptic_ros.errors import DownloadError

WEIGHTS_URL = "ftp://opendrdata.csd.auth.gr/perception/panoptic_segmentation/models"
"""The folder of OpenDR's server that holds `model_cityscapes.pth` and `model_kitti.pth`."""
WEIGHTS_URL_VARIABLE = "OPENDR_PANOPTIC_WEIGHTS_URL"
"""The environment variable that names another such folder."""
TRAINED_ON = ("cityscapes", "kitti")

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
    """The file with the released weights, `model_NAME.pth`; fetched if it is not there yet.

    trained_on: cityscapes or kitti. directory: where to put it; without one, where `load_checkpoint` looks for names.
    url: of the folder that holds the file; without one `$OPENDR_PANOPTIC_WEIGHTS_URL`, else OpenDR's server.
    sha256: hexadecimal; what the file must have, also one that is there already. timeout_s: of the server's silence.
    Raises ValueError for other names, DownloadError when the file cannot be had.
    """
    if trained_on not in TRAINED_ON:
        raise ValueError(f"trained_on is {trained_on!r}; expected one of {', '.join(TRAINED_ON)}.")
    name = f"model_{trained_on}.pth"
    folder = url or os.environ.get(WEIGHTS_URL_VARIABLE) or WEIGHTS_URL
    target = (weights_directory() if directory is None else Path(directory).expanduser()) / name
    return download(
        f"{folder.rstrip('/')}/{name}", target, sha256=sha256, show_progress=show_progress, timeout_s=timeout_s
    )


def download(
    url: str, path: str | Path, *, sha256: str | None = None, show_progress: bool = True, timeout_s: float = 30.0
) -> Path:
    """`path` holds the file at `url` (http, https, ftp); nothing is fetched when it is there.

    A broken transfer leaves a hidden `.partial` file beside `path`; the next call goes on from its end.
    Raises DownloadError when the server cannot be reached or has no such file, the transfer breaks, or what came has
    another size or checksum than it should.
    """
    path = Path(path).expanduser()
    if path.exists():
        if sha256 is not None and _sha256(path) != sha256.lower():
            raise DownloadError(f"{path} is there, but its SHA-256 is not {sha256}. Remove it to fetch it again.")
        return path
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https", "ftp"):
        raise DownloadError(f"{url} is not a URL to fetch from; expected http://, https:// or ftp://.")
    connect = _ftp if scheme == "ftp" else _http
    try:
        partial = _transfer(connect, url, path, show_progress=show_progress, timeout_s=timeout_s)
    except DownloadError:
        raise
    except (OSError, EOFError, ftplib.Error, http.client.HTTPException) as error:
        raise DownloadError(
            f"{url} cannot be fetched: {error}. Check the network and the address; call again to go on where it broke "
            f"off. Without a network, put the file at {path} by other means."
        ) from error
    if sha256 is not None and (found := _sha256(partial)) != sha256.lower():
        partial.unlink()
        raise DownloadError(f"{url} has the SHA-256 {found}; expected {sha256}. What was fetched has been removed.")
    partial.replace(path)
    return path


class _Stream(NamedTuple):
    """A transfer under way. total_bytes: of the whole file; None when the server does not say. offset_bytes: where
    the transfer starts.
    """

    file: IO[bytes]
    total_bytes: int | None
    offset_bytes: int


_Connect = Callable[[str, int, float], AbstractContextManager[_Stream]]
"""Opens a URL at an offset in bytes, with a timeout in seconds."""


def _transfer(connect: _Connect, url: str, path: Path, *, show_progress: bool, timeout_s: float) -> Path:
    """The complete file under a temporary name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with connect(url, 0, timeout_s) as stream:
        # The size in the name: the rest of another version of the file is not put behind the first part of this one.
        partial = path.with_name(f".{path.name}.{stream.total_bytes or 'unknown'}.partial")
        done = partial.stat().st_size if stream.total_bytes and partial.exists() else 0
        if done == 0:
            _write(stream, partial, show_progress=show_progress)
    if 0 < done < (stream.total_bytes or 0):
        with connect(url, done, timeout_s) as rest:
            _write(rest, partial, show_progress=show_progress)
    size = partial.stat().st_size
    if stream.total_bytes is not None and size != stream.total_bytes:
        if size > stream.total_bytes:
            partial.unlink()
        raise DownloadError(
            f"{url}: the transfer ended after {size} of {stream.total_bytes} bytes; call again to go on."
        )
    return partial


def _write(stream: _Stream, partial: Path, *, show_progress: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    name = partial.name.removeprefix(".").split(".pth")[0]
    with (
        partial.open("r+b" if stream.offset_bytes else "wb") as file,
        Progress(*columns, TimeRemainingColumn(), disable=not show_progress) as progress,
    ):
        file.seek(stream.offset_bytes)
        task = progress.add_task(name, total=stream.total_bytes, completed=stream.offset_bytes)
        while chunk := stream.file.read(_CHUNK_BYTES):
            file.write(chunk)
            progress.advance(task, len(chunk))


@contextmanager
def _http(url: str, offset_bytes: int, timeout_s: float) -> Iterator[_Stream]:
    headers = {"Range": f"bytes={offset_bytes}-"} if offset_bytes else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was looked at
    with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
        length = response.headers.get("Content-Length")
        # A server that cannot start in the middle answers 200 with the whole file.
        start = offset_bytes if response.status == 206 else 0
        yield _Stream(response, start + int(length) if length else None, start)


@contextmanager
def _ftp(url: str, offset_bytes: int, timeout_s: float) -> Iterator[_Stream]:
    parts = urllib.parse.urlsplit(url)
    ftp = ftplib.FTP(timeout=timeout_s)  # noqa: S321 - OpenDR's server speaks nothing else
    try:
        ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        ftp.login(urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or ""))
        path = urllib.parse.unquote(parts.path).lstrip("/")
        ftp.voidcmd("TYPE I")
        size = ftp.size(path)
        connection = ftp.transfercmd(f"RETR {path}", rest=offset_bytes or None)
        with connection, connection.makefile("rb") as file:
            yield _Stream(file, size, offset_bytes)
    finally:
        ftp.close()  # not quit(): a transfer that was left early has an answer pending


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
