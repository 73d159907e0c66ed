# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The executable of the node as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT
from support.waiting import PATIENCE_S


class NodeProcess:
    """A process of the executable with the given parameters; its output is kept."""

    def __init__(self, log: Path, parameters: dict[str, object], **environment: str) -> None:
        self.log = log
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / "panoptic_node"), "--ros-args", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, **environment},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def is_loading_torch(self) -> bool:
        """Whether the process has mapped PyTorch's library, which happens long before the node is active."""
        return "libtorch_cpu" in Path(f"/proc/{self._process.pid}/maps").read_text()

    def send(self, signal_number: int) -> None:
        self._process.send_signal(signal_number)

    def stop(self, signal_number: int) -> int:
        """Send a signal and return the exit code."""
        self.send(signal_number)
        return self.exit_code()

    def exit_code(self) -> int:
        return self._process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        if self.is_running:
            self._process.kill()
            self._process.wait()
