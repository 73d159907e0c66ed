# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The virtual environment that the launch files choose."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from opendr_panoptic_ros.ros.virtual_env import activation, find_virtual_env


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A colcon workspace with an environment."""
    venv.create(tmp_path / "ws" / ".venv", symlinks=True)
    (tmp_path / "ws" / "install" / "package").mkdir(parents=True)
    return tmp_path / "ws"


@pytest.mark.parametrize("prefix", ["install", "install/package"], ids=["merged", "isolated"])
def test_the_order_of_the_search(workspace, tmp_path, prefix):
    prefix = workspace / prefix
    venv.create(tmp_path / "given", symlinks=True)
    venv.create(tmp_path / "active", symlinks=True)
    active = {"VIRTUAL_ENV": str(tmp_path / "active")}
    assert find_virtual_env(str(tmp_path / "given"), prefix, active) == tmp_path / "given"
    assert find_virtual_env("", prefix, active) == tmp_path / "active"
    assert find_virtual_env("", prefix, {}) == workspace / ".venv"
    assert find_virtual_env("none", prefix, active) is None
    assert find_virtual_env("", tmp_path / "opt" / "ros", {}) is None


def test_an_environment_that_cannot_be_used(workspace, tmp_path):
    prefix = workspace / "install"
    with pytest.raises(ValueError, match="venv:=/no/such: it is not a virtual environment"):
        find_virtual_env("/no/such", prefix, {})
    configuration = workspace / ".venv" / "pyvenv.cfg"
    configuration.write_text("version = 3.1.4\n")
    with pytest.raises(ValueError, match=r"it is for Python 3\.1, and ROS runs on 3\.\d+; make it with the Python of"):
        find_virtual_env(str(workspace / ".venv"), prefix, {})
    assert find_virtual_env("", prefix, {}) is None
    configuration.write_text("")
    assert find_virtual_env("", prefix, {}) == workspace / ".venv"
    (workspace / ".venv" / "bin" / "python3").unlink()
    with pytest.raises(ValueError, match="it has no bin/python3"):
        find_virtual_env(str(workspace / ".venv"), prefix, {})


def test_a_script_runs_in_it(workspace):
    script = workspace / "script"
    script.write_text("#!/usr/bin/env python3\nimport sys\nprint(sys.prefix)\n")
    script.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin"} | activation(workspace / ".venv", {"PATH": "/usr/bin:/bin"})
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(workspace / ".venv")
    assert activation(Path("/v"), {}) == {"VIRTUAL_ENV": "/v", "PATH": os.path.join("/v", "bin")}  # noqa: PTH118
    assert sys.prefix != str(workspace / ".venv")
