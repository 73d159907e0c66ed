# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Measures what one input costs: processor time, and memory above what the process held before."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

MAX_MEMORY_MB = 200
"""Memory above idle that one input may take."""
MAX_SECONDS = 5.0
"""Processor time that one input may take on a busy machine; 1 s on an idle one is the aim."""


@dataclass(frozen=True)
class Cost:
    """What a call has cost.

    Attributes:
        seconds: Processor time of all threads.
        memory_mb: Peak of the resident memory above that before the call.
    """

    seconds: float
    memory_mb: float

    def check(self) -> None:
        """Raise AssertionError if the cost is above the limits."""
        assert self.memory_mb <= MAX_MEMORY_MB, f"{self.memory_mb:.0f} MB for one input"
        assert self.seconds <= MAX_SECONDS, f"{self.seconds:.1f} s of processor time for one input"


class Meter:
    """Measures a block: `with Meter() as meter: …`, then `meter.cost`."""

    cost: Cost

    def __enter__(self) -> Self:
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is the present memory
            self._before_kb = _status_kb("VmRSS")
        except OSError:  # not permitted: only what exceeds the peak of the whole process is seen
            self._before_kb = _status_kb("VmHWM")
        self._start_s = time.process_time()
        return self

    def __exit__(self, *_details: object) -> None:
        seconds = time.process_time() - self._start_s
        self.cost = Cost(seconds, max(0, _status_kb("VmHWM") - self._before_kb) / 1024)


def _status_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}.")
