# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Content and level of /diagnostics."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from opendr_panoptic_ros.ros.mailbox import Timing  # noqa: E402
from opendr_panoptic_ros.ros.messages import image_message  # noqa: E402

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def camera_status(bench):
    """Return a function that returns the latest status of the first camera."""
    received = bench.subscribe("/diagnostics", DiagnosticArray)

    def latest() -> Any:
        return received[-1].status[1] if received and len(received[-1].status) > 1 else DiagnosticStatus(level=b"\x63")

    return latest


def values_of(status):
    return {entry.key: entry.value for entry in status.values}


def now_ns(bench):
    return bench.client.get_clock().now().nanoseconds


def test_idle_is_ok_and_a_silent_camera_is_not(bench, tiny_checkpoint, picture, camera_status):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0.5)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "the first diagnosis")
    assert camera_status().message == "idle: no output has a subscriber"

    received = bench.subscribe("panoptic/semantic")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "a warning, as no frame comes")
    assert camera_status().message.startswith("input stopped: nothing on /image_raw for ")
    assert camera_status().message.endswith("; the topic has no publisher")

    camera = bench.camera()
    end_s = time.monotonic() + 60
    while camera_status().level != DiagnosticStatus.OK and time.monotonic() < end_s:
        bench.send(camera, picture, stamp_ns=now_ns(bench))
        time.sleep(0.1)
    assert camera_status().message == "subscribed"
    assert received
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "a warning, as no more frames come")
    assert "no publisher" not in camera_status().message

    node.set_parameters([Parameter("warn_input_stopped_s", value=0)])
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "no more warning")


def test_a_camera_without_subscribers_is_ok(bench, tiny_checkpoint, picture, camera_status):
    """While the node is inactive, and while no output has a subscriber, whatever happened before."""
    node = bench.node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    node.trigger_configure()
    bench.spin(node)
    bench.wait_for(lambda: camera_status().message == "inactive", "the diagnosis")
    assert camera_status().level == DiagnosticStatus.OK

    node.trigger_activate()
    subscription = bench.client.create_subscription(Image, "panoptic/semantic", lambda _: None, 10)
    bench.send(bench.camera(), picture, stamp_ns=1, encoding="h264")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis of the failure")
    bench.client.destroy_subscription(subscription)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "the diagnosis of idleness")
    assert camera_status().message == "idle: no output has a subscriber"
    assert "h264" in values_of(camera_status())["last_error"]
    bench.subscribe("panoptic/semantic")
    bench.wait_for(lambda: camera_status().message == "subscribed", "the diagnosis of a new beginning")
    assert camera_status().level == DiagnosticStatus.OK


def test_an_error_between_two_statuses_is_reported(bench, tiny_checkpoint, picture, camera_status):
    """A camera of which every second frame fails is not OK, even if the last frame was answered."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    received = bench.subscribe("/diagnostics", DiagnosticArray)
    bench.wait_for(lambda: camera_status().message == "subscribed", "the first diagnosis")
    camera = bench.camera()
    for number, encoding in enumerate(("h264", "rgb8"), start=1):
        bench.send(camera, picture, stamp_ns=now_ns(bench), encoding=encoding)
        bench.wait_for(lambda n=number: node.counts[""].answered + node.counts[""].failed == n, "the frame")
    bench.wait_for(lambda: "h264" in " ".join(array.status[1].message for array in received), "the diagnosis")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "the diagnosis after it")
    assert "h264" in values_of(camera_status())["last_error"]


def test_dropped_frames(bench, tiny_checkpoint, picture, camera_status, gate_of):
    """Frames beyond max_rate_hz cause no warning; frames that are dropped without a limit do."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint), max_rate_hz=0.01, warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "the first diagnosis")
    camera = bench.camera()

    def send_20() -> None:
        for _ in range(20):
            number = node.counts[""].received
            bench.send(camera, picture, stamp_ns=now_ns(bench))
            bench.wait_for(lambda n=number: node.counts[""].received == n + 1, "the frame")

    send_20()
    bench.wait_for(lambda: values_of(camera_status())["dropped_over_max_rate"] == "19", "the diagnosis")
    assert camera_status().level == DiagnosticStatus.OK
    assert values_of(camera_status())["dropped"] == "19"
    assert float(values_of(camera_status())["received_hz"]) > float(values_of(camera_status())["answered_hz"]) > 0

    node.set_parameters([Parameter("max_rate_hz", value=0.0)])
    gate = gate_of(node)
    bench.send(camera, picture, stamp_ns=now_ns(bench))
    bench.wait_for(lambda: gate.batches, "the inference to begin")
    for _ in range(20):
        node.cameras[0].mailbox.put(serialize_message(Image()))
    gate.permits.release(2)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis of the empty frame")
    bench.send(camera, picture, stamp_ns=now_ns(bench))
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "the warning")
    assert camera_status().message == "83% of the frames were dropped; more than 50%"
    node.set_parameters([Parameter("warn_dropped_share", value=0.9)])
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "no more warning")


