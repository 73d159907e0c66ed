# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Transitions requested over the services, as by a lifecycle manager, and their effect on /diagnostics."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.codec.image import decode

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP


@pytest.fixture
def change(bench):
    """Return a function that requests a transition and returns whether it succeeded."""
    client = bench.client.create_client(ChangeState, "panoptic_segmentation/change_state")

    def ask(transition: int) -> bool:
        assert client.wait_for_service(timeout_sec=60)
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        bench.wait_for(future.done, "the transition")
        return bool(future.result().success)

    return ask


def spinning_node(bench, **parameters):
    node = bench.node(**parameters)
    bench.spin(node)
    return node


def topics(bench):
    names = bench.client.get_publisher_names_and_types_by_node("panoptic_segmentation", "/")
    return {name for name, _ in names if name.startswith("/panoptic/")}


def test_there_and_back_twice(bench, change, tiny_checkpoint, picture):
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    for round_number in (1, 2):
        assert node.state == "unconfigured"
        assert change(CONFIGURE)
        assert node.state == "inactive"
        bench.wait_for(lambda: "/panoptic/semantic" in topics(bench), "the outputs")
        assert camera.get_subscription_count() == 0
        assert change(ACTIVATE)
        assert node.state == "active"
        bench.send(camera, picture, stamp_ns=round_number)
        bench.wait_for(lambda n=round_number: len(received) == n, "the answer")
        assert change(DEACTIVATE)
        bench.wait_for(lambda: camera.get_subscription_count() == 0, "the node to leave the camera")
        network = weakref.ref(node.segmenter)
        assert change(CLEANUP)
        assert network() is None, "cleanup must free the network"
        bench.wait_for(lambda: not topics(bench), "the outputs to go")


def test_deactivate_keeps_the_network_and_the_counts(bench, change, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    network = node.segmenter
    for stamp_ns in (1, 2):
        bench.send(camera, picture, stamp_ns=stamp_ns)
        bench.wait_for(lambda n=stamp_ns: node.counts[""].answered == n, "the answer")
        assert change(DEACTIVATE)
        assert node.segmenter is network
        assert change(ACTIVATE)


def test_a_failed_configure_leaves_nothing_and_can_be_tried_again(bench, change, tiny_checkpoint):
    node = spinning_node(bench, checkpoint="/no/such.pth", allowed_paths=[str(tiny_checkpoint)])
    diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
    assert not change(CONFIGURE)
    assert node.state == "unconfigured"
    assert node.last_error.startswith("CheckpointError: There is no checkpoint /no/such.pth")
    assert node.segmenter is None
    assert not topics(bench)
    bench.wait_for(lambda: diagnostics and diagnostics[-1].status[0].level == DiagnosticStatus.ERROR, "the diagnosis")
    assert "/no/such.pth" in diagnostics[-1].status[0].message

    node.set_parameters([Parameter("checkpoint", value=str(tiny_checkpoint))])
    assert change(CONFIGURE)
    bench.wait_for(lambda: diagnostics[-1].status[0].level == DiagnosticStatus.OK, "the diagnosis")
    assert change(ACTIVATE)


@pytest.mark.parametrize("parameters", [{"device": "tpu"}, {"config": "/no/such.yaml"}])
def test_configure_refuses(bench, change, tiny_checkpoint, parameters):
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint), **parameters)
    assert not change(CONFIGURE)
    assert node.state == "unconfigured"
    assert next(iter(parameters.values())) in node.last_error


def test_a_failed_activate_leaves_the_node_inactive(bench, change, tiny_checkpoint, monkeypatch):
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint))
    assert change(CONFIGURE)
    with monkeypatch.context() as patch:
        patch.setattr(node.cameras[0], "start", lambda: 1 / 0)
        assert not change(ACTIVATE)
    assert node.state == "inactive"
    assert "ZeroDivisionError" in node.last_error
    assert change(ACTIVATE)
    assert node.last_error == ""


@pytest.mark.parametrize(
    ("before", "shutdown"),
    [
        ([], Transition.TRANSITION_UNCONFIGURED_SHUTDOWN),
        ([CONFIGURE], Transition.TRANSITION_INACTIVE_SHUTDOWN),
        ([CONFIGURE, ACTIVATE], Transition.TRANSITION_ACTIVE_SHUTDOWN),
    ],
    ids=["unconfigured", "inactive", "active"],
)
def test_shutdown_from_any_state(bench, change, tiny_checkpoint, before, shutdown):
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint))
    assert all(change(transition) for transition in before)
    assert change(shutdown)
    assert node.state == "finalized"
    assert node.segmenter is None
    bench.wait_for(lambda: not topics(bench), "the outputs to go")


SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
WAY_TO = {"unconfigured": [], "inactive": [CONFIGURE], "active": [CONFIGURE, ACTIVATE]}
LEGAL = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("inactive", CLEANUP): "unconfigured",
    ("active", DEACTIVATE): "inactive",
}


@pytest.mark.parametrize("before", ["unconfigured", "inactive", "active", "finalized"])
def test_every_transition_from_every_state(bench, change, tiny_checkpoint, picture, before):
    """A transition that the state does not have is refused and changes nothing."""
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint))
    assert all(change(transition) for transition in WAY_TO.get(before, [SHUTDOWN["unconfigured"]]))
    assert node.state == before
    back = {"inactive": DEACTIVATE, "active": ACTIVATE, "unconfigured": CLEANUP}
    others = [shutdown for state, shutdown in SHUTDOWN.items() if state != before]
    for transition in [CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP, *others]:
        after = LEGAL.get((before, transition))
        assert change(transition) == (after is not None)
        assert node.state == (after or before)
        if after:
            assert change(CONFIGURE if before == "inactive" and after == "unconfigured" else back[before])
            assert node.state == before
    assert (node.segmenter is None) == (before in {"unconfigured", "finalized"})
    if before == "active":
        received = bench.subscribe("panoptic/semantic")
        bench.send(bench.camera(), picture, stamp_ns=1)
        bench.wait_for(lambda: received, "the answer")


