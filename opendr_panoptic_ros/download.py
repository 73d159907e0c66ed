# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Download the released weights, when asked to; an interrupted transfer is resumed.

Nothing gets its name before it is complete and readable as a checkpoint. Plain FTP and HTTP without a SHA-256 trust
everyone on the way between the server and this computer: weights that are exchanged there cannot run code, but they can
misjudge what a camera sees.
"""

from __future__ import annotations

import fcntl
import ftplib
import hashlib
import http.client
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from typing_extensions import override

from opendr_panoptic_ros.checkpoint import load_checkpoint, weights_directory
from opendr_panoptic_ros.errors import CheckpointError, DownloadError, plain
from opendr_panoptic_ros.files import expand_user, is_file

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
    """Download the released weights, unless they are there already.

    Args:
        trained_on: `cityscapes` or `kitti`.
        directory: Folder of the file; by default the one in which `load_checkpoint` finds named weights.
        url: Folder on a server; by default `$OPENDR_PANOPTIC_WEIGHTS_URL`, else OpenDR's server.
        sha256: Checksum of the file in hexadecimal digits, also of a file that is there already.
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
    """Download a file, unless it is there already.

    An interrupted transfer leaves a hidden `.partial` file beside `path`, which the next call continues if the server
    still has the same file, by its ETag or its date.

    Args:
        url: An address that begins with http, https or ftp. A redirection to another host is followed only with a
            `sha256`, one to another scheme only from http to https.
        path: Where to put the file.
        sha256: Checksum of the file in hexadecimal digits, also of a file that is there already.
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
    connect: _Connect = _ftp if scheme == "ftp" else _http(any_host=sha256 is not None)
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
        validator: What tells versions apart: an ETag or a date; None if the server gives neither.

    Returns:
        A hidden file in the same folder.
    """
    version = hashlib.sha256(validator.encode(errors="replace")).hexdigest()[:12] if validator else "unknown"
    return path.with_name(f".{path.name}.{total_bytes or 'unknown'}.{version}.partial")


def _check_existing(path: Path, sha256: str | None, check: Callable[[Path], object] | None) -> None:
    if not is_file(path):
        raise DownloadError(f"{path} is not a file. Remove it to fetch the file.")
    if sha256 is not None and _sha256(path) != sha256.lower():
        raise DownloadError(f"{path} is there, but its SHA-256 is not {sha256}. Remove it to fetch it again.")
    try:
        if check is not None:
            check(path)
    except CheckpointError as error:
        raise DownloadError(f"{path} is there, but unusable. Remove it to fetch it again. {error}") from error


def _check_new(url: str, partial: Path, sha256: str | None, check: Callable[[Path], object] | None) -> None:
    """Remove what was downloaded, and raise DownloadError, if it is not what it should be."""
    if sha256 is not None and (found := _sha256(partial)) != sha256.lower():
        partial.unlink()
        raise DownloadError(f"{url} has the SHA-256 {found}; expected {sha256}. What was fetched has been removed.")
    try:
        if check is not None:
            check(partial)
    except CheckpointError as error:
        partial.unlink()
        raise DownloadError(f"{url} is not usable. What was fetched has been removed. {error}") from error


class _Stream(NamedTuple):
    """A transfer under way. total_bytes: of the whole file; None when the server does not give it. offset_bytes: where
    the transfer starts. validator: see `partial_path`.
    """

    file: IO[bytes]
    total_bytes: int | None
    offset_bytes: int
    validator: str | None


class _Resume(NamedTuple):
    """Where a transfer shall start, and of which version of the file."""

    offset_bytes: int
    validator: str


_Connect = Callable[[str, "_Resume | None", float], AbstractContextManager[_Stream]]
"""Opens a URL, from its start or where an earlier transfer ended, with a timeout in seconds."""


