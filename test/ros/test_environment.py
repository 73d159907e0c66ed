# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Environments in which ROS cannot start: every command ends at once, with one line that names what to set."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from support.bags import drive
from support.paths import ROOT

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")

NO_LOGS = "failed to initialize logging: .* ROS needs a folder for its logs .*: set HOME, or ROS_LOG_DIR"
ENVIRONMENTS: dict[str, tuple[dict[str, str | None], str]] = {
    "no HOME": ({"HOME": None}, NO_LOGS),
    "read-only HOME": ({"HOME": "/proc"}, NO_LOGS),
    "read-only ROS_LOG_DIR": ({"ROS_LOG_DIR": "/proc/logs"}, NO_LOGS),
    "a word": ({"ROS_DOMAIN_ID": "abc"}, "ROS_DOMAIN_ID is 'abc'; expected a whole number from 0 to 232"),
    "too large": ({"ROS_DOMAIN_ID": "233"}, "ROS_DOMAIN_ID is '233'; expected a whole number from 0 to 232"),
    "negative": ({"ROS_DOMAIN_ID": "-1"}, "ROS_DOMAIN_ID is '-1'; expected a whole number from 0 to 232"),
}
COMMANDS = {
    "panoptic_node": ["panoptic_node"],
    "demo_camera": ["demo_camera"],
    "play": ["opendr-panoptic", "play", "BAG", "--wait", "0"],
    "demo": ["opendr-panoptic", "demo", "--frames", "1", "--out", "out"],
}


# The demo chooses a domain of its own.
CASES = [(c, n) for c in COMMANDS for n in ENVIRONMENTS if not (c == "demo" and "ROS_DOMAIN_ID" in ENVIRONMENTS[n][0])]


@pytest.mark.parametrize(("command", "name"), CASES)
def test_the_error_is_one_line(make_bag, tmp_path, command, name):
    variables, reason = ENVIRONMENTS[name]
    environment = {k: v for k, v in os.environ.items() if k not in {"ROS_HOME", "ROS_LOG_DIR"}}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for variable, value in variables.items():
        environment.pop(variable, None)
        if value is not None:
            environment[variable] = value
    program, *arguments = COMMANDS[command]
    arguments = [str(make_bag(drive(1))) if argument == "BAG" else argument for argument in arguments]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / program), *arguments],
        check=False, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith(program), ended.stderr
    assert re.search(reason, ended.stderr), ended.stderr
