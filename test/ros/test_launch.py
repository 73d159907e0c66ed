# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The launch files, run by launch: the processes they start, their log, and their end."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("launch_ros")
from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.parameter import parameter_value_to_python  # noqa: E402

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
    """A running launch file; the output of it and of its processes is kept."""

    def __init__(self, folder: Path, file: str | Path, arguments: dict[str, object], **environment: str) -> None:
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
    def output(self) -> str:
        return self.log.read_text()

    def children(self) -> list[int]:
        """Return the processes that the launch has started."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def wait(self) -> int:
        """Wait until it ends by itself and return its exit code."""
        return self._process.wait(timeout=120)

    def interrupt(self) -> int:
        """Send SIGINT to all its processes, as Ctrl-C in a terminal does, and return its exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        else:
            self._process.wait()
            pytest.fail(f"processes were left behind by the launch:\n{self.output}")


@pytest.fixture
def launch(tmp_path, bench) -> Iterator[Callable[..., Launch]]:
    """Return a function that starts a launch file; all its processes must have ended at the end of the test."""
    started: list[Launch] = []

    def start(file: str | Path, arguments: dict[str, object], **environment: str) -> Launch:
        folder = tmp_path / f"launch{len(started)}"
        folder.mkdir()
        started.append(Launch(folder, file, arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_an_image_topic_is_enough(launch, bench, tiny_checkpoint, picture):
    node = launch("panoptic.launch.py", {"image_topic": "/cam/image_raw", "checkpoint": tiny_checkpoint})
    received = bench.subscribe("/opendr/panoptic/semantic")
    camera = bench.camera("/cam/image_raw")
    bench.send_until(lambda: received, camera, picture, stamp_ns=7)
    assert bench.stamp_ns(received[0]) == 7
    assert node.interrupt() == 0
    assert re.search(r"[1-9]\d* received, [1-9]\d* answered", node.output)
    assert "Traceback" not in node.output


def test_each_camera_has_its_topics(launch, bench, tiny_checkpoint, picture):
    arguments = {"cameras": "front,on", "image_topic": "/a/rgb,/b", "namespace": "/bot", "checkpoint": tiny_checkpoint}
    node = launch("panoptic.launch.py", arguments)  # YAML would make a boolean of the name "on"
    received = [bench.subscribe(f"/bot/{name}/panoptic/semantic") for name in ("front", "on")]
    for i, (topic, messages) in enumerate(zip(("/a/rgb", "/b"), received, strict=True)):
        bench.send_until(messages.copy, bench.camera(topic), picture, stamp_ns=i)
    assert [bench.stamp_ns(messages[0]) for messages in received] == [0, 1]
    assert node.interrupt() == 0


@pytest.mark.parametrize(
    ("arguments", "inputs"),
    [
        (
            {"points": "depth", "points_topic": "/cam/depth/image_rect"},
            ["/opendr/panoptic/segmentation, /cam/depth/image_rect, /cam/depth/camera_info"],
        ),
        (
            {"points": "depth", "cameras": "front,rear"},
            [f"/opendr/{name}/panoptic/segmentation, /opendr/{name}/depth/image_rect" for name in ("front", "rear")],
        ),
    ],
)
def test_the_points_node_is_started_too(launch, bench, tiny_checkpoint, arguments, inputs):
    nodes = launch("panoptic.launch.py", {"checkpoint": tiny_checkpoint, **arguments})
    for topics in inputs:
        bench.wait_for(lambda topics=topics: f"Active: {topics}" in nodes.output, "the points node")
    bench.wait_for(lambda: "Active: /" in nodes.output, "the panoptic node")
    assert nodes.interrupt() == 0
    assert "Traceback" not in nodes.output


def test_what_is_left_empty_comes_from_the_parameter_file(launch, bench, tiny_checkpoint, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("/**:\n  ros__parameters: {checkpoint: /from/file.pth, autostart: false, cameras: [left]}\n")
    waiting = launch("panoptic.launch.py", {"params_file": file})
    bench.wait_for(lambda: "autostart is off" in waiting.output, "the node")
    assert waiting.interrupt() == 0

    failing = launch("panoptic.launch.py", {"params_file": file, "autostart": "true"})
    failing.wait()
    assert "There is no checkpoint /from/file.pth" in failing.output

    active = launch("panoptic.launch.py", {"params_file": file, "autostart": "true", "checkpoint": tiny_checkpoint})
    bench.wait_for(lambda: "Active: /opendr/left/image_raw" in active.output, "the node")
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
        ({"score_threshold": "high"}, "score_threshold:=high; expected a number"),
        ({"min_stuff_area": "0.5"}, "min_stuff_area:=0.5; expected an integer"),
        ({"venv": "/no/such"}, "venv:=/no/such: it is not a virtual environment"),
        ({"image_rotation": "left"}, "image_rotation:=left; expected an integer"),
        ({"use_sim_time": "yes"}, "use_sim_time:=yes; expected true or false"),
        ({"points": "stereo"}, "points:=stereo; expected depth, lidar or nothing"),
        ({"points": "depth", "points_topic": "/a,/b"}, "points_topic:=/a,/b names 2 topic(s) for 1 camera(s)"),
        ({"image_topics": "/cam"}, "panoptic.launch.py has no argument image_topics; expected one of autostart, "),
    ],
)
def test_a_wrong_argument_is_reported_and_nothing_starts(launch, arguments, reason):
    refused = launch("panoptic.launch.py", arguments)
    assert refused.wait() == 1
    assert reason in refused.output
    assert "process started" not in refused.output


@pytest.mark.parametrize("arguments", [{"config": "/no/such.yaml"}, {"device": "tpu"}])
def test_configuration_and_device_reach_the_node(launch, tiny_checkpoint, arguments):
    refused = launch("panoptic.launch.py", {"checkpoint": tiny_checkpoint, **arguments})
    refused.wait()
    reason = next(line for line in refused.output.splitlines() if "stays unconfigured" in line)
    assert next(iter(arguments.values())) in reason


def test_overrides_reach_the_node(launch, bench, tiny_checkpoint):
    values = {
        "backend": "torch",
        "score_threshold": 1.0,
        "overlap_threshold": 0.25,
        "min_stuff_area": 7,
        "image_rotation": 90,
        "use_sim_time": True,
    }
    arguments = values | {"score_threshold": "1"}  # an integer is accepted
    node = launch("panoptic.launch.py", {"checkpoint": tiny_checkpoint, **arguments})
    asked = bench.client.create_client(GetParameters, "/opendr/panoptic_segmentation/get_parameters")
    bench.wait_for(asked.service_is_ready, "the node's parameter service")
    answer = asked.call_async(GetParameters.Request(names=list(values)))
    bench.wait_for(answer.done, "the node's parameters")
    assert [parameter_value_to_python(value) for value in answer.result().values] == list(values.values())
    assert node.interrupt() == 0


@pytest.fixture
def environment(tmp_path) -> Path:
    """A virtual environment, not active, which sees the packages of the present one."""
    folder = tmp_path / "packages"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "present.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    return folder


def test_a_virtual_environment_that_is_not_active(launch, bench, environment):
    """Without it, `python3` would be the system's, which has no PyTorch."""
    path = os.pathsep.join(["/usr/bin", "/bin"])
    node = launch("panoptic.launch.py", {"autostart": "false", "venv": environment}, PATH=path, VIRTUAL_ENV="")
    bench.wait_for(lambda: "autostart is off" in node.output, "the node")
    assert f"The node uses the virtual environment {environment}." in node.output
    commands = [Path(f"/proc/{pid}/environ") for pid in node.children()]
    assert any(f"VIRTUAL_ENV={environment}".encode() in command.read_bytes() for command in commands)
    assert node.interrupt() == 0


def test_a_launch_file_that_includes_ours_has_arguments_of_its_own(launch, bench, tmp_path):
    file = tmp_path / "robot.launch.py"
    file.write_text(f"""
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
def generate_launch_description():
    panoptic = PythonLaunchDescriptionSource({str(ROOT / "launch" / "panoptic.launch.py")!r})
    return LaunchDescription([IncludeLaunchDescription(panoptic, launch_arguments=[("autostart", "false")])])
""")
    robot = launch(file, {"robot": "husky"})
    bench.wait_for(lambda: "autostart is off" in robot.output, "the node")
    assert robot.interrupt() == 0


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """The arguments that each launch file itself declares."""
    actions = pytest.importorskip("launch.actions")
    sources = pytest.importorskip("launch.launch_description_sources")
    context = pytest.importorskip("launch").LaunchContext()
    names: dict[str, set[str]] = {}
    for file in ("panoptic.launch.py", "demo.launch.py"):
        source = sources.PythonLaunchDescriptionSource(str(ROOT / "launch" / file))
        description = source.get_launch_description(context)
        names[file] = {each.name for each in description.entities if isinstance(each, actions.DeclareLaunchArgument)}
    return names


def test_the_launch_files_know_their_arguments(declared):
    added = runpy.run_path(str(ROOT / "launch" / "panoptic.launch.py"))["ADDED_ARGUMENTS"]
    own = declared["panoptic.launch.py"]
    assert added == {file: names - own for file, names in declared.items()}
    assert set(added) == {path.name for path in (ROOT / "launch").glob("*.launch.py")}


def test_the_documentation_names_arguments_that_exist(declared):
    known = {file: names | declared["panoptic.launch.py"] for file, names in declared.items()}
    used = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for line in re.findall(r"ros2 launch opendr_panoptic_ros .*", page.read_text("utf-8")):
            file = line.split()[3]
            names = set(re.findall(r"\b(\w+):=", line))
            assert names <= known[file], line
            used |= names
    table = re.findall(r"^\| (`\w+`[^|]*) \|", (ROOT / "docs" / "operate.md").read_text("utf-8"), re.MULTILINE)
    documented = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert declared["panoptic.launch.py"] <= documented
    assert used


def test_log_level(launch, bench):
    node = launch("panoptic.launch.py", {"autostart": "false", "log_level": "debug"})
    bench.wait_for(lambda: "[DEBUG]" in node.output and "autostart is off" in node.output, "the node's messages")
    assert node.interrupt() == 0


def test_log_level_of_one_logger(launch):
    arguments = {"checkpoint": "/no/such.pth", "log_level": "opendr.panoptic_segmentation:=fatal"}
    silent = launch("panoptic.launch.py", arguments)
    silent.wait()
    assert "process has died" in silent.output
    assert "[opendr.panoptic_segmentation]" not in silent.output


def test_without_a_display_rviz_does_not_open(launch, bench):
    node = launch("panoptic.launch.py", {"autostart": "false", "rviz": "true"})
    bench.wait_for(lambda: "autostart is off" in node.output, "the node")
    assert "RViz does not open: there is no display" in node.output
    assert node.interrupt() == 0


def test_without_rviz_a_message_is_logged(launch, bench):
    with contextlib.suppress(PackageNotFoundError):
        get_package_prefix("rviz2")
        return
    node = launch("panoptic.launch.py", {"autostart": "false", "rviz": "true"}, DISPLAY=":9")
    bench.wait_for(lambda: "autostart is off" in node.output, "the node")
    assert "RViz does not open: rviz2 is not installed" in node.output
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
    bench.wait_for(lambda: "RViz: " in node.output and "autostart is off" in node.output, "RViz and the node")
    line = next(line for line in node.output.splitlines() if "RViz: " in line)
    assert "panoptic.rviz" in line
    assert "/image_raw:=/front/image_raw" in line
    for name in ("rgb_visualization", "semantic_color", "instance_color", "points", "markers"):
        assert f"/opendr/panoptic/{name}:=/bot/front/panoptic/{name}" in line
    assert node.interrupt() == 0


def test_demo_shows_a_folder_of_images_in_a_loop(launch, bench, tiny_checkpoint, picture, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.roll(picture, i, axis=1))
    demo = launch("demo.launch.py", {"video": folder, "checkpoint": tiny_checkpoint})
    received = bench.subscribe("/opendr/panoptic/rgb_visualization")
    bench.wait_for(lambda: len(received) > 5, "answers")
    assert "RViz does not open: there is no display" in demo.output
    assert demo.interrupt() == 0
    assert "Traceback" not in demo.output


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
    assert reason in demo.output
    assert "Traceback" not in demo.output