@contextmanager
def _transfer(connect: _Connect, url: str, path: Path, *, show_progress: bool, timeout_s: float) -> Iterator[Path]:
    """Yield the complete file under a temporary name, which nobody else writes to meanwhile."""
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
                with connect(url, _Resume(done, validator), timeout_s) as rest:
                    if (rest.total_bytes, rest.validator) != (total_bytes, validator):
                        partial.unlink()
                        raise DownloadError(f"{url} has changed during the transfer; call again.")
                    _copy(rest, file, partial, show_progress=show_progress)
            size = os.fstat(file.fileno()).st_size
            if total_bytes is not None and size != total_bytes:
                if size > total_bytes or not validator:
                    partial.unlink()
                raise DownloadError(
                    f"{url}: the transfer ended after {size} of {total_bytes} bytes; call again to go on."
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


def _copy(stream: _Stream, file: BinaryIO, partial: Path, *, show_progress: bool) -> None:
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
                    f"The server sent more than {limit_bytes} bytes; what was fetched has been removed."
                )
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise DownloadError(f"{partial} cannot be written: {error.strerror}.") from error
            progress.advance(task, len(chunk))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections within a host, or to any host where a checksum tells whether the content is right."""

    def __init__(self, *, any_host: bool) -> None:
        self._any_host = any_host

    @override
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in {old.scheme, "https"}:
            raise DownloadError(f"{req.full_url} redirects to {plain(newurl, 100)}, which is not followed.")
        if new.hostname != old.hostname and not self._any_host:
            raise DownloadError(
                f"{req.full_url} redirects to another host, {plain(new.hostname)}; give the SHA-256 of the file, or "
                "that address."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _http(*, any_host: bool) -> _Connect:
    opener = urllib.request.build_opener(_Redirects(any_host=any_host))

    @contextmanager
    def connect(url: str, resume: _Resume | None, timeout_s: float) -> Iterator[_Stream]:
        headers = {"Accept-Encoding": "identity"}
        if resume is not None:
            headers |= {"Range": f"bytes={resume.offset_bytes}-", "If-Range": resume.validator}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - download() checks the scheme
        with opener.open(request, timeout=timeout_s) as response:
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise DownloadError(f"{url} is sent in the encoding {plain(encoding)}; expected the file itself.")
            etag = response.headers.get("ETag")
            # A weak ETag (W/) stands for equal meaning, not for equal bytes.
            validator = etag if etag and etag.startswith('"') else response.headers.get("Last-Modified")
            length = response.headers.get("Content-Length")
            if length is not None and not re.fullmatch(r"\d{1,15}", length):
                raise DownloadError(f"{url} has the length {plain(length)}; expected a number of bytes.")
            if response.status != 206:  # also the answer of a server that cannot start in the middle
                yield _Stream(response, int(length) if length else None, 0, validator)
                return
            place = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
            if resume is None or place is None or int(place[1]) != resume.offset_bytes:
                raise DownloadError(f"{url} is sent from another place than was asked for.")
            yield _Stream(response, int(place[2]), resume.offset_bytes, validator)

    return connect


@contextmanager
def _ftp(url: str, resume: _Resume | None, timeout_s: float) -> Iterator[_Stream]:
    parts = urllib.parse.urlsplit(url)
    ftp = ftplib.FTP(timeout=timeout_s)  # noqa: S321 - OpenDR's server offers nothing else
    try:
        ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        ftp.login(urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or ""))
        path = urllib.parse.unquote(parts.path).lstrip("/")
        ftp.voidcmd("TYPE I")
        size = ftp.size(path)
        try:
            date = ftp.voidcmd(f"MDTM {path}")
        except ftplib.error_perm:
            date = None  # without a date, a transfer starts from the beginning
        offset_bytes = resume.offset_bytes if resume else 0
        connection = ftp.transfercmd(f"RETR {path}", rest=offset_bytes or None)
        with connection, connection.makefile("rb") as file:
            yield _Stream(file, size, offset_bytes, date)
    finally:
        ftp.close()  # not quit(): the answer to a transfer that ended early is pending


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
