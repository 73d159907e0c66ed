"""Child processes that end with the command that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
_PATIENCE_S = {signal.SIGINT: 5.0, signal.SIGTERM: 3.0, signal.SIGKILL: 3.0}


class ChildProcesses:
    """Starts processes, each in a group of its own; `close` ends all of them.

    On Linux they are also told to end when this process is killed.
    """

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """The started process; what it prints goes into the file `log`."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the others in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )
        self._running.append(process)
        return process

    def close(self) -> None:
        """End all processes and what they started, politely first; takes at most some seconds."""
        # A second Ctrl-C must not interrupt this and leave somebody behind.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for number, patience_s in _PATIENCE_S.items():
                for process in self._running:
                    if process.poll() is None:
                        os.killpg(process.pid, number)
                end = time.monotonic() + patience_s
                while any(process.poll() is None for process in self._running) and time.monotonic() < end:
                    time.sleep(0.02)
            self._running.clear()
        finally:
            signal.signal(signal.SIGINT, previous)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
