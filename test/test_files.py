# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Folders of unfinished work: one process at a time, and what a killed one left is replaced."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opendr_panoptic_ros.files import WorkFolder, read_json, stays_inside

WORK = """
import sys, time
from pathlib import Path
from opendr_panoptic_ros.files import WorkFolder
folder = Path(sys.argv[1])
work = WorkFolder(folder)
(folder / "half").mkdir()
(folder / "half" / "done.bin").write_bytes(b"1")
print("ready", flush=True)
time.sleep(600)
"""


def test_a_living_process_is_respected_and_a_killed_one_is_replaced(tmp_path):
    folder = tmp_path / "out.partial"
    process = subprocess.Popen([sys.executable, "-c", WORK, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for refused in (WorkFolder, WorkFolder.check):
            with pytest.raises(OSError, match="another process is writing to it"):
                refused(folder)
        assert (folder / "half" / "done.bin").read_bytes() == b"1"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    WorkFolder.check(folder)
    assert (folder / "half").exists(), "check changes nothing"
    work = WorkFolder(folder)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    with pytest.raises(OSError, match="another process is writing to it"):
        WorkFolder(folder)
    work.remove()
    assert not folder.exists()


def test_what_is_not_unfinished_work_is_kept(tmp_path):
    """Folders and files of the user, and links to them."""
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "text").write_text("mine")
    (tmp_path / "link").symlink_to(thesis)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("missing")
    for path in (thesis, tmp_path / "link", tmp_path / "file", tmp_path / "dangling"):
        with pytest.raises(OSError, match="not a folder of unfinished work"):
            WorkFolder(path)
    assert (thesis / "text").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    WorkFolder(tmp_path / "empty").remove()


def test_links_inside_are_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    folder = tmp_path / "out.partial"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / "link").symlink_to(tmp_path / "mine")
    WorkFolder(folder).remove()
    assert (tmp_path / "mine" / "text").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "inside"),
    [("a.png", True), ("sub/a.png", True), ("..a.png", True), ("../a.png", False), ("sub/../../a.png", False),
     ("/a.png", False), ("..", False), ("", False), (".", False), ("a\0.png", False)],
)  # fmt: skip
def test_names_that_stay_in_their_folder(name, inside):
    assert stays_inside(name) is inside


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"nul"])
def test_what_is_no_json_is_a_value_error(tmp_path: Path, content: bytes):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "file.json")
