# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""One run of the demo: camera and node as processes of their own, and a recorder, on real ROS 2 topics."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from rclpy.executors import SingleThreadedExecutor

from opendr_panoptic_ros.demo.dds import dds_environment, reserved_domain_id
from opendr_panoptic_ros.demo.display import Display
from opendr_panoptic_ros.demo.page import write_page
from opendr_panoptic_ros.demo.processes import ChildProcesses
from opendr_panoptic_ros.demo.recorder import Recorder
from opendr_panoptic_ros.demo.report import DemoResult, moments_of, write_contact_sheet, write_overlay_video
from opendr_panoptic_ros.demo.source import FrameSource, open_source, synthetic_drive
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import write_json
from opendr_panoptic_ros.media import utf8_name
from opendr_panoptic_ros.outputs import SEGMENTATION, VISUALIZATION, bytes_per_px
from opendr_panoptic_ros.ros.context import ros_node
from opendr_panoptic_ros.ros.point_messages import POINTS

if TYPE_CHECKING:
    from rclpy.node import Node
    from rich.console import Console

    from opendr_panoptic_ros.formats.panoptic_quality import PanopticQuality

_NAMESPACE = "/opendr"
_IMAGE_TOPIC = "/image_raw"
_OUTPUTS = f"{_NAMESPACE}/panoptic"
_PICTURES = {
    "input": _IMAGE_TOPIC,
    "overlay": f"{_OUTPUTS}/{VISUALIZATION}",
    "semantic": f"{_OUTPUTS}/semantic_color",
    "instances": f"{_OUTPUTS}/instance_color",
}
_CLOUDS = f"{_OUTPUTS}/{POINTS}"
_START_LIMIT_S = 300.0
_SILENCE_LIMIT_S = 60.0


@dataclass(frozen=True)
class DemoOptions:
    """What to run.

    Attributes:
        video: A video file or a folder of images, or None for the synthetic drive.
        frames: Maximum number of frames to publish, at least 1.
        checkpoint: The weights of the node: a file or a name.
        device: The device of the network: auto, cpu, cuda, cuda:1.
    """

    video: Path | None
    frames: int
    checkpoint: str
    device: str


def run_demo(options: DemoOptions, out: Path, console: Console) -> tuple[DemoResult, dict[Path, str]]:
    """Run the node on a video and write the results. Other files in the folder are not changed.

    Every process that was started has ended when this returns or raises.

    Args:
        options: What to run.
        out: Folder of the results; it is created if it does not exist.
        console: Where to show the progress.

    Returns:
        The figures, and the files with a description of each.

    Raises:
        DatasetError: If the video cannot be read.
        PanopticError: If ROS cannot start, the node does not run, or has no result for any frame.
    """
    started_ns = time.time_ns()
    source = open_source(options.video, options.frames)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".demo-", dir=out) as folder, closing(Display(console)) as display:
        work = Path(folder)
        recording = _record(options, source, work, display, started_ns)
        quality = _quality(options, recording, display)
        counts = recording.recorder.counts
        result = DemoResult(
            published=recording.published,
            received=counts.received,
            answered=counts.answered,
            dropped=counts.dropped,
            failed=counts.failed,
            result_stamps_ns=tuple(recording.recorder.result_stamps_ns),
            result_times_ns=tuple(recording.recorder.result_times_ns),
            first_result_s=(recording.recorder.result_times_ns[0] - started_ns) / 1e9,
            image_size_px=source.size_px,
            checkpoint=options.checkpoint,
            device=recording.recorder.device,
            quality=quality,
        )
        display.stage("writing the video and the pictures")
        files = _write_files(work, recording, result, source.rate_hz)
        return result, _move(work, out, files)


@dataclass(frozen=True)
class _Recording:
    """What remains of a run.

    Attributes:
        bag: The complete bag.
        published: Number of frames published by the camera.
        recorder: The recorder, closed.
    """

    bag: Path
    published: int
    recorder: Recorder


