# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The launch files with real launch: what is started, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("launch_ros")
from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service = LaunchService()
file = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(file, launch_arguments=arguments)]))
sys.exit(service.run())
"""
"""`ros2 launch` without the package ros2launch."""


class Launch:
    """One launch file at work; what it and its processes print is kept."""

    def __init__(self, folder: Path, file: str, arguments: dict[str, object], **environment: str) -> None:
        self.log = folder / "launch.log"
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        settings = {"PYTHONPATH": path, "ROS_LOG_DIR": str(folder), "OVERRIDE_LAUNCH_PROCESS_OUTPUT": "screen"}
        given = [f"{name}:={value}" for name, value in arguments.items()]
        without = {"DISPLAY", "WAYLAND_DISPLAY"}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(ROOT / "launch" / file), *given],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name not in without} | settings | environment,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(timeout=120)

    def interrupt(self) -> int:
        """Its exit code after Ctrl-C on the terminal, which reaches all its processes."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        else:
            self._process.wait()
            pytest.fail(f"processes were left behind by the launch:\n{self.said}")


@pytest.fixture
def launch(tmp_path, bench) -> Iterator[Callable[..., Launch]]:
    """Starts a launch file in the bench's domain; at the end of the test all its processes must have ended."""
    started: list[Launch] = []

    def start(file: str, arguments: dict[str, object], **environment: str) -> Launch:
        folder = tmp_path / f"launch{len(started)}"
        folder.mkdir()
        started.append(Launch(folder, file, arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def send_until(bench: Any, camera: Any, picture: np.ndarray, condition: Callable[[], Any], **options: int) -> None:
    """Publish until it shows: a node in another process may know of the camera later than the camera of the node."""

    def sent_and_shown() -> Any:
        bench.send(camera, picture, **options)
        time.sleep(0.2)
        return condition()

    bench.wait_for(sent_and_shown, "an answer")


def test_an_image_topic_is_enough(launch, bench, tiny_checkpoint, picture):
    node = launch("panoptic.launch.py", {"image_topic": "/cam/image_raw", "checkpoint": tiny_checkpoint})
    heard = bench.listen("/opendr/panoptic/semantic")
    camera = bench.camera("/cam/image_raw")
    send_until(bench, camera, picture, lambda: heard, stamp_ns=7)
    assert bench.stamp_ns(heard[0]) == 7
    assert node.interrupt() == 0
    assert re.search(r"[1-9]\d* received, [1-9]\d* answered", node.said)
    assert "Traceback" not in node.said


def test_each_camera_has_its_topics(launch, bench, tiny_checkpoint, picture):
    arguments = {"cameras": "front,on", "image_topic": "/a/rgb,/b", "namespace": "/bot", "checkpoint": tiny_checkpoint}
    node = launch("panoptic.launch.py", arguments)  # YAML would make a boolean of the name "on"
    heard = [bench.listen(f"/bot/{name}/panoptic/semantic") for name in ("front", "on")]
    for i, (topic, messages) in enumerate(zip(("/a/rgb", "/b"), heard, strict=True)):
        send_until(bench, bench.camera(topic), picture, messages.copy, stamp_ns=i)
    assert [bench.stamp_ns(messages[0]) for messages in heard] == [0, 1]
    assert node.interrupt() == 0


def test_what_is_left_empty_comes_from_the_parameter_file(launch, bench, tiny_checkpoint, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("/**:\n  ros__parameters: {checkpoint: /from/file.pth, autostart: false, cameras: [left]}\n")
    waiting = launch("panoptic.launch.py", {"params_file": file})
    bench.wait_for(lambda: "autostart is off" in waiting.said, "the node")
    assert waiting.interrupt() == 0

    failing = launch("panoptic.launch.py", {"params_file": file, "autostart": "true"})
    failing.wait()
    assert "There is no checkpoint /from/file.pth" in failing.said

    active = launch("panoptic.launch.py", {"params_file": file, "autostart": "true", "checkpoint": tiny_checkpoint})
    bench.wait_for(lambda: "Active: /opendr/left/image_raw" in active.said, "the node")
    assert active.interrupt() == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"autostart": "maybe"}, "autostart:=maybe; expected true or false"),
        ({"rviz": "maybe"}, "rviz:=maybe; expected true or false"),
        ({"params_file": "/no/such.yaml"}, "params_file:=/no/such.yaml: there is no such file"),
        ({"cameras": "a,b", "image_topic": "/one"}, "names 1 topic(s) for 2 camera(s)"),
        ({"cameras": "front,front"}, "cameras:=front,front names a camera twice"),
        ({"cameras": "front,"}, "cameras:=front, has '', which cannot be a part of a topic"),
        ({"cameras": "a-b"}, "cameras:=a-b has 'a-b', which cannot be a part of a topic"),
        ({"image_topic": "/a/1b"}, "image_topic:=/a/1b has '/a/1b', which cannot be a topic"),
        ({"image_topic": "//cam"}, "image_topic:=//cam has '//cam', which cannot be a topic"),
        ({"namespace": "1bad"}, "namespace:=1bad has '1bad', which cannot be a topic"),
    ],
)
def test_a_wrong_argument_is_told_and_nothing_starts(launch, arguments, reason):
    refused = launch("panoptic.launch.py", arguments)
    assert refused.wait() == 1
    assert reason in refused.said
    assert "process started" not in refused.said


