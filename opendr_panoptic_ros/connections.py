# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Connections to HTTP and FTP servers, from which a file is read from its start or from a position in it."""

from __future__ import annotations

import ftplib
import http.client
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, NamedTuple

from typing_extensions import override

from opendr_panoptic_ros.errors import DownloadError, plain


class Stream(NamedTuple):
    """A transfer that has begun.

    Attributes:
        file: The bytes, from the offset on.
        total_bytes: Size of the whole file; None if the server does not give it.
        offset_bytes: Position in the file at which the transfer starts.
        validator: ETag or date of this version of the file; None if the server gives neither.
    """

    file: IO[bytes]
    total_bytes: int | None
    offset_bytes: int
    validator: str | None


class Resume(NamedTuple):
    """The rest of an interrupted transfer.

    Attributes:
        offset_bytes: Position in the file at which to continue.
        validator: ETag or date of the version of the file that was begun.
    """

    offset_bytes: int
    validator: str


Connect = Callable[[str, "Resume | None", float], AbstractContextManager[Stream]]
"""Opens a URL, from its start or where an earlier transfer ended, with a timeout in seconds."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections within a host, or to any host if a checksum verifies the content."""

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


def http_connection(*, any_host: bool) -> Connect:
    """Return a function that opens HTTP and HTTPS addresses.

    Args:
        any_host: Whether redirections to other hosts are followed.

    Returns:
        The function. It raises DownloadError for a redirection that is not followed or an answer that is not valid.
    """
    opener = urllib.request.build_opener(_Redirects(any_host=any_host))

    @contextmanager
    def connect(url: str, resume: Resume | None, timeout_s: float) -> Iterator[Stream]:
        headers = {"Accept-Encoding": "identity"}
        if resume is not None:
            headers |= {"Range": f"bytes={resume.offset_bytes}-", "If-Range": resume.validator}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - download() checks the scheme
        with opener.open(request, timeout=timeout_s) as response:
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise DownloadError(f"{url} is sent in the encoding {plain(encoding)}; expected the file itself.")
            etag = response.headers.get("ETag")
            # A weak ETag (W/) does not guarantee equal bytes.
            validator = etag if etag and etag.startswith('"') else response.headers.get("Last-Modified")
            length = response.headers.get("Content-Length")
            if length is not None and not re.fullmatch(r"\d{1,15}", length):
                raise DownloadError(f"{url} has the length {plain(length)}; expected a number of bytes.")
            if response.status != 206:  # the whole file; also from a server that cannot resume
                yield Stream(response, int(length) if length else None, 0, validator)
                return
            place = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
            if resume is None or place is None or int(place[1]) != resume.offset_bytes:
                raise DownloadError(f"{url} is sent from another position than requested.")
            yield Stream(response, int(place[2]), resume.offset_bytes, validator)

    return connect


@contextmanager
def ftp_connection(url: str, resume: Resume | None, timeout_s: float) -> Iterator[Stream]:
    """Open an FTP address.

    Args:
        url: The address.
        resume: The rest of an interrupted transfer, or None for the whole file.
        timeout_s: Longest silence of the server, in s.

    Yields:
        The transfer.
    """
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
            yield Stream(file, size, offset_bytes, date)
    finally:
        ftp.close()  # not quit(): after an early end, the reply to the transfer is still pending
