# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Run the command `opendr-panoptic` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from support.paths import ROOT


def start_command(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    """Start `opendr-panoptic` from the sources of this repository, with pipes for its output."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(ROOT / "scripts" / "opendr-panoptic"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run_command(*arguments: Any, timeout_s: float = 120) -> tuple[int, str, str]:
    """Run `opendr-panoptic` and return its exit status, standard output and standard error."""
    process = start_command(*arguments)
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err
