# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Downloads from real local HTTP and FTP servers: whole, broken and resumed, wrong, absent."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import hashlib
import http.server
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import ModelConfig
from opendr_panoptic_ros.download import WEIGHTS_URL, download, download_weights, partial_path
from opendr_panoptic_ros.errors import DownloadError
from opendr_panoptic_ros.network import EfficientPS


def checkpoint_bytes() -> bytes:
    """A checkpoint of 5 MB, which is several chunks."""
    model = ModelConfig(
        backbone_width=0.25, backbone_depth=0.3, fpn_channels=16, semantic_channels=8, box_head_width=900
    )
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(EfficientPS(model), Path(folder, "a.pth"))
        return Path(folder, "a.pth").read_bytes()


CONTENT = checkpoint_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class HttpServer:
    """Serves CONTENT under any path that ends in .pth. `requests`: the Range of each request, None for the whole.

    break_after: the next response ends after this many bytes. ranges: whether range requests are supported.
    etag: the version of the file. answer: called instead, for a server that misbehaves.
    """

    def __init__(self, *, ranges: bool = True) -> None:
        self.requests: list[str | None] = []
        self.break_after: int | None = None
        self.etag = '"one"'
        self.answer: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                outer.requests.append(wanted)
                if not self.path.endswith(".pth"):
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and ranges else 0
                body = CONTENT[start:]
                if outer.answer is not None:
                    outer.answer(self)
                    return
                if self.headers.get("If-Range", outer.etag) != outer.etag:
                    start, body = 0, CONTENT
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", outer.etag)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
                self.end_headers()
                count, outer.break_after = outer.break_after, None
                with contextlib.suppress(ConnectionError):  # the client has seen enough
                    self.wfile.write(body[:count])

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def http_server():
    server = HttpServer()
    yield server
    server.stop()


@pytest.fixture
def ftp_server(tmp_path):
    """A folder, the URL it is served at, and where each transfer from it started."""
    pytest.importorskip("pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    folder = tmp_path / "served"
    folder.mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(folder))
    restarts: list[int] = []

    class Handler(FTPHandler):
        def ftp_RETR(self, file):  # noqa: N802 - the library's name
            restarts.append(self._restart_position)
            return super().ftp_RETR(file)

    Handler.authorizer = authorizer
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False}, daemon=True)
    thread.start()
    yield folder, f"ftp://127.0.0.1:{server.socket.getsockname()[1]}", restarts
    server.close_all()
    thread.join(timeout=5)


def test_fetched_once(http_server, tmp_path):
    path = download_weights("cityscapes", tmp_path / "new", url=http_server.url, sha256=SHA256, show_progress=False)
    assert path == tmp_path / "new" / "model_cityscapes.pth"
    assert path.read_bytes() == CONTENT
    assert download_weights("cityscapes", tmp_path / "new", url=http_server.url, show_progress=False) == path
    assert len(http_server.requests) == 1
    assert [p.name for p in path.parent.iterdir()] == ["model_cityscapes.pth"]


def test_a_broken_transfer_is_resumed(http_server, tmp_path):
    http_server.break_after = 3_000_000
    path = tmp_path / "model.pth"
    with pytest.raises(DownloadError, match=rf"ended after 3000000 of {len(CONTENT)} bytes; call again"):
        download(f"{http_server.url}/model.pth", path, show_progress=False)
    assert not path.exists()
    assert download(f"{http_server.url}/model.pth", path, show_progress=False).read_bytes() == CONTENT
    assert http_server.requests[-1] == "bytes=3000000-"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


def test_a_server_without_ranges_sends_it_again(tmp_path):
    server = HttpServer(ranges=False)
    try:
        server.break_after = 1_000_000
        path = tmp_path / "model.pth"
        with pytest.raises(DownloadError, match="call again"):
            download(f"{server.url}/model.pth", path, show_progress=False)
        assert download(f"{server.url}/model.pth", path, show_progress=False).read_bytes() == CONTENT
    finally:
        server.stop()


