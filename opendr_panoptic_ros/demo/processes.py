# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Child processes that end together with the command that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from opendr_panoptic_ros.errors import PanopticError

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
_PATIENCE_S = {signal.SIGINT: 5.0, signal.SIGTERM: 3.0, signal.SIGKILL: 3.0}


class ChildProcesses:
    """Starts processes, each in a process group of its own; `close` ends all of them.

    On Linux they also get SIGTERM when this process is killed.

    Args:
        log_folder: Existing folder for the output of the processes.
    """

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process.

        Args:
            name: Name of the process; its output is written to `<name>.log` in the log folder.
            command: Program and arguments.
        """
        with (self._log_folder / f"{name}.log").open("wb") as log, _signals_deferred():
            self._processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads here yet
            )

    def is_running(self, name: str) -> bool:
        """Return whether a process is running.

        Args:
            name: Name of a process that was started.

        Returns:
            Whether it is running; False after it has ended with status 0.

        Raises:
            PanopticError: If it has ended with another status.
        """
        status = self._processes[name].poll()
        if status:
            raise PanopticError(f"The {name} has ended with status {status}. Its output:\n{self.last_lines(name)}")
        return status is None

    def check(self) -> None:
        """Raise PanopticError if a process has ended with another status than 0."""
        for name in self._processes:
            self.is_running(name)

    def last_lines(self, name: str) -> str:
        """Return the last 15 lines of the output of a process.

        Args:
            name: Name of a process that was started.

        Returns:
            The lines.
        """
        log = (self._log_folder / f"{name}.log").read_text("utf-8", "replace")
        return "\n".join(log.splitlines()[-15:])

    def close(self) -> None:
        """End all processes and their children: with SIGINT, then SIGTERM, then SIGKILL, within some seconds."""
        # A second Ctrl-C must not interrupt this, or processes would be left running.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        running = list(self._processes.values())
        try:
            for number, patience_s in _PATIENCE_S.items():
                for process in running:
                    if process.poll() is None:
                        os.killpg(process.pid, number)
                end = time.monotonic() + patience_s
                while any(process.poll() is None for process in running) and time.monotonic() < end:
                    time.sleep(0.02)
            self._processes.clear()
        finally:
            signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Handle SIGINT and SIGTERM at the end of the context.

    Python discards an exception that a handler raises while fork hooks run, and one raised between the fork and the
    assignment of its result would leave the process running.
    """
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda arrived_number, _frame: arrived.append(arrived_number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