def _record(options: DemoOptions, source: FrameSource, work: Path, display: Display, started_ns: int) -> _Recording:
    """Start node and camera, and record until every frame is answered or dropped."""
    executable, share = _installed_package()
    bag = work / "bag"
    display.stage(f"starting the node, weights: {options.checkpoint}")
    profile = share / "config" / "fastdds_large_images.xml"
    video_name = utf8_name(options.video) if options.video else nullcontext("")
    with (
        reserved_domain_id() as domain_id,
        _environment(dds_environment(domain_id, work, profile, math.prod(source.size_px) * bytes_per_px())),
        video_name as video,
        closing(ChildProcesses(work)) as children,
    ):
        children.start("node", [sys.executable, str(executable), *_node_arguments(options)])
        if source.drive is not None:
            children.start(
                "points", [sys.executable, str(executable.parent / "panoptic_points_node"), *_points_arguments()]
            )
        camera = [sys.executable, "-m", "opendr_panoptic_ros.demo.camera"]
        children.start("camera", [*camera, *_camera_arguments(options, video, source.rate_hz)])
        with (
            _served_node() as (node, spin_once),
            closing(
                Recorder(node, bag, image_topic=_IMAGE_TOPIC, outputs=_OUTPUTS, depth="/depth" if source.drive else "")
            ) as recorder,
        ):
            session = _Session(recorder, children, spin_once)
            session.wait_for_node()
            display.print(
                f"The node is ready, {(time.time_ns() - started_ns) / 1e9:.1f} s after the start. Its topics "
                f"{_OUTPUTS}/* are on ROS_DOMAIN_ID {domain_id} of this machine."
            )
            display.stage(f"{source.description}, {source.rate_hz:.3g} Hz", total=source.count)
            session.wait_for_camera(display)
            display.stage("waiting for the last results")
            session.wait_until_idle()
        if not recorder.complete_stamps_ns:
            raise PanopticError(
                f"The node has no result for any of {recorder.frames} frames. Its output:\n"
                f"{children.last_lines('node')}"
            )
        return _Recording(bag, int(children.last_lines("camera").split()[-1]), recorder)


def _node_arguments(options: DemoOptions) -> list[str]:
    return [
        "--ros-args",
        "-r",
        f"__ns:={_NAMESPACE}",
        "-r",
        f"image_raw:={_IMAGE_TOPIC}",
        "-p",
        f"checkpoint:={_yaml(options.checkpoint)}",
        "-p",
        f"device:={_yaml(options.device)}",
    ]


def _points_arguments() -> list[str]:
    remappings = [
        f"__ns:={_NAMESPACE}",
        "depth/image_rect:=/depth/image_rect",
        "depth/camera_info:=/depth/camera_info",
    ]
    # Depth images wait until the network has segmented the frame, on a CPU for seconds.
    parameters = ["depth_is_rectified:=false", "sync_queue:=200"]
    return [
        "--ros-args",
        *(word for name in remappings for word in ("-r", name)),
        *(word for name in parameters for word in ("-p", name)),
    ]


def _camera_arguments(options: DemoOptions, video: str, rate_hz: float) -> list[str]:
    arguments = [
        "--ros-args",
        "-r",
        f"image_raw:={_IMAGE_TOPIC}",
        "-p",
        f"frames:={options.frames}",
        "-p",
        f"rate_hz:={float(rate_hz)}",
        "-p",
        "subscribers:=2",
    ]
    return [*arguments, "-p", f"video:={_yaml(video)}"] if video else [*arguments, "-p", "depth:=true"]


def _yaml(text: str) -> str:
    """Quote a string for `-p name:=value`, whose value is YAML: `2024` would be a number."""
    return json.dumps(text, ensure_ascii=False)


def _quality(options: DemoOptions, recording: _Recording, display: Display) -> PanopticQuality | None:
    """Return the panoptic quality on the synthetic drive, if it can be computed."""
    stamps_ns = recording.recorder.frame_stamps_ns
    # With a frame missing, the others cannot be matched; the official script belongs to the extra [train].
    if options.video or len(stamps_ns) != recording.published or not find_spec("cityscapesscripts"):
        return None
    from opendr_panoptic_ros.demo.quality import drive_quality

    display.stage("comparing with the ground truth of the drive")
    return drive_quality(recording.bag, f"{_OUTPUTS}/{SEGMENTATION}", synthetic_drive(options.frames), stamps_ns)