def test_the_rest_of_another_version_is_not_used(http_server, tmp_path):
    (tmp_path / ".model.pth.123.partial").write_bytes(b"x" * 100)
    path = download(f"{http_server.url}/model.pth", tmp_path / "model.pth", show_progress=False)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(http_server, tmp_path):
    with pytest.raises(DownloadError, match=f"has the SHA-256 {SHA256}; expected 00"):
        download(f"{http_server.url}/model.pth", tmp_path / "model.pth", sha256="00", show_progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_checked_too(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"old")
    with pytest.raises(DownloadError, match="Remove it to fetch it again"):
        download("http://127.0.0.1:1/model.pth", path, sha256=SHA256)
    assert path.read_bytes() == b"old"


def test_no_such_file(http_server, tmp_path):
    with pytest.raises(DownloadError, match="cannot be fetched: HTTP Error 404"):
        download(f"{http_server.url}/model.zip", tmp_path / "model.zip", show_progress=False)
    assert list(tmp_path.iterdir()) == []


def test_nobody_answers(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(DownloadError, match=r"cannot be fetched.*refused.*Check the network.*put the file at"):
            download_weights("kitti", tmp_path, url=url, show_progress=False)


def test_ftp(ftp_server, tmp_path):
    folder, url, _ = ftp_server
    (folder / "model_kitti.pth").write_bytes(CONTENT)
    path = download_weights("kitti", tmp_path / "cache", url=url, sha256=SHA256, show_progress=False)
    assert path.read_bytes() == CONTENT


def test_ftp_resumes(ftp_server, tmp_path):
    folder, url, restarts = ftp_server
    (folder / "model.pth").write_bytes(CONTENT)
    date = dt.datetime.fromtimestamp((folder / "model.pth").stat().st_mtime, dt.timezone.utc)
    partial = partial_path(tmp_path / "model.pth", len(CONTENT), f"213 {date:%Y%m%d%H%M%S}")
    partial.write_bytes(CONTENT[:2_000_000])
    path = download(f"{url}/model.pth", tmp_path / "model.pth", show_progress=False)
    assert path.read_bytes() == CONTENT
    assert restarts[-1] == 2_000_000


def test_ftp_has_no_such_file(ftp_server, tmp_path):
    with pytest.raises(DownloadError, match=r"cannot be fetched: 550"):
        download(f"{ftp_server[1]}/other.pth", tmp_path / "other.pth", show_progress=False)


def test_where_from(monkeypatch, http_server, tmp_path):
    assert WEIGHTS_URL == "ftp://opendrdata.csd.auth.gr/perception/panoptic_segmentation/models"
    monkeypatch.setenv("OPENDR_PANOPTIC_WEIGHTS_URL", http_server.url)
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path))
    assert download_weights("kitti", show_progress=False) == tmp_path / "model_kitti.pth"
    with pytest.raises(ValueError, match="trained_on is 'coco'; expected one of cityscapes, kitti"):
        download_weights("coco")
    with pytest.raises(DownloadError, match=r"expected http://, https:// or ftp://"):
        download("file:///etc/passwd", tmp_path / "x")


def test_a_progress_bar_is_drawn(http_server, tmp_path: Path, capsys):
    download(f"{http_server.url}/model.pth", tmp_path / "model.pth")
    assert "model" in capsys.readouterr().out


# --- servers that misbehave ------------------------------------------------------------------------------------------


