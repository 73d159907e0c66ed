# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The parts of the demo that need no process of their own: its source, its report, its page, its shared memory."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import shutil
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.paths import ROOT

from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE, BagFrame, serialized
from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.demo import dds
from opendr_panoptic_ros.demo.processes import ChildProcesses
from opendr_panoptic_ros.demo.source import open_source, synthetic_drive
from opendr_panoptic_ros.errors import DatasetError, PanopticError
from opendr_panoptic_ros.outputs import SEGMENTATION


def test_a_video_gives_its_frames_at_its_own_pace(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for red in range(0, 250, 50):
        writer.write(np.full((48, 64, 3), (0, 0, red), np.uint8))
    writer.release()
    source = open_source(path, 100)
    assert (source.count, source.rate_hz, source.size_px) == (5, 25, (64, 48))
    frames = list(source.frames)
    assert [int(frame[..., 0].mean().round(-1)) for frame in frames] == [0, 50, 100, 150, 200]
    assert len(list(open_source(path, 2).frames)) == 2


def test_without_a_video_there_is_a_synthetic_drive():
    source = open_source(None, 3)
    first, second, third = source.frames
    assert source.size_px == (512, 256)
    assert first.shape == (256, 512, 3)
    assert first.dtype == np.uint8
    assert (first != second).any()
    assert (second != third).any()


def test_a_source_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no video file or image folder"):
        open_source(tmp_path / "missing.mp4", 1)
    with pytest.raises(DatasetError, match=r"text\.mp4 is not a video"):
        open_source(tmp_path / "text.mp4", 1)
    with pytest.raises(DatasetError, match=r"nothing in .*empty"):
        open_source(tmp_path / "empty", 1)


@pytest.mark.ros
def test_results_equal_to_the_drives_truth_have_the_quality_one(tmp_path):
    pytest.importorskip("rclpy")
    quality = quality_of_results(tmp_path, lambda truth: truth)
    assert (quality.all.pq, quality.things.pq, quality.stuff.pq) == (1, 1, 1)
    assert quality.per_class["car"].tp >= 1


@pytest.mark.ros
def test_results_about_another_frame_are_worse(tmp_path):
    pytest.importorskip("rclpy")
    mirrored = quality_of_results(
        tmp_path, lambda truth: truth.with_map(np.ascontiguousarray(truth.segment_map[:, ::-1]))
    )
    assert mirrored.all.pq < 0.7


@pytest.mark.ros
def test_a_network_of_other_classes_has_no_quality_on_the_drive(tmp_path):
    pytest.importorskip("rclpy")
    assert quality_of_results(tmp_path, lambda truth: truth, label="tree") is None


def quality_of_results(tmp_path, answer, label=None):
    """The quality of a bag with results of the frames 1 and 3 of the drive, made from their truth."""
    from opendr_panoptic_ros.demo.quality import drive_quality

    drive, stamps_ns = synthetic_drive(4), [10**9 * second for second in range(4)]
    types, writer = typestore().types, BagWriter(tmp_path / "bag")
    writer.add_topic("/segmentation", SEGMENTATION_TYPE)
    for number in (1, 3):
        prediction = answer(drive[number][1])
        if label is not None:
            segments = tuple(dataclasses.replace(s, label=label) for s in prediction.segments)
            prediction = dataclasses.replace(prediction, segments=segments)
        header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](number, 0), "camera")
        frame = BagFrame(Message("/image_raw", IMAGE, number, b""), header, np.zeros((*prediction.shape, 3), np.uint8))
        writer.write(number, {"/segmentation": serialized(SEGMENTATION, frame, prediction)})
    writer.close()
    return drive_quality(tmp_path / "bag", "/segmentation", drive, stamps_ns)


def test_the_page_has_everything_in_it(tmp_path):
    from opendr_panoptic_ros.demo.page import write_page
    from opendr_panoptic_ros.demo.report import DemoResult, Moment

    (tmp_path / "overlay.webm").write_bytes(b"a video")
    result = DemoResult(
        published=5, received=4, answered=2, dropped=2, failed=0, result_stamps_ns=(0, 10**9),
        result_times_ns=(2 * 10**8, 12 * 10**8), first_result_s=3.25, image_size_px=(8, 6), checkpoint="<mine>.pth",
        device="cpu", quality=None,
    )  # fmt: skip
    red = np.full((6, 8, 3), (255, 0, 0), np.uint8)
    write_page(
        tmp_path / "index.html",
        result,
        tmp_path / "overlay.webm",
        [Moment(0.0, {"input": red}), Moment(1.0, {"input": red})],
    )
    page = (tmp_path / "index.html").read_text()
    assert "2 of 5 frames answered" in page
    assert "&lt;mine&gt;.pth" in page
    assert "<td>latency p50 / p95, frame to message</td><td>200 / 200 ms</td>" in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert [source.partition(",")[0] for source in sources] == [
        "data:video/webm;base64", "data:image/jpeg;base64", "data:image/jpeg;base64"
    ]  # fmt: skip
    assert base64.b64decode(sources[0].partition(",")[2]) == b"a video"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(sources[1].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.abs(picture[..., ::-1].astype(int) - red).max() < 8
    assert not re.search(r"https?://|<link|<script", page)


def test_a_domain_in_use_or_reserved_is_not_chosen(monkeypatch):
    # Numbers beyond those of the demo, so that nothing else on this machine has them.
    monkeypatch.setattr(dds, "random", SimpleNamespace(sample=lambda *_: iter([107, 108, 109])))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * 107 + 10))
        with dds.reserved_domain_id() as first, dds.reserved_domain_id() as second:
            assert (first, second) == (108, 109)
            with (
                pytest.raises(PanopticError, match="Every ROS_DOMAIN_ID from 1 to 100 is in use"),
                dds.reserved_domain_id(),
            ):
                pass
        with dds.reserved_domain_id() as again:
            assert again == 108


def test_shared_memory_fits_the_images_unless_the_user_has_a_profile(tmp_path, monkeypatch):
    pytest.importorskip("rclpy")
    profile = ROOT / "config" / "fastdds_large_images.xml"
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    environment = dds.dds_environment(1, tmp_path, profile, 20_000_000)
    (fitted,) = (environment[name] for name in names if name in environment)
    assert "<segment_size>60000000</segment_size>" in Path(fitted).read_text()
    monkeypatch.setenv(names[0], "/home/user/profile.xml")
    assert not set(names) & set(dds.dds_environment(1, tmp_path, profile, 20_000_000))
    assert os.environ[names[0]] == "/home/user/profile.xml"


@pytest.mark.parametrize(
    ("size", "video_size"), [((512, 256), (512, 256)), ((2048, 1023), (1280, 640)), ((1, 1), (16, 16))]
)
def test_video_sizes_are_even_and_limited(size, video_size):
    from opendr_panoptic_ros.demo.report import _video_size

    assert _video_size(*size) == video_size


def test_ctrl_c_while_a_process_starts_is_not_lost(tmp_path):
    """Python discards what a signal handler raises in a fork hook, where this signal arrives."""
    hooks = [lambda: os.kill(os.getpid(), signal.SIGINT)]
    os.register_at_fork(after_in_parent=lambda: hooks and hooks.pop()())
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    children = ChildProcesses(tmp_path)
    try:
        with pytest.raises(KeyboardInterrupt):
            children.start("sleep", ["sleep", "60"])
        assert children.is_running("sleep")
    finally:
        children.close()
        signal.signal(signal.SIGINT, previous)
