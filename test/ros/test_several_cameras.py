# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""One network for several cameras: batches, turns, and cameras that are slow, end or send broken frames."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402

from opendr_panoptic_ros.inference import PanopticSegmenter  # noqa: E402
from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402

HERE = Path(__file__).resolve().parent


@pytest.fixture
def rig(bench, tiny_checkpoint, gate_of):
    """Return a function that creates a gated node with cameras, each of which has had one frame answered."""

    def make(sizes: dict[str, tuple[int, int]], **parameters: Any) -> Any:
        node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=list(sizes), **parameters)
        gate = gate_of(node)
        cameras = {name: bench.camera(f"{name}/image_raw") for name in sizes}
        received = {name: bench.subscribe(f"{name}/panoptic/panoptic") for name in sizes}
        random = np.random.default_rng(0)

        def send(name: str) -> np.ndarray:
            picture = random.integers(0, 256, (*sizes[name], 3), np.uint8)
            number = node.counts[name].received + 1
            bench.send(cameras[name], picture, stamp_ns=number)
            bench.wait_for(lambda: node.counts[name].received == number, "the frame")
            return picture

        for name in sizes:
            gate.permits.release()
            send(name)
            bench.wait_for(lambda n=name: node.counts[n].answered == 1 and received[n], "the first answer")
        gate.batches.clear()
        return node, gate, send, received

    return make


def test_frames_of_one_size_that_wait_together_run_as_one_batch(bench, tiny_checkpoint, rig):
    sizes = {"front": (48, 64), "left": (48, 64), "low": (32, 64), "right": (48, 64)}
    node, gate, send, received = rig(sizes)
    send("low")
    bench.wait_for(lambda: gate.batches == [(1, 32, 64)], "the first frame's inference to begin")
    pictures = {name: send(name) for name in sizes}
    gate.permits.release(3)
    bench.wait_for(lambda: [counts.answered for counts in node.counts.values()] == [2, 2, 3, 2], "the answers")
    assert gate.batches == [(1, 32, 64), (3, 48, 64), (1, 32, 64)]
    bench.wait_for(lambda: len(received["low"]) == 3 and len(received["right"]) == 2, "the messages")
    for name, picture in pictures.items():
        got = np.frombuffer(received[name][-1].data, np.int32).reshape(sizes[name])
        expected = PanopticSegmenter(tiny_checkpoint, backend="auto")(picture).panoptic_ids
        assert np.mean(got == expected) > 0.99, "an answer must be of its own camera's frame"


def test_max_batch(bench, rig):
    node, gate, send, _ = rig(dict.fromkeys("abc", (48, 64)), max_batch=2)
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    for name in "abc":
        send(name)
    gate.permits.release(3)
    bench.wait_for(lambda: [counts.answered for counts in node.counts.values()] == [3, 2, 2], "the answers")
    assert [size for size, *_ in gate.batches] == [1, 2, 1]


def test_a_camera_that_changes_its_size_in_a_batch(bench, rig):
    sizes = {"a": (48, 64), "b": (48, 64)}
    node, gate, send, _ = rig(sizes)
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    sizes["b"] = (32, 64)
    send("a")
    send("b")
    gate.permits.release(3)
    bench.wait_for(lambda: [counts.answered for counts in node.counts.values()] == [3, 2], "the answers")
    assert sorted(gate.batches[1:]) == [(1, 32, 64), (1, 48, 64)]


def test_a_broken_frame_in_a_batch_fails_alone(bench, rig):
    node, gate, send, _ = rig(dict.fromkeys("ab", (48, 64)))
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    send("a")
    broken = bench.camera("b/image_raw")
    bench.send(broken, np.zeros((48, 64, 3), np.uint8), stamp_ns=9, encoding="h264")
    bench.wait_for(lambda: node.counts["b"].received == 2, "the broken frame")
    gate.permits.release(2)
    bench.wait_for(lambda: node.counts["a"].answered == 3, "the good camera's answers")
    bench.wait_for(lambda: node.counts["b"] == FrameCounts(received=2, answered=1, failed=1), "the failure")


def test_a_batch_that_fails_is_tried_frame_by_frame(bench, rig, capfd):
    node, gate, send, received = rig(dict.fromkeys("ab", (48, 64)))
    gate.largest_batch = 1
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    for name in "ab":
        send(name)
    gate.permits.release(4)
    bench.wait_for(lambda: [counts.answered for counts in node.counts.values()] == [3, 2], "the answers")
    assert [size for size, *_ in gate.batches] == [1, 2, 1, 1]
    assert [counts.failed for counts in node.counts.values()] == [0, 0]
    bench.wait_for(lambda: len(received["a"]) == 3 and len(received["b"]) == 2, "the messages")
    logged = "A batch of 2 frames failed and was retried frame by frame: RuntimeError: CUDA out of memory"
    assert logged in capfd.readouterr().err


