# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The executable as a process: a real video, signals, invalid messages, and errors at the start."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.node_process import NodeProcess
from support.paths import ROOT
from support.waiting import PATIENCE_S

from opendr_panoptic_ros.inference import PanopticSegmenter

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMessage  # noqa: E402
from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

HERE = Path(__file__).resolve().parent
PROFILE_VARIABLE = ("FASTRTPS" if int(version("rclpy").split(".")[0]) < 9 else "FASTDDS") + "_DEFAULT_PROFILES_FILE"


@pytest.fixture
def start_node(tmp_path, bench) -> Iterator[Callable[..., NodeProcess]]:
    """Return a function that starts node processes in the bench's domain; they are killed at the end."""
    processes: list[NodeProcess] = []

    def start(parameters: dict[str, object], **environment: str) -> NodeProcess:
        processes.append(NodeProcess(tmp_path / f"node{len(processes)}.log", parameters, **environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def counts_of(diagnostics: list[Any]) -> dict[str, int]:
    """Return the camera's counts in the latest message, or zeros before the first one."""
    values = {entry.key: entry.value for message in diagnostics[-1:] for s in message.status for entry in s.values}
    return {key: int(values.get(key, 0)) for key in ("received", "answered", "dropped", "failed")}


def test_a_video_faster_than_the_network(bench, tiny_checkpoint, shared_data, start_node, tmp_path):
    video = shared_data("pedestrians.avi")
    # As many threads as here: they decide in which order floating point sums are taken.
    room_for_images = {PROFILE_VARIABLE: str(ROOT / "config" / "fastdds_large_images.xml")}
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    node = start_node({"checkpoint": tiny_checkpoint, "inference_size": 512}, **room_for_images, **threads)
    received = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
    camera_command = [sys.executable, str(HERE / "camera_process.py"), str(video), str(tmp_path / "stamps")]
    with subprocess.Popen(camera_command, env={**os.environ, **room_for_images}) as camera:
        try:
            bench.wait_for(lambda: len(received) >= 25, "25 answers")
        finally:
            camera.terminate()
    sent = [int(line) for line in (tmp_path / "stamps").read_text().split()]
    bench.wait_for(lambda: sum(counts_of(diagnostics).values()) == 2 * counts_of(diagnostics)["received"], "idleness")
    bench.wait_for(lambda: counts_of(diagnostics)["answered"] == len(received), "the last answers")

    counts = counts_of(diagnostics)
    print(f"{len(sent)} frames sent, {counts}")
    assert counts["answered"] >= 20
    assert counts["dropped"] > 0, "the network was faster than the camera; this test then shows nothing"
    assert counts["received"] >= 0.95 * len(sent)
    assert counts["received"] == counts["answered"] + counts["dropped"] + counts["failed"]
    assert counts["failed"] == 0

    answers = {bench.stamp_ns(message): message for message in received}
    assert len(answers) == len(received)
    assert set(answers) <= set(sent)
    segmenter = PanopticSegmenter(tiny_checkpoint, backend="auto", inference_size=512)
    frames = cv2.VideoCapture(str(video))
    things = 0
    for stamp_ns in sent:
        bgr = frames.read()[1]
        if stamp_ns in answers:
            expected, message = segmenter(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)), answers[stamp_ns]
            got = np.frombuffer(message.segment_map.data, np.int32).reshape(expected.shape)
            assert np.array_equal(got, expected.segment_map)
            assert [info.id for info in message.segments] == [segment.id for segment in expected.segments]
            things += sum(info.is_thing for info in message.segments)
    assert things > 0

    assert node.stop(signal.SIGINT) == 0
    assert f"{counts['received']} received" in node.output
    assert "Traceback" not in node.output


def test_sigterm_ends_it_cleanly(bench, tiny_checkpoint, start_node):
    node = start_node({"checkpoint": tiny_checkpoint})
    bench.wait_for(lambda: "Active" in node.output, "the node to start")
    assert node.stop(signal.SIGTERM) == 0
    assert "Traceback" not in node.output


def test_more_signals_do_not_disturb_the_end(bench, tiny_checkpoint, start_node):
    """Signals arrive until the last moment of the process, as launch may send them."""
    node = start_node({"checkpoint": tiny_checkpoint})
    bench.wait_for(lambda: "Active" in node.output, "the node to start")
    numbers = itertools.cycle([signal.SIGINT, signal.SIGTERM])
    while node.is_running:
        node.send(next(numbers))
        time.sleep(0.02)
    assert node.exit_code() == 0
    assert "Traceback" not in node.output


def test_a_signal_while_it_starts(bench, tiny_checkpoint, start_node):
    node = start_node({"checkpoint": tiny_checkpoint})
    bench.wait_for(node.is_loading_torch, "the import of torch")
    assert node.stop(signal.SIGINT) == 0
    assert "Traceback" not in node.output


def test_an_error_at_the_start_is_reported(start_node):
    nodes = {
        "There is no checkpoint /no/such.pth": start_node({"checkpoint": "/no/such.pth"}),
        "score_threshold is 2; expected 0 to 1": start_node({"score_threshold": 2}),
    }
    for reason, node in nodes.items():
        assert node.exit_code() == 1
        assert reason in node.output
        assert "Traceback" not in node.output


def test_messages_that_rclpy_cannot_convert_do_not_end_it(bench, tiny_checkpoint, picture, start_node):
    """A parameter of a type that does not exist, and a clock with negative seconds."""
    node = start_node({"checkpoint": tiny_checkpoint, "use_sim_time": "true"})
    diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
    bench.wait_for(lambda: "Active" in node.output, "the node to start")

    def callback_errors() -> int:
        values = {entry.key: entry.value for entry in diagnostics[-1].status[0].values} if diagnostics else {}
        return int(values.get("callback_errors", 0))

    client = bench.client.create_client(SetParameters, "/panoptic_segmentation/set_parameters")
    bench.wait_for(client.service_is_ready, "the service")
    begin_s = time.monotonic()
    for number in (1, 2):
        unknown = ParameterValue(type=77)
        client.call_async(SetParameters.Request(parameters=[ParameterMessage(name="jpeg_quality", value=unknown)]))
        bench.wait_for(lambda n=number: callback_errors() == n, "the error of the parameter to be counted")
    clock = bench.client.create_publisher(Clock, "/clock", 10)
    bench.wait_for(clock.get_subscription_count, "the node to subscribe to the clock")

    def after_time(sec: int, condition: Callable[[], bool]) -> bool:
        clock.publish(Clock(clock=Time(sec=sec)))  # again and again: the subscription is best effort
        time.sleep(0.05)
        return condition()

    bench.wait_for(lambda: after_time(-5, lambda: callback_errors() >= 3), "the error of the clock to be counted")
    bench.wait_for(lambda: after_time(100, lambda: diagnostics[-1].header.stamp.sec == 100), "the time of the clock")

    received = bench.subscribe("panoptic/semantic")
    bench.send_until(lambda: received, bench.camera(), picture, stamp_ns=100 * 10**9)
    set_right = client.call_async(
        SetParameters.Request(parameters=[Parameter("jpeg_quality", value=70).to_parameter_msg()])
    )
    bench.wait_for(set_right.done, "the response")
    assert set_right.result().results[0].successful
    logged = node.output.count("A callback failed; the node continues.")
    assert 1 <= logged <= 1 + (time.monotonic() - begin_s) / 5, "the log is throttled to one in 5 s"
    assert "77" in node.output
    assert node.stop(signal.SIGTERM) == 0


def test_without_autostart_it_waits(bench, start_node):
    node = start_node({"autostart": "false"})
    bench.wait_for(lambda: "autostart is off" in node.output, "the node to start")
    assert "Loading" not in node.output
    assert node.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(("module", "name"), [("node", "PanopticNode"), ("points_node", "PointsNode")])
def test_a_signal_in_the_constructor(ros_domain, module, name):
    """The nodes of a context are destroyed when that ends, half-made ones too."""
    code = f"""if True:
        import os, signal, sys
        from opendr_panoptic_ros.ros.{module} import {name}
        from opendr_panoptic_ros.ros.run import run
        from opendr_panoptic_ros.ros.signals import StopSignals

        class Interrupted({name}):
            def create_service(self, *arguments, **options):  # called by the constructor of rclpy's node
                os.kill(os.getpid(), signal.SIGTERM)
                return super().create_service(*arguments, **options)

        sys.exit(run(Interrupted, [], StopSignals()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "Loading" not in done.stderr
    assert "Traceback" not in done.stderr
