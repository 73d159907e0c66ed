# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""RateLimit: limits the mean rate of frames."""

from __future__ import annotations

_EARLY = 0.25
"""Share of a period by which a frame may be early, as frames of a camera just below the limit occasionally are."""


class RateLimit:
    """Limits the mean rate of frames, which need not arrive evenly."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def admits(self, now_s: float, max_rate_hz: float) -> bool:
        """Decide whether a frame that arrives now is admitted.

        Args:
            now_s: Present time in seconds, of a monotonic clock.
            max_rate_hz: Limit in frames per second; 0 means no limit. It may change from call to call.

        Returns:
            Whether the frame is admitted.
        """
        if not max_rate_hz:
            return True
        period_s = 1 / max_rate_hz
        # Cap the due time, so that a lower previous rate does not delay frames after the rate is raised.
        self._due_s = min(self._due_s, now_s + (1 + _EARLY) * period_s)
        if now_s < self._due_s - _EARLY * period_s:
            return False
        late_s = now_s - self._due_s
        self._due_s = (self._due_s if late_s < period_s else now_s) + period_s
        return True
