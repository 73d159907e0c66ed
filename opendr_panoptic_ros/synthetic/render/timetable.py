# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""When the traffic of the main street moves and when it waits for the side street."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from opendr_panoptic_ros.synthetic.render.furniture import Signal

STOP_BEFORE_JUNCTION_M = 8.5
"""Distance from the waiting camera to the side street, metres."""

_SHORTEST_WITH_RED_S = 6.0
_LONGEST_RED_S = 7.0
_YELLOW_AND_ALL_RED_S = 3.0  # from the end of green to the start of `red_s`
_YELLOW_S = 1.5  # the light turns red this long before `red_s` starts
_BRAKING_S = 1.8
_ACCELERATION_S = 2.5
_STEP_S = 0.02


@dataclass(frozen=True)
class Timetable:
    """Progress of the traffic of the main street.

    Attributes:
        travelled_m: Distance the camera has travelled by time in seconds.
        red_s: Start and end of the red phase, in which the main street does not move; infinite if there is none.
        total_m: Distance travelled at the end.
    """

    travelled_m: Callable[[float], float]
    red_s: tuple[float, float]
    total_m: float

    @classmethod
    def plan(cls, duration_s: float, speed_m_s: float) -> Timetable:
        """Return a timetable with a red phase of up to 7 s around the middle, if the drive lasts 6 s or more.

        Args:
            duration_s: Duration of the drive in seconds.
            speed_m_s: Speed outside the red phase.
        """
        times = np.arange(0.0, duration_s + _STEP_S, _STEP_S)
        red, share = (np.inf, np.inf), np.ones_like(times)
        if duration_s >= _SHORTEST_WITH_RED_S:
            red = (0.34 * duration_s, 0.34 * duration_s + min(_LONGEST_RED_S, 0.4 * duration_s))
            share = np.maximum(
                np.clip((red[0] - times) / _BRAKING_S, 0, 1), np.clip((times - red[1]) / _ACCELERATION_S, 0, 1)
            )
        way = np.concatenate([[0.0], np.cumsum(speed_m_s * share)[:-1] * _STEP_S])
        return cls(lambda time_s: float(np.interp(time_s, times, way)), red, float(way[-1]))

    def signal(self, time_s: float) -> Signal:
        """Return the state of the traffic lights of the main street.

        Args:
            time_s: Time in seconds.
        """
        if not self.red_s[0] - _YELLOW_AND_ALL_RED_S < time_s < self.red_s[1]:
            return Signal.GREEN
        return Signal.YELLOW if time_s < self.red_s[0] - _YELLOW_S else Signal.RED

    @property
    def waits(self) -> bool:
        """Whether there is a red phase."""
        return bool(np.isfinite(self.red_s[0]))
