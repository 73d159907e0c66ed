# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag` that does not come to its end: errors, a full disk, Ctrl-C, a kill."""

from __future__ import annotations

import re
import shutil
import signal
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.bags import ORIGIN_NS, STEP_NS, drive, frames_in, pictures, read_bag
from support.commands import run_command, start_command
from support.waiting import wait_for

from opendr_panoptic_ros.bags.mcap_output import McapOutput
from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.inference import PanopticSegmenter


def test_an_error_on_the_way_keeps_what_was_done(run_bag, make_bag, tmp_path, monkeypatch):
    original = BagWriter.write
    written = []

    def fails_fifth_time(self, time_ns, messages):
        written.append(time_ns)
        if len(written) == 5:
            raise RuntimeError("the disk is gone")
        original(self, time_ns, messages)

    monkeypatch.setattr(BagWriter, "write", fails_fifth_time)
    code, out, err = run_bag(make_bag(drive(6)), "out", "--batch", 2)
    assert (code, out) == (1, "4 frames segmented, results in out\n")
    assert "RuntimeError: the disk is gone" in err
    assert "--start 0.400000000" in err
    assert frames_in(read_bag(tmp_path / "out")) == [0, 1, 2, 3]


def test_a_frame_that_fails_in_the_network_fails_alone(run_bag, make_bag, tmp_path, monkeypatch):
    """As in the node: its batch is tried again frame by frame, and the frame is written without results."""
    original = PanopticSegmenter.__call__
    sent = drive(6)
    bad = sent[3][2]

    def fails_for_one(self, images, **options):
        if any(np.array_equal(image, bad) for image in images):
            raise RuntimeError("out of memory")
        return original(self, images, **options)

    monkeypatch.setattr(PanopticSegmenter, "__call__", fails_for_one)
    code, out, err = run_bag(make_bag(sent), "out", "--batch", 2)
    assert (code, out) == (1, "5 frames segmented, results in out\n")
    assert f"not segmented: /cam/image_raw at {ORIGIN_NS + 3 * STEP_NS} ns: RuntimeError: out of memory" in err
    messages = read_bag(tmp_path / "out")
    assert frames_in(messages) == [0, 1, 2, 3, 4, 5]
    assert frames_in(messages, "/cam/panoptic/semantic") == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("kind", ["ros1", "sqlite3"])
def test_all_that_can_be_read_of_a_damaged_bag_is_done(run_bag, make_bag, tmp_path, kind):
    source = make_bag(drive(20), kind)
    file = next(iter(source.glob("*.db3")), source)
    data = bytearray(file.read_bytes())
    damaged = len(data) * 7 // 10
    data[damaged : damaged + 8192] = bytes(8192)
    file.write_bytes(data)
    with BagReader(source) as reader:
        readable = frames_in({"/image": [m.time_ns for m in reader.messages(["/cam/image_raw"])]}, "/image")
        assert len(reader.damage) == 1
    assert 11 < len(readable) < 20
    assert readable[-1] == 19, "frames behind the damage are read"
    code, out, err = run_bag(source, "out", "--batch", 11)
    assert (code, out) == (1, f"{len(readable)} frames segmented, results in out\n")
    assert "damaged" in err
    messages = read_bag(tmp_path / "out")
    assert frames_in(messages) == frames_in(messages, "/cam/panoptic/semantic") == readable


def test_a_full_disk_keeps_what_was_done(run_bag, make_bag, tmp_path, monkeypatch):
    """The bag is completed while there is room for its end."""
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=2**40 if len(asked) <= 3 else 9 * 2**20)  # at the fourth frame

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    code, out, err = run_bag(make_bag(drive(6)), "out", "--batch", 2)
    assert (code, out) == (1, "3 frames segmented, results in out\n")
    assert "opendr-panoptic: The disk is full: 9 MB are left" in err
    assert "--start 0.300000000" in err
    messages = read_bag(tmp_path / "out")
    assert frames_in(messages, "/cam/panoptic/rgb_visualization") == [0, 1, 2]
    assert not (tmp_path / "out.partial").exists()


