# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The short version of the attack on the checkpoint reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def test_damaged_and_made_up_checkpoints() -> None:
    spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz_checkpoints.py"))
    assert spec is not None
    assert spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    outcome = fuzz.attack(250)
    assert not outcome.faults
    assert outcome.counts["loaded"] > 0
    assert outcome.counts.total() == 250
    assert outcome.max_grown_mb < 200
