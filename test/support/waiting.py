# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Waiting for an event of another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120.0
"""Limit for an event that must happen, on a machine that is busy; a test that passes does not reach it."""


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Return once the condition holds; fail the test, with the name of the event, when it does not within the limit."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        time.sleep(0.005)
