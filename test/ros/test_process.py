"""The executable as a process of its own: a real video, signals, and what it says when it cannot start."""

from __future__ import annotations

import os
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
import torch

from opendr_panoptic_ros.inference import PanopticSegmenter

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402

ROOT = Path(__file__).parents[2]
VIDEO = ROOT.parent / "shared" / "data" / "pedestrians.avi"


class NodeProcess:
    """The executable with the given parameters; what it prints is kept."""

    def __init__(self, log: Path, parameters: dict[str, object], **environment: str) -> None:
        self.log = log
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "panoptic_node"), "--ros-args", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, **environment},
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def stop(self, signal_number: int) -> int:
        """Its exit code."""
        self._process.send_signal(signal_number)
        return self.exit_code()

    def exit_code(self) -> int:
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start_node(tmp_path, bench) -> Iterator[Callable[..., NodeProcess]]:
    """Starts node processes, in the bench's domain, and ends those that are left."""
    processes: list[NodeProcess] = []

    def start(parameters: dict[str, object], **environment: str) -> NodeProcess:
        processes.append(NodeProcess(tmp_path / f"node{len(processes)}.log", parameters, **environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """The first frames of the real video, RGB."""
    if not VIDEO.exists():
        pytest.skip(f"there is no {VIDEO}")
    video = cv2.VideoCapture(str(VIDEO))
    return [cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB) for _ in range(60)]


def counts_of(diagnostics: list[Any]) -> dict[str, int]:
    """The camera's counts in the latest message; zeros before the first."""
    values = {entry.key: entry.value for status in diagnostics[-1:] for s in status.status for entry in s.values}
    return {key: int(values.get(key, 0)) for key in ("received", "answered", "dropped", "failed")}


def test_a_video_faster_than_the_network(bench, checkpoint, frames, start_node):
    # As many threads as here: they decide in which order floating point sums are taken.
    node = start_node({"checkpoint": checkpoint, "inference_size": 512}, OMP_NUM_THREADS=str(torch.get_num_threads()))
    heard = bench.listen("panoptic/segmentation", PanopticSegmentation)
    diagnostics = bench.listen("/diagnostics", DiagnosticArray)
    camera = bench.camera(qos=qos_profile_sensor_data)
    sent: list[int] = []
    while len(heard) < 25 and len(sent) < 1000:
        stamp_ns = bench.client.get_clock().now().nanoseconds
        bench.send(camera, frames[len(sent) % len(frames)], stamp_ns=stamp_ns)
        sent.append(stamp_ns)
        time.sleep(1 / 25)
    bench.wait_for(lambda: sum(counts_of(diagnostics).values()) == 2 * counts_of(diagnostics)["received"], "idleness")
    bench.wait_for(lambda: counts_of(diagnostics)["answered"] == len(heard), "the last answers")

    counts = counts_of(diagnostics)
    print(f"{len(sent)} frames sent, {counts}")
    assert counts["answered"] >= 20
    assert counts["dropped"] > 0, "the network was faster than the camera; this test then shows nothing"
    assert counts["received"] >= 0.95 * len(sent)
    assert counts["received"] == counts["answered"] + counts["dropped"] + counts["failed"]
    assert counts["failed"] == 0

    segmenter = PanopticSegmenter(checkpoint, inference_size=512)
    things = 0
    for message in heard:
        assert bench.stamp_ns(message) in sent
        expected = segmenter(frames[sent.index(bench.stamp_ns(message)) % len(frames)])
        got = np.frombuffer(message.segment_map.data, np.int32).reshape(expected.shape)
        assert np.array_equal(got, expected.segment_map)
        assert [info.id for info in message.segments] == [segment.id for segment in expected.segments]
        things += sum(info.is_thing for info in message.segments)
    assert things > 0
    assert node.stop(signal.SIGINT) == 0
    assert f"{counts['received']} received" in node.said
    assert "Traceback" not in node.said


def test_sigterm_ends_it_cleanly(bench, checkpoint, start_node):
    node = start_node({"checkpoint": checkpoint})
    bench.wait_for(lambda: "Active" in node.said, "the node to start")
    assert node.stop(signal.SIGTERM) == 0
    assert "Traceback" not in node.said


def test_a_signal_while_it_starts(bench, checkpoint, start_node):
    node = start_node({"checkpoint": checkpoint})
    time.sleep(2)  # in the middle of importing torch, most likely
    assert node.stop(signal.SIGINT) == 0
    assert "Traceback" not in node.said


def test_it_says_why_it_cannot_start(start_node):
    nodes = {
        "There is no checkpoint /no/such.pth": start_node({"checkpoint": "/no/such.pth"}),
        "score_threshold is 2; expected 0 to 1": start_node({"score_threshold": 2}),
    }
    for reason, node in nodes.items():
        assert node.exit_code() == 1
        assert reason in node.said
        assert "Traceback" not in node.said


def test_without_autostart_it_waits(bench, start_node):
    node = start_node({"autostart": "false"})
    bench.wait_for(lambda: "autostart is off" in node.said, "the node to start")
    assert "Loading" not in node.said
    assert node.stop(signal.SIGTERM) == 0
