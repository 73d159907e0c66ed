# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""One run of the demo: a camera and the node as processes of their own, and a recorder, on real ROS 2 topics."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from opendr_panoptic_ros.demo.dds import dds_environment, reserved_domain_id
from opendr_panoptic_ros.demo.display import Display
from opendr_panoptic_ros.demo.page import write_page
from opendr_panoptic_ros.demo.processes import ChildProcesses
from opendr_panoptic_ros.demo.recorder import Recorder, message_typestore
from opendr_panoptic_ros.demo.report import DemoResult, moments_of, write_contact_sheet, write_overlay_video
from opendr_panoptic_ros.demo.source import open_source, synthetic_drive
from opendr_panoptic_ros.errors import PanopticError

if TYPE_CHECKING:
    from rich.console import Console

_NAMESPACE = "/opendr"
_IMAGE_TOPIC = "/image_raw"
_OUTPUTS = f"{_NAMESPACE}/panoptic"
_PICTURES = {
    "input": _IMAGE_TOPIC,
    "overlay": f"{_OUTPUTS}/rgb_visualization",
    "semantic": f"{_OUTPUTS}/semantic_color",
    "instances": f"{_OUTPUTS}/instance_color",
}
_START_LIMIT_S = 300.0
_SILENCE_LIMIT_S = 60.0


def run_demo(
    video: Path | None, *, frames: int, out: Path, checkpoint: str, device: str, console: Console
) -> DemoResult:
    """The figures of one run, whose files are then in `out`. Other files there stay as they are.

    video: a file or a folder of images; None for the synthetic drive. frames: how many to publish at most.
    Every process it started has ended when it returns or raises.
    Raises DatasetError when the video cannot be read, PanopticError when the node does not run or answers nothing.
    """
    start_ns = time.time_ns()
    source = open_source(video, frames)
    executable, share = _installed_package()
    typestore = message_typestore(share / "msg")
    node_command = [
        sys.executable, str(executable), "--ros-args", "-r", f"__ns:={_NAMESPACE}", "-r", f"image_raw:={_IMAGE_TOPIC}",
        "-p", f"checkpoint:={checkpoint}", "-p", f"device:={device}",
    ]  # fmt: skip
    camera_command = [
        sys.executable, "-m", "opendr_panoptic_ros.demo.camera", "--topic", _IMAGE_TOPIC, "--frames", str(frames),
        "--rate-hz", str(source.rate_hz), "--subscribers", "2", *(["--video", str(video)] if video else []),
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".demo-", dir=out) as folder,
        closing(Display(console)) as display,
        reserved_domain_id() as domain_id,
    ):
        work = Path(folder)
        display.stage(f"starting the node, weights: {checkpoint}")
        variables = dds_environment(
            domain_id, work, share / "config" / "fastdds_large_images.xml", math.prod(source.size_px)
        )
        with _environment(variables), closing(ChildProcesses(work)) as children:
            children.start("node", node_command)
            children.start("camera", camera_command)
            with (
                _ros_node() as (ros_node, spin_once),
                closing(
                    Recorder(ros_node, work / "bag", typestore, image_topic=_IMAGE_TOPIC, outputs=_OUTPUTS)
                ) as recorder,
            ):
                session = _Session(recorder, children, spin_once)
                session.wait_for_node()
                ready_s = (time.time_ns() - start_ns) / 1e9
                display.say(
                    f"The node is ready, {ready_s:.1f} s after the start. Its topics {_OUTPUTS}/* are on ROS_DOMAIN_ID "
                    f"{domain_id} of this machine."
                )
                display.stage(f"{source.description}, {source.rate_hz:.3g} Hz", total=source.count)
                session.wait_for_camera(display)
                display.stage("waiting for the last answers")
                session.wait_until_idle()
        if not recorder.complete_stamps_ns:
            raise PanopticError(
                f"The node answered none of {recorder.frames} frames. It says:\n{children.last_words('node')}"
            )
        published = int(children.last_words("camera").split()[-1])
        quality = None
        # With a frame missing nobody knows which is which; the official script comes with the extra [train].
        if video is None and recorder.frames == published and find_spec("cityscapesscripts"):
            from opendr_panoptic_ros.demo.quality import drive_quality

            display.stage("comparing with the drive's truth")
            stamps_ns = recorder.stamps_ns[_IMAGE_TOPIC]
            quality = drive_quality(work / "bag", f"{_OUTPUTS}/segmentation", synthetic_drive(frames), stamps_ns)
        display.stage("writing the video and the pictures")
        overlay = write_overlay_video(work / "bag", _PICTURES["overlay"], work / "overlay", source.rate_hz)
        moments = moments_of(work / "bag", _PICTURES, recorder.complete_stamps_ns)
        write_contact_sheet(work / "contact_sheet.png", moments)
        result = DemoResult(
            published=published,
            **dataclasses.asdict(recorder.counts),
            answer_stamps_ns=tuple(recorder.stamps_ns[f"{_OUTPUTS}/segmentation"]),
            answer_times_ns=tuple(recorder.answer_times_ns),
            first_answer_s=(recorder.answer_times_ns[0] - start_ns) / 1e9,
            image_size_px=source.size_px,
            checkpoint=checkpoint,
            device=recorder.diagnostics.get("device", "unknown"),
            quality=quality,
            files=tuple(out / name for name in ("index.html", overlay.name, "contact_sheet.png", "bag", "node.log")),
        )
        write_page(work / "index.html", result, overlay, moments)
        for name in ("index.html", overlay.name, "contact_sheet.png", "bag/bag.mcap", "bag/metadata.yaml", "node.log"):
            (out / name).parent.mkdir(exist_ok=True)
            (work / name).replace(out / name)
    return result


