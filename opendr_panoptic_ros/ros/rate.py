# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""RateLimit: how many frames a second are let through."""

from __future__ import annotations

_EARLY = 0.25
"""Of a period: how much too early a frame may come, as the frames of a camera just under the limit now and then do."""


class RateLimit:
    """Lets frames through at a mean rate; they need not come evenly."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def admits(self, now_s: float, max_rate_hz: float) -> bool:
        """Whether a frame that comes now is let through. now_s: of a clock that never goes back. 0 Hz: no limit."""
        if not max_rate_hz:
            return True
        period_s = 1 / max_rate_hz
        # Never further away than admitting a frame puts it: a lower rate of before must not hold up this one.
        self._due_s = min(self._due_s, now_s + (1 + _EARLY) * period_s)
        if now_s < self._due_s - _EARLY * period_s:
            return False
        late_s = now_s - self._due_s
        self._due_s = (self._due_s if late_s < period_s else now_s) + period_s
        return True