def _write_files(work: Path, recording: _Recording, result: DemoResult, rate_hz: float) -> dict[str, str]:
    """Write the results beside the bag; return the files and folders by name, with a description of each."""
    video = write_overlay_video(recording.bag, _PICTURES["overlay"], work / "overlay", rate_hz)
    recorder = recording.recorder
    clouds = recorder.cloud_stamps_ns
    moments = moments_of(
        recording.bag, _PICTURES, clouds or recorder.complete_stamps_ns, cloud_topic=_CLOUDS if clouds else ""
    )
    write_contact_sheet(work / "contact_sheet.png", moments)
    write_json(work / "result.json", result.to_dict())
    write_page(work / "index.html", result, video, moments)
    return {
        "index.html": "all results on one page",
        "result.json": "the figures",
        video.name: "the overlay of the answered frames",
        "contact_sheet.png": "some frames: input, overlay, semantic, instances",
        "bag": "every input and output, for Foxglove or `ros2 bag play`",
        "node.log": "the output of the node",
    }


def _move(work: Path, out: Path, files: dict[str, str]) -> dict[Path, str]:
    """Move the results to their place. Other files there stay, also in a folder of the same name."""
    for name in files:
        parts = sorted((work / name).iterdir()) if (work / name).is_dir() else [work / name]
        for part in parts:
            target = out / part.relative_to(work)
            target.parent.mkdir(exist_ok=True)
            part.replace(target)
    return {out / name: description for name, description in files.items()}


class _Session:
    """Waits for the stages of a run to end, while the recorder records.

    Args:
        recorder: The recorder.
        children: The processes "node" and "camera".
        spin_once: Serves the recorder's subscriptions, for a fraction of a second.
    """

    def __init__(self, recorder: Recorder, children: ChildProcesses, spin_once: Callable[[], None]) -> None:
        self._recorder = recorder
        self._children = children
        self._spin_once = spin_once

    def wait_for_node(self) -> None:
        """Wait until the node is connected to the recorder, then subscribe to the camera, which waits for it."""
        limit = time.monotonic() + _START_LIMIT_S
        while not self._recorder.is_connected():
            self._spin()
            if time.monotonic() > limit:
                output = self._children.last_lines("node")
                raise PanopticError(f"The node was not ready within {_START_LIMIT_S:.0f} s. Its output:\n{output}")
        self._recorder.record_camera()

    def wait_for_camera(self, display: Display) -> None:
        """Wait until the camera has published its last frame."""
        while self._children.is_running("camera"):
            self._spin()
            frames, results = self._recorder.frames, self._recorder.results
            display.step(frames, f"{frames} frames published, {results} answered")

    def wait_until_idle(self) -> None:
        """Wait until the diagnostics are final.

        That is when two consecutive diagnostics agree, no frame is pending and every result was recorded; or when
        they have not changed for 60 s, and the figures then show what is missing.
        """
        recorder = self._recorder
        previous, count = (recorder.counts, recorder.clouds), recorder.diagnostics_count
        limit = time.monotonic() + _SILENCE_LIMIT_S
        while time.monotonic() < limit:
            self._spin()
            if recorder.diagnostics_count == count:
                continue
            counts, count = recorder.counts, recorder.diagnostics_count
            if (counts, recorder.clouds) != previous:
                previous, limit = (counts, recorder.clouds), time.monotonic() + _SILENCE_LIMIT_S
            elif (
                counts.received == counts.answered + counts.dropped + counts.failed
                and recorder.results >= counts.answered
            ):
                return

    def _spin(self) -> None:
        self._spin_once()
        self._children.check()
        if not self._children.is_running("node"):
            raise PanopticError(f"The node has ended early. Its output:\n{self._children.last_lines('node')}")


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for this process and those it starts, within the context."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _served_node() -> Iterator[tuple[Node, Callable[[], None]]]:
    """Yield a node, and a function that serves its next event or waits for one for a fraction of a second."""
    with ros_node("demo_recorder") as node:
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        try:
            yield node, lambda: executor.spin_once(timeout_sec=0.05)
        finally:
            executor.shutdown()


def _installed_package() -> tuple[Path, Path]:
    """Return the executable of the node and the share folder of the package, as installed by colcon."""
    name = "opendr_panoptic_ros"
    try:
        executable = Path(get_package_prefix(name)) / "lib" / name / "panoptic_node"
        return executable, Path(get_package_share_directory(name))
    except PackageNotFoundError as error:
        raise PanopticError(
            "The package is not among the installed ROS 2 packages. Run `make setup`, then "
            "`. .venv/bin/activate && . install/setup.bash`."
        ) from error
