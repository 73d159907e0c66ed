# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A node process under load: camera processes before it, a client beside it, all over DDS in a domain of their own.

The client is spun by the thread that calls the methods, so that a fault and its observation never race.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from opendr_panoptic_ros.demo.dds import profile_variable, reserved_domain_id
from support.node_process import NodeProcess
from support.paths import ROOT
from support.process_samples import own_segments
from support.waiting import PATIENCE_S

NODE = "panoptic_segmentation"
COUNTS = ("received", "answered", "dropped", "failed")
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


@dataclass(frozen=True)
class CameraKind:
    """What a camera sends: size in pixels, encoding of the raw images, frames a second."""

    height: int = 256
    width: int = 512
    encoding: str = "rgb8"
    rate_hz: float = 10.0
    seed: int = 0


class LiveRig:
    """The node, its cameras and a client.

    node: The node's process; None before `start_node`.
    answers: Number of messages on panoptic/semantic by camera.
    latencies_ms: From the stamp of a camera's frame to the arrival of its panoptic/semantic here: (time, latency).
    diagnostics: The values of the last message: of the node under "", of each camera under its name.
    levels, messages: The levels and messages of the same statuses.
    pace: Factor of all pauses of the faults.
    totals: Frames received, answered, dropped and failed, of all cameras, as far as diagnostics have told.
    """

    def __init__(self, folder: Path) -> None:
        self.node: NodeProcess | None = None
        self.answers: Counter[str] = Counter()
        self.latencies_ms: list[tuple[float, float]] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.levels: dict[str, int] = {}
        self.messages: dict[str, str] = {}
        self.totals: Counter[str] = Counter()
        self.pace = 1.0
        self._folder = folder
        self._cameras: dict[str, subprocess.Popen[bytes]] = {}
        self._killed: set[str] = set()  # segments of killed processes, to be removed at the end
        self._started_ns: Counter[str] = Counter()
        self._services: dict[str, Any] = {}
        self._listening: dict[str, Any] = {}
        self._context = Context()
        rclpy.init(context=self._context)
        self.client = Node("rig", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.client)
        self.client.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def start_node(self, parameters: dict[str, object], **environment: str) -> None:
        self.node = NodeProcess(self._folder / "node.log", parameters, **environment)
        self.wait_for(lambda: self.state == "active", "the node to be active")

    @property
    def pid(self) -> int:
        assert self.node is not None
        return self.node.pid

    @property
    def state(self) -> str:
        """The node's state in its last diagnostics."""
        return self.diagnostics.get("", {}).get("state", "")

    @property
    def log(self) -> str:
        assert self.node is not None
        return self.node.output

    def counts(self) -> dict[str, dict[str, int]]:
        """Return each camera's counts in the last diagnostics."""
        return {name: {key: int(values[key]) for key in COUNTS} for name, values in self.diagnostics.items() if name}

    # Time

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def pause(self, seconds: float) -> None:
        """Spin for the time times the pace."""
        self.spin(self.pace * seconds)

    def wait_for(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
        """Spin until the condition holds; fail when it does not within the patience, or when the node has ended."""
        end = time.monotonic() + patience_s
        while not condition():
            assert self.node is None or self.node.is_running, f"the node ended, waiting for {what}:\n{self.log[-2000:]}"
            for name, camera in self._cameras.items():
                assert camera.poll() is None, f"the camera {name} ended; see camera_{name}.log"
            assert time.monotonic() < end, f"waited {patience_s:.0f} s in vain for {what}"
            self._executor.spin_once(timeout_sec=0.1)

    # Cameras

    def start_camera(self, name: str, kind: CameraKind) -> None:
        """Start a camera, in place of the one of this name; that one is killed."""
        self.end_camera(name, signal.SIGKILL)
        self._started_ns[name] = time.time_ns()
        script = Path(__file__).with_name("live_camera.py")
        arguments = [name, kind.height, kind.width, kind.encoding, kind.rate_hz, kind.seed]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with (self._folder / f"camera_{name}.log").open("ab") as log:
            self._cameras[name] = subprocess.Popen(
                [sys.executable, str(script), *map(str, arguments)],
                stderr=log,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )

    def end_camera(self, name: str, signal_number: int) -> None:
        camera = self._cameras.pop(name, None)
        if camera is not None:
            segments = own_segments(camera.pid)
            camera.send_signal(signal_number)
            camera.wait()
            self._killed.update(segment for segment in segments if "_port" in segment)  # a new camera may take it over
            _remove(segment for segment in segments if "_port" not in segment)

    def signal_camera(self, name: str, signal_number: int) -> None:
        self._cameras[name].send_signal(signal_number)

    @property
    def camera_names(self) -> list[str]:
        return list(self._cameras)

    # Subscribers

    def listen(self, camera: str) -> None:
        """Subscribe to a camera's panoptic/semantic for `answers` and `latencies_ms`, as long as the rig lives."""

        def on_answer(message: bytes) -> None:
            now_ns = time.time_ns()
            sec, nanosec = struct.unpack_from("<iI", message, 4)
            stamp_ns = sec * 10**9 + nanosec
            if stamp_ns >= self._started_ns[camera]:  # not one of the camera before it
                self.answers[camera] += 1
            latency_ms = (now_ns - stamp_ns) / 1e6
            if 0 < latency_ms < 60_000:  # not one of the made-up stamps
                self.latencies_ms.append((time.monotonic(), latency_ms))

        topic = f"{camera}/panoptic/semantic"
        self._listening[camera] = self.client.create_subscription(Image, topic, on_answer, 10, raw=True)

    def subscribe(self, topic: str, message_type: type, client: Node | None = None) -> Any:
        """Subscribe to a topic and drop its messages; `unsubscribe` takes what is returned."""
        return (client or self.client).create_subscription(message_type, topic, lambda _: None, 10, raw=True)

    def unsubscribe(self, subscription: Any) -> None:
        self.client.destroy_subscription(subscription)

    def add_client(self, name: str) -> Node:
        """Return another node beside the client."""
        client = Node(name, context=self._context)
        self._executor.add_node(client)
        return client

    def remove_client(self, client: Node) -> None:
        self._executor.remove_node(client)
        client.destroy_node()

    def wait_for_answers(self, what: str, cameras: list[str] | None = None, number: int = 1) -> None:
        """Wait until each of the cameras (those that run, by default) has so many more answers."""
        names = self.camera_names if cameras is None else cameras
        before = self.answers.copy()
        self.wait_for(lambda: all(self.answers[name] >= before[name] + number for name in names), what)

    # The node's services

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        if name not in self._services:
            self._services[name] = self.client.create_client(service_type, f"/{NODE}/{name}")
        service = self._services[name]
        self.wait_for(service.service_is_ready, f"the service {name}")
        future = service.call_async(request)
        self.wait_for(future.done, f"the response of {name}")
        return future.result()

    def transition(self, name: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        return bool(self.call(ChangeState, "change_state", request).success)

    def set_parameters(self, **values: Any) -> list[str]:
        """Set parameters and return the reasons of the refused ones."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        response = self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=parameters))
        return [result.reason for result in response.results if not result.successful]

    def send_parameter(self, parameter: Any) -> None:
        """Send a request that may never be answered; `set_parameters` has been called before."""
        self._services["set_parameters"].call_async(SetParameters.Request(parameters=[parameter]))

    def close(self) -> None:
        """End all processes, and remove the shared memory that killed ones have left."""
        for name in self.camera_names:
            self.end_camera(name, signal.SIGKILL)
        if self.node is not None:
            self._killed.update(own_segments(self.pid))
            self.node.kill()
        self._executor.shutdown()
        self.client.destroy_node()
        rclpy.try_shutdown(context=self._context)
        _remove(self._killed)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            _, _, topic = status.name.partition(": ")
            name = topic.strip("/").removesuffix("/compressed").removesuffix("image_raw").strip("/")
            values = {entry.key: entry.value for entry in status.values}
            before = self.diagnostics.get(name, {})
            if name:
                is_same = int(values["received"]) >= int(before.get("received", 0))  # else it was configured again
                self.totals.update({key: int(values[key]) - int(before.get(key, 0)) * is_same for key in COUNTS})
            self.diagnostics[name] = values
            self.levels[name] = status.level[0]
            self.messages[name] = status.message


def _remove(segments: Iterable[str]) -> None:
    for segment in segments:
        for suffix in ("", "_el", "_sl"):
            Path(segment + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def live_rig(folder: Path) -> Iterator[LiveRig]:
    """Yield a rig in a domain of its own, with room for images in DDS; the environment is restored at the end."""
    before = dict(os.environ)
    with reserved_domain_id() as domain_id:
        os.environ["ROS_DOMAIN_ID"] = str(domain_id)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        if variable := profile_variable():
            os.environ[variable] = str(ROOT / "config" / "fastdds_large_images.xml")
        rig = LiveRig(folder)
        try:
            yield rig
        finally:
            rig.close()
            os.environ.clear()
            os.environ.update(before)