def test_latency(bench, tiny_checkpoint, picture, camera_status):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    bench.send(bench.camera(), picture, stamp_ns=now_ns(bench) - 5 * 10**9)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "the warning")
    assert (
        camera_status().message
        == "100% of the last results were published more than 1000 ms after the stamp of their frame"
    )
    assert 5000 <= float(values_of(camera_status())["pipeline_latency_ms_p95"]) < 60000
    node.set_parameters([Parameter("warn_latency_ms", value=100000)])
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.OK, "no more warning")


def test_one_late_answer_in_20_is_no_warning(bench, tiny_checkpoint, camera_status):
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    bench.wait_for(lambda: camera_status().message == "subscribed", "the first diagnosis")
    mailbox = node.cameras[0].mailbox
    for timing in [Timing(1.0, 100.0)] * 19 + [Timing(1.0, 1900.0)]:
        mailbox.count_answered(timing)
    bench.wait_for(lambda: values_of(camera_status())["pipeline_latency_ms_p50"] == "100.0", "the diagnosis")
    assert camera_status().level == DiagnosticStatus.OK
    assert values_of(camera_status())["pipeline_latency_ms_p95"] == "100.0"
    mailbox.count_answered(Timing(1.0, 1900.0))
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "the warning")
    assert camera_status().message.startswith("10% of the last results")


def test_stamps_ahead_of_the_clock(bench, tiny_checkpoint, picture, camera_status):
    bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    bench.send(bench.camera(), picture, stamp_ns=now_ns(bench) + 3600 * 10**9)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "the warning")
    assert camera_status().message.startswith("the stamps of the camera are ahead of the clock of this node")


@pytest.mark.parametrize(
    ("stamp", "words"),
    [((0, 0), "the stamps of the camera are zero"), ((-5, 0), "the stamps of the camera are not valid times")],
    ids=["zero", "negative"],
)
def test_stamps_that_are_not_set_or_invalid(bench, tiny_checkpoint, picture, camera_status, stamp, words):
    """Such a camera is not reported as late."""
    bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0)
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    bench.wait_for(camera.get_subscription_count, "a subscription to the camera")
    message = image_message(picture, "rgb8", Header())
    message.header.stamp.sec, message.header.stamp.nanosec = stamp
    camera.publish(message)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.WARN, "the warning")
    assert camera_status().message.startswith(words)
    assert "more than 1000 ms" not in camera_status().message
    assert values_of(camera_status())["pipeline_latency_ms_p50"] == ""
    assert float(values_of(camera_status())["processing_time_ms_p50"]) > 0


def test_texts_of_any_length_are_shortened(bench, tiny_checkpoint, picture, camera_status, capfd):
    """An encoding, and paths, of a million characters appear neither in diagnostics nor in the log."""
    received = bench.subscribe("/diagnostics", DiagnosticArray)
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0, allowed_paths=["/"])
    bench.subscribe("panoptic/semantic")
    camera = bench.camera()
    while not node.counts[""].failed:  # a message of this size may be lost
        bench.send(camera, picture, stamp_ns=now_ns(bench), encoding="x" * 10**6)
        time.sleep(0.2)
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis")
    assert camera_status().message.startswith("ImageEncodingError: The encoding is 'xxx")
    node.trigger_deactivate()
    node.trigger_cleanup()
    for name in ("checkpoint", "config"):
        node.set_parameters([Parameter("checkpoint", value=str(tiny_checkpoint)), Parameter(name, value="y" * 10**6)])
        assert not node.start()
        number = len(received)
        bench.wait_for(lambda n=number: len(received) > n + 1, "the next diagnosis")
        assert received[-1].status[0].level == DiagnosticStatus.ERROR
        node.set_parameters([Parameter(name, value="z")])
    texts = [text for array in received for s in array.status for text in (s.message, *(v.value for v in s.values))]
    assert max(map(len, texts)) <= 1000
    [refused] = node.set_parameters([Parameter("precision", value="w" * 10**6)])
    assert not refused.successful
    assert len(refused.reason) < 200
    assert len(capfd.readouterr().err) < 20_000


