# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Parameters that are changed while the node runs take effect with the next frame."""

from __future__ import annotations

import re
import sys
import threading
from typing import Any

import numpy as np
import pytest

from opendr_panoptic_ros.inference import PanopticSegmenter

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from opendr_panoptic_ros.msg import PanopticSegmentation  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMessage  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from opendr_panoptic_ros.ros.mailbox import FrameCounts  # noqa: E402


@pytest.fixture
def set_parameter(bench):
    """Return a function that sets a parameter over the service and returns the reason of a refusal, if any."""
    client = bench.client.create_client(SetParameters, "panoptic_segmentation/set_parameters")

    def ask(name: str, value: Any) -> str:
        assert client.wait_for_service(timeout_sec=60)
        message: ParameterMessage = Parameter(name, value=value).to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[message]))
        bench.wait_for(future.done, "the parameter")
        [result] = future.result().results
        assert result.successful == (not result.reason)
        return str(result.reason)

    return ask


@pytest.fixture
def answer(bench, picture):
    """Return a function that sends a frame and returns its PanopticSegmentation."""
    received = bench.subscribe("panoptic/segmentation", PanopticSegmentation)
    camera = bench.camera()

    def ask() -> Any:
        number = len(received) + 1
        bench.send(camera, picture, stamp_ns=number)
        bench.wait_for(lambda: len(received) == number, "the answer")
        return received[-1]

    return ask


def segment_map(message):
    return np.frombuffer(message.segment_map.data, np.int32).reshape(message.segment_map.height, -1)


def test_thresholds(bench, tiny_checkpoint, picture, set_parameter, answer):
    bench.active_node(checkpoint=str(tiny_checkpoint))
    scores = sorted(info.score for info in answer().segments if info.is_thing)
    assert len(scores) > 1
    between = (scores[0] + scores[-1]) / 2
    settings: list[tuple[str, Any]] = [
        ("score_threshold", float(between)),
        ("min_stuff_area", 100000),
        ("overlap_threshold", 0.0),
    ]
    chosen: dict[str, Any] = {}
    for name, value in settings:
        assert set_parameter(name, value) == ""
        chosen[name] = value
        expected = PanopticSegmenter(tiny_checkpoint, backend="auto", **chosen)(picture)
        assert np.array_equal(segment_map(answer()), expected.segment_map)
    assert not any(not info.is_thing for info in answer().segments)
    for name, _ in settings:
        assert set_parameter(name, -1) == ""
    expected = PanopticSegmenter(tiny_checkpoint, backend="auto")(picture)
    assert np.array_equal(segment_map(answer()), expected.segment_map)
    assert set_parameter("score_threshold", 1.5) == (
        "score_threshold is 1.5; expected 0 to 1, or -1 for the value of the configuration."
    )


def test_class_filter(bench, tiny_checkpoint, picture, set_parameter, answer):
    bench.active_node(checkpoint=str(tiny_checkpoint))
    before = answer()
    kept = next(info for info in before.segments if info.is_thing).label
    assert {info.label for info in before.segments} > {kept}
    assert set_parameter("classes", [kept]) == ""
    after = answer()
    assert {info.label for info in after.segments} == {kept}
    ids = [info.id for info in before.segments if info.label == kept]
    old = segment_map(before)
    assert np.array_equal(segment_map(after), np.where(np.isin(old, ids), old, 0))
    reason = set_parameter("classes", ["road", "unicorn"])
    assert reason.startswith("classes has 'unicorn'; expected some of road, sidewalk, ")
    for everything in ([""], []):
        assert set_parameter("classes", everything) == ""
        assert np.array_equal(segment_map(answer()), old)


def test_a_class_the_network_does_not_have_is_refused_at_configure(bench, tiny_checkpoint):
    node = bench.node(checkpoint=str(tiny_checkpoint), classes=["unicorn"])
    assert not node.start()
    assert node.last_error.startswith("ConfigError: classes has 'unicorn'; expected some of road")
    node.destroy_node()


def test_max_rate(bench, tiny_checkpoint, picture, set_parameter, answer):
    """With a limit of one frame in 100 s, only the first frame is answered; the others are dropped and counted."""
    node = bench.active_node(checkpoint=str(tiny_checkpoint))
    answer()
    camera = bench.camera()
    assert set_parameter("max_rate_hz", 0.01) == ""
    for number in range(2, 7):
        bench.send(camera, picture, stamp_ns=number)
        bench.wait_for(lambda n=number: node.counts[""].received == n, "the frame")
    bench.wait_for(
        lambda: node.counts[""] == FrameCounts(received=6, answered=2, dropped=4, dropped_over_max_rate=4), "the counts"
    )
    assert set_parameter("max_rate_hz", 0.0) == ""
    bench.send(camera, picture, stamp_ns=7)
    bench.wait_for(lambda: node.counts[""].answered == 3, "a frame without limit")


def test_all_or_none(bench):
    """If one of several values set together is not legal, none is set."""
    node = bench.node()
    together = [Parameter("jpeg_quality", value=30), Parameter("visualization_opacity", value=2)]
    result = node.set_parameters_atomically(together)
    assert not result.successful
    assert result.reason.startswith("visualization_opacity is 2; expected 0 ")
    assert node.get_parameter("jpeg_quality").value == 80
    node.destroy_node()


def test_a_frame_sees_all_of_what_is_set_together(bench):
    node = bench.node()

    names = ("warn_latency_ms", "max_rate_hz", "min_stuff_area")  # against the order in which they are read

    def set_together(times: int) -> None:
        for number in range(times):
            node.set_parameters_atomically([Parameter(name, value=1 + number % 2) for name in names])

    set_together(1)
    thread = threading.Thread(target=set_together, args=(300,))
    seen = set()
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns within every few instructions
    try:
        thread.start()
        while thread.is_alive():
            settings = node.settings()
            seen.add((settings.warn_latency_ms, settings.max_rate_hz, settings.min_stuff_area))
    finally:
        sys.setswitchinterval(interval_s)
        thread.join()
        node.destroy_node()
    assert seen <= {(1, 1, 1), (2, 2, 2)}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_rate_hz", -1.0, "expected 0 or more"),
        ("max_rate_hz", -1, "expected 0 or more"),
        ("visualization_opacity", 1.5, r"Min: 0\.0, Max: 1\.0"),
        ("jpeg_quality", 101, "Min: 1, Max: 100"),
        ("visualization", "heatmap", "expected one of 'overlay', 'detailed'"),
        ("warn_dropped_share", 2, "expected 0 to 1"),
        ("max_batch", 0, "Min: 1, Max: 64"),
    ],
)
def test_a_refusal_says_the_legal_range(bench, name, value, words):
    node = bench.node()
    [result] = node.set_parameters([Parameter(name, value=value)])
    node.destroy_node()
    assert not result.successful
    assert name in result.reason
    assert re.search(words, result.reason)