@pytest.mark.parametrize(
    ("before", "transition", "broken"),
    [
        ("active", DEACTIVATE, "stop"),
        ("inactive", CLEANUP, "destroy"),
        ("unconfigured", SHUTDOWN["unconfigured"], "collect"),
        ("inactive", SHUTDOWN["inactive"], "destroy"),
        ("active", SHUTDOWN["active"], "stop"),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_an_error_in_a_transition(
    bench, change, tiny_checkpoint, picture, monkeypatch, before, transition, broken, times
):
    """After one error everything is freed and the node is unconfigured; after a second one it is finalized."""
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint))
    assert all(change(step) for step in WAY_TO[before])
    owner = node.cameras[0] if node.cameras else gc
    real, failures = getattr(owner, broken), iter(range(times))

    def break_at_first() -> None:
        if next(failures, None) is not None:
            raise RuntimeError("the cable is loose")
        real()

    with monkeypatch.context() as patch:
        patch.setattr(owner, broken, break_at_first)
        assert not change(transition)
    assert node.last_error == "RuntimeError: the cable is loose"
    assert node.state == ("unconfigured" if times == 1 else "finalized")
    if times == 1:
        assert node.segmenter is None
        assert change(CONFIGURE)
        assert change(ACTIVATE)
        received = bench.subscribe("panoptic/semantic")
        bench.send(bench.camera(), picture, stamp_ns=1)
        bench.wait_for(lambda: received, "the answer")


@pytest.mark.gpu
def test_cleanup_gives_the_memory_of_the_gpu_back(bench, change, tiny_checkpoint):
    spinning_node(bench, checkpoint=str(tiny_checkpoint), device="cuda")
    assert change(CONFIGURE)
    configured = torch.cuda.memory_reserved()
    assert change(CLEANUP)
    assert torch.cuda.memory_reserved() < configured


def test_a_configure_that_fails_late_unwinds(bench, change, tiny_checkpoint):
    """If a topic of the second camera cannot be created, all other topics and the network are freed."""
    wrong = {"qos_overrides./rear/panoptic/instance.publisher.reliability": "sometimes"}
    node = spinning_node(bench, checkpoint=str(tiny_checkpoint), cameras=["front", "rear"], **wrong)
    assert not change(CONFIGURE)
    assert node.state == "unconfigured"
    assert node.segmenter is None
    for name in ("front", "rear"):
        topic = f"/{name}/panoptic/semantic"
        bench.wait_for(lambda t=topic: not bench.client.get_publishers_info_by_topic(t), "the topics to go")
    node.set_parameters([Parameter("cameras", value=["front"])])
    assert change(CONFIGURE)
    assert change(ACTIVATE)


def test_diagnostics(bench, tiny_checkpoint, picture):
    diagnostics = bench.subscribe("/diagnostics", DiagnosticArray)
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.send(camera, picture, stamp_ns=1, encoding="h264")
    bench.wait_for(lambda: node.counts[""].failed == 1, "the bad image to be counted")

    def camera_status():
        return diagnostics[-1].status[1] if diagnostics and len(diagnostics[-1].status) == 2 else DiagnosticStatus()

    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis of the failure")
    assert "h264" in camera_status().message

    bench.send(camera, picture, stamp_ns=bench.client.get_clock().now().nanoseconds)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "the diagnosis of the success")
    values = {entry.key: entry.value for entry in camera_status().values}
    counts = {key: values[key] for key in ("received", "answered", "dropped", "failed")}
    assert counts == {"received": "2", "answered": "1", "dropped": "0", "failed": "1"}
    assert 0 < float(values["processing_time_ms_p50"]) <= float(values["processing_time_ms_p95"])
    assert float(values["processing_time_ms_p50"]) < float(values["pipeline_latency_ms_p50"])
    status = diagnostics[-1].status[0]
    assert status.name == "panoptic_segmentation"
    assert camera_status().name == "panoptic_segmentation: /image_raw"
    node_values = {entry.key: entry.value for entry in status.values}
    assert (node_values["state"], node_values["device"]) == ("active", str(node.segmenter.device))
    assert node_values["checkpoint"] == str(tiny_checkpoint)


def test_the_visualization_changes_while_it_runs(bench, tiny_checkpoint, picture):
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    received = bench.subscribe("panoptic/rgb_visualization")
    camera = bench.camera()
    settings: list[tuple[str, Any]] = [
        ("visualization_opacity", 1.0),
        ("visualization_opacity", 0.1),
        ("visualization", "detailed"),
    ]
    for number, (name, value) in enumerate(settings, start=1):
        node.set_parameters([Parameter(name, value=value)])
        bench.send(camera, picture, stamp_ns=number)
        bench.wait_for(lambda n=number: len(received) == n, "the picture")
    full, faint, detailed = (decode(message).astype(int) for message in received)
    assert np.abs(faint - picture).mean() < np.abs(full - picture).mean() / 2
    assert detailed.shape == picture.shape
    assert not np.array_equal(detailed, faint)