def test_a_mismatch_is_described(bench, tiny_checkpoint, picture, camera_status, capfd):
    """The node requests reliability reliable, and the camera offers best effort."""
    overrides = {"qos_overrides./image_raw.subscription.reliability": "reliable"}
    bench.active_node(checkpoint=str(tiny_checkpoint), **overrides)
    bench.subscribe("panoptic/semantic")
    deaf = bench.camera(qos=BEST_EFFORT)
    bench.wait_for(lambda: "does not match" in camera_status().message, "the warning")
    assert camera_status().level == DiagnosticStatus.WARN
    expected = (
        "quality of service of /image_raw does not match: /client offers reliability best_effort, durability volatile; "
        "this node requests reliability reliable, durability volatile. "
        "Change the publisher, or this node's parameters qos_overrides./image_raw.subscription"
    )
    assert camera_status().message.startswith(expected)
    assert "No images from a publisher" in capfd.readouterr().err
    bench.client.destroy_publisher(deaf)
    bench.wait_for(lambda: "does not match" not in camera_status().message, "the warning to go with the camera")


def test_a_subscription_that_cannot_be_created(bench, tiny_checkpoint, camera_status):
    """After an output got its first subscriber, the node continues and reports the reason."""
    overrides = {"qos_overrides./image_raw.subscription.reliability": "sometimes"}
    node = bench.active_node(checkpoint=str(tiny_checkpoint), **overrides)
    bench.subscribe("panoptic/semantic")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis")
    assert "sometimes" in camera_status().message
    assert node.state == "active"


def test_a_subscription_to_the_camera_info_that_cannot_be_created(bench, tiny_checkpoint, picture, camera_status):
    """The images are answered, and the reason is reported."""
    overrides = {"qos_overrides./camera_info.subscription.reliability": "sometimes"}
    node = bench.active_node(checkpoint=str(tiny_checkpoint), warn_input_stopped_s=0, **overrides)
    bench.subscribe("panoptic/semantic")
    bench.subscribe("panoptic/camera_info", CameraInfo)
    bench.send(bench.camera(), picture, stamp_ns=now_ns(bench))
    bench.wait_for(lambda: node.counts[""].answered == 1, "the answer")
    bench.wait_for(lambda: camera_status().level == DiagnosticStatus.ERROR, "the diagnosis")
    assert camera_status().message.startswith("Cannot subscribe to the camera: ")


def test_device_and_memory_are_reported(bench, tiny_checkpoint):
    received = bench.subscribe("/diagnostics", DiagnosticArray)
    bench.active_node(checkpoint=str(tiny_checkpoint), device="cpu")
    bench.wait_for(lambda: received and "device" in values_of(received[-1].status[0]), "the diagnosis")
    values = values_of(received[-1].status[0])
    assert (values["device"], values["precision"], values["state"]) == ("cpu", "float32", "active")
    assert int(values["memory_mb"]) > 50
    assert "gpu_memory_mb" not in values


def test_the_conversion_of_the_network_is_reported(bench, tiny_checkpoint, tmp_path, monkeypatch):
    """While the node is being configured, when its executor cannot publish the diagnostics."""
    monkeypatch.setenv("OPENDR_PANOPTIC_HOME", str(tmp_path))
    received = bench.subscribe("/diagnostics", DiagnosticArray)
    node = bench.node(checkpoint=str(tiny_checkpoint), device="cpu", backend="ncnn")
    bench.spin(node)
    bench.wait_for(lambda: received, "the diagnosis")
    assert node.start()

    def values() -> list[dict[str, str]]:
        return [values_of(array.status[0]) for array in received]

    bench.wait_for(lambda: values()[-1].get("backend") == "ncnn", "the network")
    during = [each["conversion"] for each in values() if "conversion" in each]
    assert during == ["Building the network for ncnn, float32."]
    assert "conversion" not in values()[-1]


@pytest.mark.gpu
def test_gpu_memory(bench, tiny_checkpoint):
    received = bench.subscribe("/diagnostics", DiagnosticArray)
    bench.active_node(checkpoint=str(tiny_checkpoint), device="cuda")
    bench.wait_for(lambda: received and "device" in values_of(received[-1].status[0]), "the diagnosis")
    values = values_of(received[-1].status[0])
    assert 0 < int(values["gpu_memory_mb"]) <= int(values["gpu_memory_peak_mb"])
