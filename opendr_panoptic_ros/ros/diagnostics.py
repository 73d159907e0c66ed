"""The node's `/diagnostics`: one status for the node, one for each camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

    from opendr_panoptic_ros.ros.camera import CameraStream, Timing


def diagnostics(
    stamp: Time, name: str, state: str, last_error: str, values: dict[str, Any], cameras: Iterable[CameraStream]
) -> DiagnosticArray:
    """The message for one moment. A status is ERROR while its `last_error` stands, else OK.

    name: of the node. state: of its life cycle. values: what else is to be said of the node.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [_status(name, state, last_error, {"state": state, **values})]
    for camera in cameras:
        doing = "subscribed" if camera.is_subscribed else "nobody listens to the outputs"
        measured = {**asdict(camera.counts), **_percentiles(list(camera.timings))}
        array.status.append(_status(f"{name}: {camera.topic}", doing, camera.last_error, measured))
    return array


def _status(name: str, message: str, last_error: str, values: dict[str, Any]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=DiagnosticStatus.ERROR if last_error else DiagnosticStatus.OK,
        name=name,
        message=last_error or message,
        hardware_id=name,
        values=[KeyValue(key=key, value=str(value)) for key, value in {**values, "last_error": last_error}.items()],
    )


def _percentiles(timings: Sequence[Timing]) -> dict[str, str]:
    """p50 and p95 of both times over the last answered frames; empty before the first."""
    values = {}
    for name in ("processing_time_ms", "pipeline_latency_ms"):
        for percent in (50, 95):
            times = [getattr(timing, name) for timing in timings]
            values[f"{name}_p{percent}"] = f"{np.percentile(times, percent):.1f}" if times else ""
    return values
