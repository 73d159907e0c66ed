# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node's `/diagnostics`: one status for the node, one for each camera."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from opendr_panoptic_ros.ros.camera import CameraStream, FrameCounts, Timing

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

    from opendr_panoptic_ros.ros.parameters import NodeParameters

WINDOW_S = 10.0
"""Rates and the share of dropped frames are those of this many seconds."""
_FEW_FRAMES = 5
_MANY_LATE = 0.05  # of the answers


class _Moment(NamedTuple):
    time_s: float
    counts: FrameCounts
    over_rate: int


class CameraDiagnosis:
    """What is said of one camera. It keeps the counts of the last seconds."""

    def __init__(self, stream: CameraStream) -> None:
        self._stream = stream
        self._moments: deque[_Moment] = deque()

    def status(self, node_name: str, settings: NodeParameters) -> DiagnosticStatus:
        """ERROR when frames fail or a topic cannot be heard, WARN when something else is not as it should be, else OK.

        They fail while the stream's `last_error` stands, or when one has failed since the status before this one.
        Nobody listening is no fault, and no frames then are none either; the last error then is only told as a value.
        """
        stream, now_s = self._stream, time.monotonic()
        self._moments.append(_Moment(now_s, stream.counts, stream.over_rate))
        while now_s - self._moments[0].time_s > WINDOW_S:
            self._moments.popleft()
        first, last = self._moments[0], self._moments[-1]
        failed_before = self._moments[-2].counts.failed if len(self._moments) > 1 else 0
        span_s = last.time_s - first.time_s
        received = last.counts.received - first.counts.received
        answered = last.counts.answered - first.counts.answered
        over_rate = last.over_rate - first.over_rate
        within_rate = received - over_rate
        dropped = last.counts.dropped - first.counts.dropped - over_rate
        dropped_share = dropped / within_rate if within_rate >= _FEW_FRAMES else 0.0
        values = {
            **asdict(last.counts),
            "dropped_over_max_rate": last.over_rate,
            "received_hz": f"{received / span_s:.1f}" if span_s else "",
            "answered_hz": f"{answered / span_s:.1f}" if span_s else "",
            "dropped_share": f"{dropped_share:.2f}",
            **_percentiles(list(stream.timings)),
            "last_error": stream.subscription_error or stream.last_error or stream.last_failure,
        }
        is_wanted = stream.is_active and (stream.is_subscribed or bool(stream.wanted_outputs()))
        idle = "idle: nobody listens to the outputs" if stream.is_active else "inactive"
        doing = "subscribed" if is_wanted else idle
        warnings = self._warnings(settings, now_s, dropped_share) if stream.is_subscribed else []
        is_failing = stream.subscription_error or stream.last_error or last.counts.failed > failed_before
        has_error = is_wanted and is_failing
        error = values["last_error"] if has_error else ""
        return _status(f"{node_name}: {stream.topic}", node_name, doing, warnings, error, values)

    def _warnings(self, settings: NodeParameters, now_s: float, dropped_share: float) -> list[str]:
        stream = self._stream
        mismatch = stream.qos_mismatch()
        warnings = [mismatch] if mismatch else []
        waiting_s = now_s - stream.waiting_since_s
        if 0 < settings.warn_input_stopped_s < waiting_s:
            cause = "nobody publishes it"
            if stream.count_publishers():
                cause = "if its publisher sends, the images may be too large for DDS: see docs/operate.md"
            warnings.append(f"input stopped: nothing on {stream.topic} for {waiting_s:.0f} s; {cause}")
        if dropped_share > settings.warn_dropped_share:
            warnings.append(
                f"{dropped_share:.0%} of the frames were dropped; more than {settings.warn_dropped_share:.0%}"
            )
        latencies_ms = np.array([timing.pipeline_latency_ms for timing in list(stream.timings)])
        late_share = np.mean(latencies_ms > settings.warn_latency_ms) if len(latencies_ms) else 0.0
        if settings.warn_latency_ms and late_share > _MANY_LATE:
            limit = f"{settings.warn_latency_ms:.0f} ms"
            warnings.append(f"{late_share:.0%} of the last answers came more than {limit} after their frame's stamp")
        if len(latencies_ms) and np.median(latencies_ms) < 0:
            warnings.append("the camera's stamps are ahead of this node's clock; see use_sim_time, or the clocks")
        return warnings


def diagnostics(
    stamp: Time,
    name: str,
    state: str,
    last_error: str,
    values: dict[str, Any],
    settings: NodeParameters,
    cameras: Sequence[CameraDiagnosis],
) -> DiagnosticArray:
    """The message for one moment. The node's status is ERROR while its `last_error` stands.

    name: of the node. state: of its life cycle. values: what else is to be said of the node.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp
    node_status = _status(name, name, state, [], last_error, {"state": state, **values, "last_error": last_error})
    array.status = [node_status, *(camera.status(name, settings) for camera in cameras)]
    return array


def memory_mb(device: torch.device | None) -> dict[str, str]:
    """The memory of this process, and what torch holds of the GPU if `device` is one, each where it can be told."""
    values = {}
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        values["memory_mb"] = str(int(statm.read_text("ascii").split()[1]) * resource.getpagesize() // 2**20)
    if device is not None and device.type == "cuda":
        values["gpu_memory_mb"] = str(torch.cuda.memory_reserved(device) // 2**20)
        values["gpu_memory_peak_mb"] = str(torch.cuda.max_memory_reserved(device) // 2**20)
    return values


def _status(
    name: str, hardware_id: str, message: str, warnings: list[str], last_error: str, values: dict[str, Any]
) -> DiagnosticStatus:
    level = DiagnosticStatus.ERROR if last_error else DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK
    return DiagnosticStatus(
        level=level,
        name=name,
        message="; ".join(filter(None, [last_error, *warnings])) or message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def _percentiles(timings: Sequence[Timing]) -> dict[str, str]:
    """p50 and p95 of both times over the last answered frames, each the time of a frame; empty before the first."""
    values = {}
    for name in ("processing_time_ms", "pipeline_latency_ms"):
        times_ms = [getattr(timing, name) for timing in timings]
        for percent in (50, 95):
            found = f"{np.percentile(times_ms, percent, method='inverted_cdf'):.1f}" if timings else ""
            values[f"{name}_p{percent}"] = found
    return values
