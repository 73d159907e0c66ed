# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag` on many bags, and in several processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.bags import drive, frames_in, read_bag, write_bag
from support.commands import run_command

from opendr_panoptic_ros.bags.writer import RECORD

KINDS = ("mcap", "sqlite3", "ros1")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with nine bags of three kinds; one cannot be read, one is damaged, and one has no images."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(6):
        write_bag(folder / f"drive{number}", KINDS[number % 3], drive(3))
    write_bag(folder / "words", "mcap", [("/chatter", 0, "hello")])
    (folder / "text.mcap").write_text("no bag")
    (file,) = write_bag(folder / "spoilt", "sqlite3", drive(20)).glob("*.db3")
    data = bytearray(file.read_bytes())
    place = len(data) * 7 // 10
    data[place : place + 8192] = bytes(8192)
    file.write_bytes(data)
    return folder


def test_many_bags(run_bag, recordings, tmp_path):
    code, out, err = run_bag(recordings, "--out-dir", "labelled", "--report", "report.json")
    assert code == 1, err
    assert "9 bags: 6 done, " in out
    report = json.loads((tmp_path / "report.json").read_text())
    entries = {Path(entry["bag"]).stem: entry for entry in report["bags"]}
    assert report["exit_status"] == 1
    assert len(entries) == 9
    for number in range(6):
        entry = entries[f"drive{number}"]
        assert (entry["status"], entry["frames"], entry["segmented"], entry["unreadable"]) == ("done", 3, 3, 0)
        assert entry["seconds"] > 0
        assert frames_in(read_bag(tmp_path / "labelled" / f"drive{number}"), "/cam/panoptic/semantic") == [0, 1, 2]
    assert (entries["words"]["status"], entries["text"]["status"]) == ("no images", "failed")
    assert "The bag has no images" in entries["words"]["reason"]
    assert "cannot be read as a bag" in entries["text"]["reason"]
    assert entries["spoilt"]["status"] == "damaged"
    assert 0 < entries["spoilt"]["segmented"] < 20
    assert sorted(path.name for path in (tmp_path / "labelled").iterdir()) == [
        *(f"drive{number}" for number in range(6)),
        "spoilt",
        "text.failed.json",
        "words.failed.json",
    ]

    before = bytes_of(tmp_path / "labelled")
    code, out, err = run_bag(recordings, "--out-dir", "labelled", "--report", "report.json")
    assert code == 1, err
    again = {Path(entry["bag"]).stem: entry for entry in json.loads((tmp_path / "report.json").read_text())["bags"]}
    assert all(entry["skipped"] for entry in again.values())
    for name, entry in again.items():
        assert entry | {"seconds": 0, "skipped": False} == entries[name] | {"seconds": 0}
    assert bytes_of(tmp_path / "labelled") == before


def test_what_is_done_depends_on_bag_checkpoint_and_options(run_bag, make_bag, tmp_path):
    source = make_bag(drive(2))
    arguments = (source, "--out-dir", "labelled", "--report", "report.json")

    def status_of(*options):
        code, _, _ = run_bag(*arguments, *options)
        (entry,) = json.loads((tmp_path / "report.json").read_text())["bags"]
        return code, entry["status"], entry["skipped"], entry["reason"]

    assert status_of() == (0, "done", False, "")
    assert status_of() == (0, "done", True, "")
    code, status, skipped, reason = status_of("--no-overlay")
    assert (code, status, skipped) == (1, "failed", False)
    assert "with other options; remove it, or use --overwrite" in reason
    assert status_of() == (0, "done", True, "")
    assert status_of("--no-overlay", "--overwrite") == (0, "done", False, "")
    assert status_of("--no-overlay") == (0, "done", True, "")
    shutil.rmtree(source)
    make_bag(drive(3))
    assert status_of("--no-overlay")[:2] == (1, "failed")
    assert status_of("--no-overlay", "--overwrite") == (0, "done", False, "")


def test_results_of_equal_names_are_told_apart(run_bag, tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        write_bag(tmp_path / folder / "drive", "ros1", drive(1))
    code, _, err = run_bag("*day/*.bag", "--out-dir", "labelled")
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "labelled").iterdir()) == ["monday_drive_bag", "tuesday_drive_bag"]


def test_what_is_wrong_with_the_arguments(run_bag, make_bag, tmp_path):
    source = make_bag(drive(1))
    for arguments, code, reason in (
        ((source,), 2, "give IN and OUT"),
        ((source, "a", "b"), 2, "give IN and OUT"),
        ((source, "out", "--report", "r.json"), 2, "need --out-dir"),
        (("none*", "--out-dir", "out"), 1, "There is no bag at none*"),
        (("none", "--out-dir", "out"), 1, "none does not exist"),
        ((source, "out", "--only", "--results-only"), 1, "exclude each other"),
        ((source, "out", "--compression", "lz4"), 1, "--compression is 'lz4'; expected one of zstd, none"),
    ):
        got, _, err = run_bag(*arguments)
        assert (got, reason in err) == (code, True), (arguments, err)
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(make_bag, tmp_path, tiny_checkpoint):
    """140 frames in batches of one are four segments. What depends on the options is in test/bags/test_segments.py."""
    source = make_bag(drive(140))
    for jobs in (1, 2):
        options = ("--batch", 1, "--checkpoint", tiny_checkpoint, "--jobs", jobs)
        code, _, err = run_command("bag", source, tmp_path / f"{jobs}" / "out", *options)
        assert code == 0, err
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")
    code, _, err = run_command("bag", source, "--out-dir", tmp_path / "3", *options, "--report", tmp_path / "r.json")
    assert code == 0, err
    (tmp_path / "3" / "in" / RECORD).unlink()
    result = {name.replace("in/in", "out/out").replace("in/", "out/") for name in bytes_of(tmp_path / "3")}
    assert result == set(bytes_of(tmp_path / "1"))
    assert (tmp_path / "3" / "in" / "in.mcap").read_bytes() != b""
