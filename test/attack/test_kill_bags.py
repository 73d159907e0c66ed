# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The short version of the attack on runs over many bags."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_runs_leave_no_half_result() -> None:
    script = Path(__file__).with_name("kill_bags.py")
    command = [sys.executable, str(script), "--kills", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "'killed': 3" in done.stdout
