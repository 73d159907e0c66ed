# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Time stamps of messages, which any publisher can set to any value."""

from __future__ import annotations

from typing import Protocol


class Stamp(Protocol):
    """The fields of `builtin_interfaces/Time`."""

    sec: int
    nanosec: int


def stamp_ns(stamp: Stamp) -> int | None:
    """Convert a stamp to nanoseconds.

    Args:
        stamp: Stamp of a message.

    Returns:
        Nanoseconds since the origin of the clock, 0 or more; None if the stamp is not a valid time, that is if `sec`
        is negative or `nanosec` is 10⁹ or more. (`rclpy.time.Time.from_msg` raises for negative stamps.)
    """
    if stamp.sec < 0 or stamp.nanosec >= 10**9:
        return None
    return stamp.sec * 10**9 + stamp.nanosec
