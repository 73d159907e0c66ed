# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Every refusal of refusals.py: typed, cheap, and with a text that fits on a screen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from attack.bounds import Cost


def test_each_input_is_refused_within_the_limits():
    script = Path(__file__).with_name("refusals.py")
    ran = subprocess.run([sys.executable, script, "--json"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    refusals = json.loads(ran.stdout.splitlines()[-1])
    assert len(refusals) >= 30
    for refusal in refusals:
        assert refusal["text"], f"{refusal['name']} was not refused"
        assert len(refusal["text"]) < 1500, refusal["name"]
        assert "MIIEvQ" not in refusal["text"], "the content of a secret file"
        Cost(refusal["seconds"], refusal["mb"]).check()
