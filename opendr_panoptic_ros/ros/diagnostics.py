# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node's `/diagnostics`: one status of the node, and one of each camera."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from opendr_panoptic_ros.pipeline import BatchLimit
from opendr_panoptic_ros.ros.camera import Camera
from opendr_panoptic_ros.ros.errors import shorten
from opendr_panoptic_ros.ros.mailbox import FrameCounts, Timing

if TYPE_CHECKING:
    from opendr_panoptic_ros.ros.parameters import NodeParameters

WINDOW_S = 10.0
"""Length of the window over which rates and the share of dropped frames are computed."""
_FEW_FRAMES = 5
_MANY = 0.05  # share of the last results that makes a warning


class _Sample(NamedTuple):
    time_s: float
    counts: FrameCounts


class CameraDiagnostics:
    """The status of one camera. `status` must be called about once a second.

    Args:
        camera: The camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._samples: deque[_Sample] = deque()

    def status(self, node_name: str, settings: NodeParameters) -> DiagnosticStatus:
        """Return the present status.

        ERROR: the last frame failed, a frame has failed since the previous status, or the subscription failed. WARN:
        see `_warnings`. A camera is idle while no output has a subscriber; it then is OK, and its last error is
        reported as a value only.

        Args:
            node_name: Name of the node.
            settings: Parameters of the node.

        Returns:
            The status.
        """
        camera = self._camera
        timings = camera.mailbox.timings
        failed_before = self._samples[-1].counts.failed if self._samples else 0
        counts = self._sample()
        rates = self._rates()
        last_error = camera.subscription_error or camera.mailbox.last_error
        is_failing = bool(camera.subscription_error) or camera.mailbox.is_failing or counts.failed > failed_before
        is_needed = camera.is_active and (camera.is_subscribed or bool(camera.subscribed_topics()))
        idle = "idle: no output has a subscriber" if camera.is_active else "inactive"
        dropped_share = self._dropped_share()
        values = {
            **asdict(counts),
            **rates,
            "dropped_share": f"{dropped_share:.2f}",
            **_percentiles(timings),
            "camera_infos_skipped": camera.infos.skipped,
            "last_error": last_error,
        }
        warnings = self._warnings(settings, timings, dropped_share) if camera.is_subscribed else []
        return make_status(
            f"{node_name}: {camera.topic}",
            node_name,
            "subscribed" if is_needed else idle,
            warnings,
            last_error if is_needed and is_failing else "",
            values,
        )

    def _sample(self) -> FrameCounts:
        """Store the present counts, and remove those that are older than the window."""
        self._samples.append(_Sample(time.monotonic(), self._camera.mailbox.counts))
        while self._samples[-1].time_s - self._samples[0].time_s > WINDOW_S:
            self._samples.popleft()
        return self._samples[-1].counts

    def _rates(self) -> dict[str, str]:
        """Return the rates within the window; empty texts before the second sample."""
        first, last = self._samples[0], self._samples[-1]
        span_s = last.time_s - first.time_s
        received = last.counts.received - first.counts.received
        answered = last.counts.answered - first.counts.answered
        return {
            "received_hz": f"{received / span_s:.1f}" if span_s else "",
            "answered_hz": f"{answered / span_s:.1f}" if span_s else "",
        }

    def _dropped_share(self) -> float:
        """Return the share of dropped frames within the window, apart from those that exceeded the rate limit."""
        first, last = self._samples[0].counts, self._samples[-1].counts
        over_rate = last.dropped_over_max_rate - first.dropped_over_max_rate
        within_rate = last.received - first.received - over_rate
        dropped = last.dropped - first.dropped - over_rate
        return dropped / within_rate if within_rate >= _FEW_FRAMES else 0.0

    def _warnings(self, settings: NodeParameters, timings: Sequence[Timing], dropped_share: float) -> list[str]:
        """Describe what is wrong with the input: its quality of service, rate, drops, latency or stamps."""
        camera = self._camera
        mismatch = camera.qos_mismatch()
        warnings = [mismatch] if mismatch else []
        waiting_s = camera.mailbox.waiting_s
        if 0 < settings.warn_input_stopped_s < waiting_s:
            cause = "the topic has no publisher"
            if camera.count_publishers():
                cause = "if its publisher sends, the images may be too large for DDS: see docs/operate.md"
            warnings.append(f"input stopped: nothing on {camera.topic} for {waiting_s:.0f} s; {cause}")
        if dropped_share > settings.warn_dropped_share:
            warnings.append(
                f"{dropped_share:.0%} of the frames were dropped; more than {settings.warn_dropped_share:.0%}"
            )
        return warnings + _timing_warnings(timings, settings.warn_latency_ms)


def node_status(
    name: str, state: str, last_error: str, values: dict[str, Any], warnings: Sequence[str] = ()
) -> DiagnosticStatus:
    """Return the status of the node: ERROR if its last transition failed, WARN if there are warnings, else OK.

    Args:
        name: Name of the node.
        state: State of its lifecycle.
        last_error: Description of the error of the last transition, or an empty string.
        values: Additional values.
        warnings: Descriptions of what is wrong.

    Returns:
        The status.
    """
    return make_status(
        name, name, state, list(warnings), last_error, {"state": state, **values, "last_error": last_error}
    )


def memory_warnings(limit: BatchLimit) -> list[str]:
    """Describe the present consequence of a lack of memory, if there is one.

    Args:
        limit: The limit of the node's batches.
    """
    degraded = f"degraded: memory ran out, and batches have at most {limit.current} instead of {limit.largest} frames"
    return [f"{degraded}; reduce max_batch or inference_size, or free memory"] if limit.is_reduced else []


def memory_mb(device: torch.device | None) -> dict[str, str]:
    """Return the memory of this process.

    Args:
        device: Device of the network, or None.

    Returns:
        `memory_mb`, where /proc is available, and `gpu_memory_mb` and `gpu_memory_peak_mb`, if `device` is a GPU, all
        in MiB.
    """
    values = {}
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        values["memory_mb"] = str(int(statm.read_text("ascii").split()[1]) * resource.getpagesize() // 2**20)
    if device is not None and device.type == "cuda":
        values["gpu_memory_mb"] = str(torch.cuda.memory_reserved(device) // 2**20)
        values["gpu_memory_peak_mb"] = str(torch.cuda.max_memory_reserved(device) // 2**20)
    return values


def make_status(
    name: str, hardware_id: str, message: str, warnings: list[str], last_error: str, values: dict[str, Any]
) -> DiagnosticStatus:
    """Return a status: ERROR if there is an error, WARN if there are warnings, else OK.

    Args:
        name: Name of the status.
        hardware_id: Name of the node.
        message: Message of a status that is OK.
        warnings: Descriptions of what is wrong.
        last_error: Description of the present error, or an empty string.
        values: Additional values.

    Returns:
        The status.
    """
    level = DiagnosticStatus.ERROR if last_error else DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK
    return DiagnosticStatus(
        level=level,
        name=name,
        message="; ".join(filter(None, [last_error, *warnings])) or message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=shorten(str(value))) for key, value in values.items()],
    )


def _latencies_ms(timings: Sequence[Timing]) -> list[float]:
    return [timing.pipeline_latency_ms for timing in timings if timing.pipeline_latency_ms is not None]


def _timing_warnings(timings: Sequence[Timing], warn_latency_ms: float) -> list[str]:
    warnings = []
    latencies_ms = np.array(_latencies_ms(timings))
    late_share = np.mean(latencies_ms > warn_latency_ms) if len(latencies_ms) else 0.0
    if warn_latency_ms and late_share > _MANY:
        warnings.append(
            f"{late_share:.0%} of the last results were published more than {warn_latency_ms:.0f} ms after the stamp "
            "of their frame"
        )
    if len(latencies_ms) and np.median(latencies_ms) < 0:
        warnings.append(
            "the stamps of the camera are ahead of the clock of this node; check use_sim_time and the clocks"
        )
    stamps = [timing.stamp for timing in timings]
    if stamps.count("zero") > _MANY * len(stamps):
        warnings.append("the stamps of the camera are zero, its driver does not set them; the latency is unknown")
    if stamps.count("invalid") > _MANY * len(stamps):
        warnings.append("the stamps of the camera are not valid times; the latency is unknown")
    return warnings


def _percentiles(timings: Sequence[Timing]) -> dict[str, str]:
    """Return p50 and p95 of both times over the last answered frames; empty texts where there are no times."""
    times_ms = {
        "processing_time_ms": [timing.processing_time_ms for timing in timings],
        "pipeline_latency_ms": _latencies_ms(timings),
    }
    values = {}
    for name, numbers in times_ms.items():
        for percent in (50, 95):
            found = f"{np.percentile(numbers, percent, method='inverted_cdf'):.1f}" if numbers else ""
            values[f"{name}_p{percent}"] = found
    return values