@pytest.mark.parametrize("arguments", [{"config": "/no/such.yaml"}, {"device": "tpu"}])
def test_configuration_and_device_reach_the_node(launch, tiny_checkpoint, arguments):
    refused = launch("panoptic.launch.py", {"checkpoint": tiny_checkpoint, **arguments})
    refused.wait()
    reason = next(line for line in refused.said.splitlines() if "stays unconfigured" in line)
    assert next(iter(arguments.values())) in reason


def test_the_documentation_names_arguments_that_exist():
    actions = pytest.importorskip("launch.actions")
    sources = pytest.importorskip("launch.launch_description_sources")
    context = pytest.importorskip("launch").LaunchContext()
    declared: dict[str, set[str]] = {}
    for file in ("panoptic.launch.py", "demo.launch.py"):
        source = sources.PythonLaunchDescriptionSource(str(ROOT / "launch" / file))
        description = source.get_launch_description(context)
        declared[file] = {each.name for each in description.entities if isinstance(each, actions.DeclareLaunchArgument)}
    declared["demo.launch.py"] |= declared["panoptic.launch.py"]
    used = set()
    for page in (ROOT / "README.md", ROOT / "docs" / "robot.md"):
        for line in re.findall(r"ros2 launch opendr_panoptic_ros .*", page.read_text("utf-8")):
            file = line.split()[3]
            names = set(re.findall(r"\b(\w+):=", line))
            assert names <= declared[file], line
            used |= names
    table = re.findall(r"^\| (`\w+`[^|]*) \|", (ROOT / "docs" / "robot.md").read_text("utf-8"), re.MULTILINE)
    documented = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert declared["panoptic.launch.py"] <= documented
    assert used


def test_log_level(launch, bench):
    node = launch("panoptic.launch.py", {"autostart": "false", "log_level": "debug"})
    bench.wait_for(lambda: "[DEBUG]" in node.said and "autostart is off" in node.said, "the node's messages")
    assert node.interrupt() == 0


def test_log_level_of_one_logger(launch):
    arguments = {"checkpoint": "/no/such.pth", "log_level": "opendr.panoptic_segmentation:=fatal"}
    silent = launch("panoptic.launch.py", arguments)
    silent.wait()
    assert "process has died" in silent.said
    assert "[opendr.panoptic_segmentation]" not in silent.said


def test_without_a_display_rviz_does_not_open(launch, bench):
    node = launch("panoptic.launch.py", {"autostart": "false", "rviz": "true"})
    bench.wait_for(lambda: "autostart is off" in node.said, "the node")
    assert "RViz does not open: there is no display" in node.said
    assert node.interrupt() == 0


def test_without_rviz_it_is_told(launch, bench):
    with contextlib.suppress(PackageNotFoundError):
        get_package_prefix("rviz2")
        return
    node = launch("panoptic.launch.py", {"autostart": "false", "rviz": "true"}, DISPLAY=":9")
    bench.wait_for(lambda: "autostart is off" in node.said, "the node")
    assert "RViz does not open: rviz2 is not installed" in node.said
    assert node.interrupt() == 0


def test_rviz_is_given_the_topics_of_the_first_camera(launch, bench, tmp_path):
    prefix = tmp_path / "prefix"  # a program of that name which prints its arguments
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "rviz2").touch()
    rviz = prefix / "lib" / "rviz2" / "rviz2"
    rviz.parent.mkdir(parents=True)
    rviz.write_text('#!/bin/sh\necho "RViz: $*"\n')
    rviz.chmod(0o755)
    environment = {"AMENT_PREFIX_PATH": f"{prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}", "DISPLAY": ":9"}
    arguments = {"autostart": "false", "rviz": "true", "cameras": "front,rear", "namespace": "bot"}
    node = launch("panoptic.launch.py", arguments, **environment)
    bench.wait_for(lambda: "RViz: " in node.said and "autostart is off" in node.said, "RViz and the node")
    said = next(line for line in node.said.splitlines() if "RViz: " in line)
    assert "panoptic.rviz" in said
    assert "/image_raw:=/front/image_raw" in said
    for name in ("rgb_visualization", "semantic_color", "instance_color"):
        assert f"/opendr/panoptic/{name}:=/bot/front/panoptic/{name}" in said
    assert node.interrupt() == 0


def test_demo_shows_a_folder_of_images_again_and_again(launch, bench, tiny_checkpoint, picture, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.roll(picture, i, axis=1))
    demo = launch("demo.launch.py", {"video": folder, "checkpoint": tiny_checkpoint})
    heard = bench.listen("/opendr/panoptic/rgb_visualization")
    bench.wait_for(lambda: len(heard) > 5, "answers")
    assert "RViz does not open: there is no display" in demo.said
    assert demo.interrupt() == 0
    assert "Traceback" not in demo.said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"checkpoint": "/no/such.pth"}, "There is no checkpoint /no/such.pth"),
        ({"video": "/no/such.avi"}, "There is no video file or image folder /no/such.avi"),
    ],
)
def test_demo_ends_when_a_part_of_it_cannot_start(launch, arguments, reason):
    demo = launch("demo.launch.py", arguments)
    demo.wait()
    assert reason in demo.said
    assert "Traceback" not in demo.said
