# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The short version of the attack by signals."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from support.waiting import PATIENCE_S

pytestmark = [pytest.mark.ros, pytest.mark.slow]
pytest.importorskip("rclpy")


@pytest.mark.timeout(900)
def test_signals_at_random_moments() -> None:
    spec = importlib.util.spec_from_file_location("attack_signals", Path(__file__).with_name("signals.py"))
    assert spec is not None
    assert spec.loader is not None
    signals = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = signals  # its dataclass looks itself up
    spec.loader.exec_module(signals)
    outcome = signals.attack(2, seed=27, limit_s=PATIENCE_S)
    assert not outcome.faults
    assert outcome.counts.total() == 2