class _Session:
    """Waits for the stages of a run to end; meanwhile the recorder hears what comes.

    spin_once: serves the recorder's node.
    """

    def __init__(self, recorder: Recorder, children: ChildProcesses, spin_once: Callable[[], None]) -> None:
        self._recorder = recorder
        self._children = children
        self._spin_once = spin_once

    def wait_for_node(self) -> None:
        """Until the node is connected to the recorder; then the recorder listens to the camera, which waits for it."""
        limit = time.monotonic() + _START_LIMIT_S
        while not self._recorder.hears_node():
            self._spin()
            if time.monotonic() > limit:
                said = self._children.last_words("node")
                raise PanopticError(f"The node was not ready within {_START_LIMIT_S:.0f} s. It says:\n{said}")
        self._recorder.hear_camera()

    def wait_for_camera(self, display: Display) -> None:
        """Until the camera has published its last frame."""
        while self._children.is_running("camera"):
            self._spin()
            frames, answers = self._recorder.frames, self._recorder.answers
            display.step(frames, f"{frames} frames published, {answers} answered")

    def wait_until_idle(self) -> None:
        """Until the node says twice the same, has no frame left in its hands, and all its answers were heard.

        Or until it has said nothing new for a long time: then the figures show that something is missing.
        """
        recorder = self._recorder
        previous, heard = recorder.counts, recorder.diagnoses
        limit = time.monotonic() + _SILENCE_LIMIT_S
        while time.monotonic() < limit:
            self._spin()
            if recorder.diagnoses == heard:
                continue
            counts, heard = recorder.counts, recorder.diagnoses
            if counts != previous:
                previous, limit = counts, time.monotonic() + _SILENCE_LIMIT_S
            elif (
                counts.received == counts.answered + counts.dropped + counts.failed
                and recorder.answers >= counts.answered
            ):
                return

    def _spin(self) -> None:
        self._spin_once()
        self._children.is_running("camera")  # raises when it has failed
        if not self._children.is_running("node"):
            raise PanopticError(f"The node has ended early. It says:\n{self._children.last_words('node')}")


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for this process and those it starts, while the `with` block runs."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _ros_node() -> Iterator[tuple[Node, Callable[[], None]]]:
    """A node, and a function that serves what has come for it, or waits for something for a moment."""
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("demo_recorder", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield node, lambda: executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _installed_package() -> tuple[Path, Path]:
    """The node's executable and the package's share folder, where colcon has installed them."""
    name = "opendr_panoptic_ros"
    try:
        executable = Path(get_package_prefix(name)) / "lib" / name / "panoptic_node"
        return executable, Path(get_package_share_directory(name))
    except PackageNotFoundError as error:
        raise PanopticError(
            "The package is not among the installed ROS 2 packages. Run `make setup`, then "
            "`. .venv/bin/activate && . install/setup.bash`."
        ) from error