def answer(body: bytes, status: int = 200, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """A response of the server other than the file; names of headers have _ for -."""

    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(body)

    return send


@pytest.mark.parametrize(
    ("send", "problem"),
    [
        (answer(b"<html>Log in to the network</html>"), "is not usable.*not a checkpoint"),
        (answer(b""), "is not usable"),
        (answer(CONTENT[:-1000]), "is not usable"),
        (answer(gzip.compress(b"x"), Content_Encoding="gzip"), "encoding gzip"),
        (answer(gzip.compress(CONTENT, 1)), "is not usable"),
        (answer(CONTENT, Content_Length="-5"), "has the length -5"),
        (answer(CONTENT, Content_Length="many"), "has the length many"),
        (answer(CONTENT, Content_Length=str(len(CONTENT) + 9)), "ended after"),
        (answer(CONTENT, Content_Length=str(len(CONTENT) - 9)), "is not usable"),
        (answer(CONTENT, 206, Content_Range="bytes 5-9/10"), "another position"),
        (answer(b"", 302, Location="file:///etc/passwd"), "Redirection"),
        (answer(b"", 302, Location="ftp://127.0.0.1/model.pth"), "redirect"),
        (answer(b"", 302, Location="http://localhost.invalid/model.pth"), "another host, localhost.invalid"),
        (answer(b"", 302, Location="/model_kitti.pth"), "cannot be fetched"),  # a circle
        (answer(b"", 503), "503"),
    ],
    ids=[*map(str, range(15))],
)
def test_only_a_checkpoint_gets_the_name(http_server, tmp_path, send, problem):
    http_server.answer = send
    with pytest.raises(DownloadError, match=problem) as caught:
        download_weights("kitti", tmp_path, url=http_server.url, show_progress=False)
    assert not (tmp_path / "model_kitti.pth").exists()
    assert len(str(caught.value)) < 700
    http_server.answer = None
    assert download_weights("kitti", tmp_path, url=http_server.url, show_progress=False).read_bytes() == CONTENT


def test_an_endless_answer_ends(http_server, tmp_path, monkeypatch):
    monkeypatch.setattr("opendr_panoptic_ros.download.MAX_BYTES", 1 << 20)
    http_server.answer = answer(CONTENT, Content_Length="")
    with pytest.raises(DownloadError, match="more than 1048576 bytes"):
        download_weights("kitti", tmp_path, url=http_server.url, show_progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_another_file_of_the_same_size_is_not_used(http_server, tmp_path):
    http_server.break_after = 2_000_000
    with pytest.raises(DownloadError, match="ended after"):
        download(f"{http_server.url}/model.pth", tmp_path / "model.pth", show_progress=False)
    (partial,) = tmp_path.iterdir()
    partial.write_bytes(b"x" * 2_000_000)  # of the old version
    http_server.etag = '"two"'
    path = download(f"{http_server.url}/model.pth", tmp_path / "model.pth", show_progress=False)
    assert path.read_bytes() == CONTENT


def test_a_link_is_not_written_through(http_server, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path = tmp_path / "new" / "model.pth"
    path.parent.mkdir()
    partial_path(path, len(CONTENT), http_server.etag).symlink_to(victim)
    assert download(f"{http_server.url}/model.pth", path, show_progress=False).read_bytes() == CONTENT
    assert victim.read_bytes() == b"mine"


def test_what_is_there_must_be_a_checkpoint(http_server, tmp_path):
    target = tmp_path / "model_kitti.pth"
    target.mkdir()
    with pytest.raises(DownloadError, match="is not a file"):
        download_weights("kitti", tmp_path, url=http_server.url)
    target.rmdir()
    target.write_bytes(b"<html>")
    with pytest.raises(DownloadError, match=r"unusable\. Remove it"):
        download_weights("kitti", tmp_path, url=http_server.url)
    assert http_server.requests == []


def test_two_at_once(http_server, tmp_path):
    import fcntl

    path = tmp_path / "model.pth"
    with partial_path(path, len(CONTENT), http_server.etag).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another download"):
            download(f"{http_server.url}/model.pth", path, show_progress=False)
    assert download(f"{http_server.url}/model.pth", path, show_progress=False).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written(http_server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cannot be written to.*--out"):
        download_weights("kitti", tmp_path / "file" / "cache", url=http_server.url, show_progress=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:bad/", "http://[", "ftp://127.0.0.1:1/a%0d%0aDELE x", "http://a b/"])
def test_odd_addresses(tmp_path, url):
    with pytest.raises(DownloadError):
        download_weights("kitti", tmp_path, url=url, show_progress=False)


def test_a_damaged_file_on_an_ftp_server(ftp_server, tmp_path):
    folder, url, _ = ftp_server
    (folder / "model_kitti.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match="is not usable"):
        download_weights("kitti", tmp_path / "cache", url=url, show_progress=False)
    assert list((tmp_path / "cache").iterdir()) == []
