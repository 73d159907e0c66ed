# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The executable demo_camera: topics that can be remapped, parameters, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support.paths import ROOT

from opendr_panoptic_ros.codec.image import decode

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")


@pytest.fixture
def start():
    """Start the executable with ROS arguments; it is killed at the end of the test."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "demo_camera"), "--ros-args", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    """A folder with the images 0.png (10 everywhere), 1.png (20) and 2.png (30)."""
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((8, 12, 3), 10 * i + 10, np.uint8))
    return tmp_path


def test_a_folder_is_published_once_on_a_remapped_topic(bench, start, folder):
    received = bench.subscribe("/bot/eye/image")
    before_ns = time.time_ns()
    camera = start(
        "-r", "__ns:=/bot", "-r", "image_raw:=eye/image",
        "-p", f"video:={folder}", "-p", "rate_hz:=50", "-p", "subscribers:=1",
    )  # fmt: skip
    printed, complaints = camera.communicate(timeout=60)
    assert (camera.returncode, printed, complaints) == (0, "3\n", "")
    bench.wait_for(lambda: len(received) == 3, "the images")
    assert [int(decode(message).mean()) for message in received] == [10, 20, 30]
    assert {message.header.frame_id for message in received} == {"camera"}
    stamps_ns = [bench.stamp_ns(message) for message in received]
    assert stamps_ns == sorted(stamps_ns)
    assert before_ns < stamps_ns[0] < time.time_ns()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_loops_until_a_signal(bench, start, folder, number):
    received = bench.subscribe("/bot/image_raw")
    camera = start("-r", "__ns:=/bot", "-p", f"video:={folder}", "-p", "rate_hz:=100.0", "-p", "loop:=true")
    bench.wait_for(lambda: len(received) >= 7, "the images, twice")
    assert [int(decode(message).mean()) for message in received[-6:]] in (
        [10, 20, 30] * 2, [20, 30, 10] * 2, [30, 10, 20] * 2
    )  # fmt: skip
    camera.send_signal(number)
    _, complaints = camera.communicate(timeout=60)
    assert (camera.returncode, complaints) == (0, "")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("video:=/no/such.avi", "There is no video file or image folder /no/such.avi"),
        ("frames:=many", "'frames' to 'many'"),
    ],
)
def test_what_cannot_be_published_is_one_line(ros_domain, start, argument, reason):
    camera = start("-p", argument)
    printed, complaints = camera.communicate(timeout=60)
    assert (camera.returncode, printed) == (1, "")
    assert complaints.startswith("demo_camera: ")
    assert reason in complaints
    assert complaints.count("\n") == 1