def test_turns_under_overload(bench, rig):
    """Cameras of different sizes that always have a frame waiting take turns."""
    node, gate, send, _ = rig({"a": (48, 64), "b": (32, 64), "c": (32, 32)})
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    for turn in range(1, 10):
        for name in "aaabc":  # the first camera is three times as fast
            send(name)
        gate.permits.release()
        bench.wait_for(lambda n=turn: len(gate.batches) == n + 1, "the next turn")
    shares = Counter((height, width) for _, height, width in gate.batches[1:])
    assert shares == {(48, 64): 3, (32, 64): 3, (32, 32): 3}
    gate.permits.release(10)
    bench.wait_for(
        lambda: all(c.received == c.answered + c.dropped + c.failed for c in node.counts.values()), "idleness"
    )
    assert node.counts["b"].answered >= 4


def test_eight_cameras_of_unlike_sizes_get_equal_shares(bench, rig):
    """All of them always have a frame waiting; five share a size, two another one, and one has a size of its own."""
    sizes = dict.fromkeys("abcde", (48, 64)) | {"f": (32, 64), "g": (32, 64), "h": (32, 32)}
    node, gate, send, _ = rig(sizes)
    send("a")
    bench.wait_for(lambda: len(gate.batches) == 1, "the first frame's inference to begin")
    for turn in range(1, 41):
        for name in sizes:
            send(name)
        gate.permits.release()
        bench.wait_for(lambda n=turn: len(gate.batches) == n + 1, "the next turn")
    answered = [counts.answered for counts in node.counts.values()]
    assert min(answered) >= 0.9 * max(answered), answered
    assert max(number for number, *_ in gate.batches) == 4
    gate.permits.release(10)
    bench.wait_for(
        lambda: all(c.received == c.answered + c.dropped + c.failed for c in node.counts.values()), "idleness"
    )


@pytest.mark.slow
def test_three_rates_and_a_camera_that_dies(bench, tiny_checkpoint, tmp_path):
    """Cameras at 10, 5 and 1 Hz run for 8 s, each as a process; another one at 10 Hz is killed after 2 s."""
    rates_hz = {"front": 10, "left": 5, "rear": 1, "dying": 10}
    node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=list(rates_hz))
    received = {name: bench.subscribe(f"{name}/panoptic/segmentation", PanopticSegmentation) for name in rates_hz}
    cameras = {
        name: subprocess.Popen(
            [
                sys.executable,
                str(HERE / "noise_camera.py"),
                f"{name}/image_raw",
                str(rate),
                str(8 * rate),
                tmp_path / name,
            ]
        )
        for name, rate in rates_hz.items()
    }
    try:
        dying = tmp_path / "dying"
        bench.wait_for(lambda: dying.exists() and int(dying.read_text() or 0) >= 20, "the life of the dying camera")
        cameras["dying"].kill()
        for name in ("front", "left", "rear"):
            assert cameras[name].wait(timeout=60) == 0
    finally:
        for camera in cameras.values():
            camera.kill()
            camera.wait()
    bench.wait_for(
        lambda: all(c.received == c.answered + c.dropped + c.failed for c in node.counts.values()), "idleness"
    )
    most = max(counts.answered for counts in node.counts.values())  # less than a camera sends on a busy machine
    latencies_ms = []
    for (name, rate), camera in zip(rates_hz.items(), node.cameras, strict=True):
        counts, sent = node.counts[name], int((tmp_path / name).read_text())
        latencies_ms.append(np.median([timing.pipeline_latency_ms for timing in camera.mailbox.timings]))
        print(f"{name}: {rate} Hz, {sent} sent, {counts}, median latency {latencies_ms[-1]:.0f} ms")
        assert counts.received >= 0.95 * (sent - (name == "dying"))  # the frame of its death may not have left
        assert counts.answered >= 0.5 * min(sent, most)
        assert counts.failed == 0
        bench.wait_for(lambda n=name: len(received[n]) == node.counts[n].answered, "the last messages")
        assert {message.header.frame_id for message in received[name]} == {f"{name}/image_raw"}
    assert max(latencies_ms) < 5 * min(latencies_ms), "no camera waits for the others"