def test_a_bag_that_cannot_be_completed_is_named(run_bag, make_bag, tmp_path, monkeypatch):
    def fails(self, metadata):
        raise OSError(28, "No space left on device")

    source = make_bag(drive(2))
    monkeypatch.setattr(McapOutput, "finish", fails)
    code, _, err = run_bag(source, "out")
    assert code == 1
    assert "out.partial could not be completed and cannot be read; remove it: [Errno 28] No space left" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_second_ctrl_c_leaves_the_frames_in_work_and_a_whole_bag(run_bag, make_bag, tmp_path, monkeypatch, number):
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # the tests run under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    original = PanopticSegmenter.__call__
    calls = []

    def is_interrupted_twice(self, images, **options):
        calls.append(len(images))
        if len(calls) == 3:
            for _ in range(2):
                signal.raise_signal(number)
        return original(self, images, **options)

    monkeypatch.setattr(PanopticSegmenter, "__call__", is_interrupted_twice)
    sent = [("/compressed", i * STEP_NS, cv2.imencode(".png", each)[1].tobytes()) for i, each in enumerate(pictures(6))]
    sent[1] = ("/compressed", STEP_NS, b"no picture")
    code, out, err = run_bag(make_bag(sent), "out", "--batch", 2)
    assert code == 130, err
    assert out == ("3 frames segmented, results in out\nStopped. Continue into another bag with --start 0.400000000\n")
    assert f"not segmented: /compressed at {ORIGIN_NS + STEP_NS} ns" in err
    assert frames_in(read_bag(tmp_path / "out"), "/compressed") == [0, 1, 2, 3]
    assert not (tmp_path / "out.partial").exists()


def wait_until_it_writes(process, partial):
    def writes():
        assert process.poll() is None, process.communicate()
        return any(file.stat().st_size > 10_000 for file in partial.rglob("*.mcap"))

    wait_for(writes, "results in the bag")


@pytest.mark.slow
def test_ctrl_c_closes_the_bag_and_says_how_to_go_on(make_bag, tmp_path, tiny_checkpoint):
    count = 200
    source = make_bag([("/image", i * STEP_NS, picture) for i, picture in enumerate(pictures(20) * (count // 20))])
    options = ("--checkpoint", tiny_checkpoint, "--every", 2)
    process = start_command("bag", source, tmp_path / "first", *options)
    wait_until_it_writes(process, tmp_path / "first.partial")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    found = re.search(r"Stopped\. Continue into another bag with --start ([\d.]+)\n", out)
    assert found, out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "in"]

    code, out, err = run_command("bag", source, tmp_path / "second", *options, "--start", found[1])
    assert code == 0, err
    first, second = (read_bag(tmp_path / name) for name in ("first", "second"))
    assert 0 < len(first["/image"]) < count // 2
    for topic in set(first) - {"/panoptic/label_info"}:  # which each bag has once
        assert frames_in(first, topic) + frames_in(second, topic) == list(range(0, count, 2))


@pytest.mark.slow
def test_a_kill_leaves_only_the_partial_bag_which_the_next_run_replaces(make_bag, tmp_path, tiny_checkpoint):
    source = make_bag([("/image", i * STEP_NS, picture) for i, picture in enumerate(pictures(20) * 100)])
    process = start_command("bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint)
    wait_until_it_writes(process, tmp_path / "out.partial")
    code, _, err = run_command("bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint)
    assert (code, "out.partial cannot be replaced: another process is writing to it" in err) == (1, True), err
    process.kill()
    process.communicate()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.partial"]
    code, _, err = run_command("bag", source, tmp_path / "out", "--checkpoint", tiny_checkpoint, "--end", 0.3)
    assert code == 0, err
    assert frames_in(read_bag(tmp_path / "out"), "/image") == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
