# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Faults on the live node over DDS: lack of memory, and each fault of the table that the soak draws from."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from support.faults import FAULTS  # noqa: E402
from support.live_rig import CameraKind, live_rig  # noqa: E402
from support.process_samples import handles  # noqa: E402

CAMERAS = ("front", "rear")


class LittleMemory:
    """The node's segmenter, with memory for a limited number of frames at once.

    frames: The number; more raise one of the errors by which runtimes report this, in turn.
    batches: Numbers of frames of all calls.
    """

    def __init__(self, segmenter: Any) -> None:
        self.frames = 64
        self.batches: list[int] = []
        self._segmenter = segmenter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def __call__(self, images: list[np.ndarray], **options: Any) -> Any:
        self.batches.append(len(images))
        if len(images) > self.frames:
            errors = (
                torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
                RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes."),
                MemoryError("Unable to allocate 2.00 GiB for an array"),
            )
            raise errors[len(self.batches) % 3]
        return self._segmenter(images, **options)


def test_lack_of_memory(bench, tiny_checkpoint, picture):
    """Smaller batches, a warning, failed frames while not one fits, and the way back."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), cameras=list(CAMERAS), max_batch=2)
    memory = LittleMemory(node.pipeline.segmenter)
    node.pipeline.segmenter = memory
    diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
    received = {name: bench.subscribe(f"{name}/panoptic/semantic") for name in CAMERAS}
    cameras = {name: bench.camera(f"{name}/image_raw") for name in CAMERAS}
    stamp = 0

    def send_until(condition: Any) -> None:
        def sent_and_shown() -> Any:
            nonlocal stamp
            stamp += 1
            for camera in cameras.values():
                bench.send(camera, picture, stamp_ns=stamp)
            time.sleep(0.01)  # for the node
            wanted = {name: counts.received for name, counts in node.counts.items()}
            return min(wanted.values()) and condition()

        bench.wait_for(sent_and_shown, "it")

    def status(index: int = 0) -> DiagnosticStatus:
        return diagnostics[-1].status[index] if diagnostics else DiagnosticStatus(level=DiagnosticStatus.STALE)

    send_until(lambda: all(received.values()) and 2 in memory.batches)
    bench.wait_for(lambda: status().level == DiagnosticStatus.OK, "diagnostics")

    memory.frames = 1
    send_until(lambda: node.pipeline.batch_limit.is_reduced)
    answered = {name: counts.answered for name, counts in node.counts.items()}
    del memory.batches[:]
    send_until(
        lambda: len(memory.batches) >= 6 and all(node.counts[name].answered > answered[name] for name in CAMERAS)
    )
    assert set(memory.batches) == {1}, "batches that do not fit are not tried again and again"
    send_until(lambda: status().level == DiagnosticStatus.WARN)
    assert status().message.startswith("degraded: memory ran out, and batches have at most 1 instead of 2 frames")
    assert [counts.failed for counts in node.counts.values()] == [0, 0]

    memory.frames = 0
    send_until(lambda: all(counts.failed for counts in node.counts.values()))
    bench.wait_for(lambda: status(1).level == DiagnosticStatus.ERROR, "the failure in diagnostics")
    assert "allocate" in status(1).message or "memory" in status(1).message

    memory.frames = 64
    del memory.batches[:]
    send_until(lambda: 2 in memory.batches)
    assert memory.batches.index(2) >= 100
    send_until(lambda: status().level == DiagnosticStatus.OK and status(1).level != DiagnosticStatus.ERROR)
    assert {entry.key: entry.value for entry in status().values}["batch_limit"] == "2"


@pytest.mark.timeout(900)
def test_every_fault_of_the_table_is_survived(tmp_path, tiny_checkpoint):
    """A process of the node with two cameras, which are processes too; in the end no frame is unaccounted for."""
    rng = random.Random(1)
    with live_rig(tmp_path) as rig:
        rig.pace = 0.1
        rig.start_node({"checkpoint": tiny_checkpoint, "cameras": list(CAMERAS)}, OMP_NUM_THREADS="1")
        for name in CAMERAS:
            rig.listen(name)
            rig.start_camera(name, CameraKind(48, 64, "rgb8", 10.0))
        rig.wait_for_answers("the first answers")
        before = handles(rig.pid)
        for name, (fault, _) in FAULTS.items():
            fault(rig, rng)
            rig.wait_for_answers(f"answers after: {name}")
        kept = ("threads", "descriptors", "children")  # soon: DDS releases those of what has left
        rig.wait_for(lambda: all(handles(rig.pid)[key] == before[key] for key in kept), "as many handles as before")
        assert before["children"] == 0
        for name in CAMERAS:
            rig.end_camera(name, signal.SIGTERM)
        rig.wait_for(
            lambda: all(c["received"] == c["answered"] + c["dropped"] + c["failed"] for c in rig.counts().values()),
            "received = answered + dropped + failed",
        )
        assert rig.totals["failed"] > 0
        assert "Traceback" not in rig.log
        assert rig.node is not None
        assert rig.node.stop(signal.SIGTERM) == 0
