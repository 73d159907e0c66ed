# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The executable `panoptic_node`: signals, and what to do without ROS. `run.py` does the rest."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

_INSTALL = """panoptic_node cannot start: {missing!r} is missing.
With ROS 2 installed: source /opt/ros/$ROS_DISTRO/setup.bash; a virtual environment needs --system-site-packages.
Without: pip install 'opendr_panoptic_ros[ros]'."""


class StopSignals:
    """SIGINT and SIGTERM. More than one, as launch sends, do not disturb the end.

    arrived: whether there was one. raises: whether it raises KeyboardInterrupt; else somebody looks at `arrived`.
    """

    def __init__(self) -> None:
        self.arrived = False
        self.raises = True
        self._set_handlers(self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self.arrived:
            self.arrived = True
            if self.raises:
                raise KeyboardInterrupt

    def ignore_more(self) -> None:
        """Nothing ends the process any more but its own end.

        A handler that does nothing would not do: the interpreter takes handlers off at its end, and the next signal
        would kill.
        """
        self._set_handlers(signal.SIG_IGN)

    @staticmethod
    def _set_handlers(handler: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM. 0, or 1 when it cannot start; standard error then says why.

    args: ROS arguments; by default those of the command line.
    """
    stop = StopSignals()
    try:
        try:
            from opendr_panoptic_ros.ros.run import run  # takes seconds, in which a signal may come
        except ModuleNotFoundError as error:
            print(_INSTALL.format(missing=error.name), file=sys.stderr)
            return 1
        return run(args, stop)
    except KeyboardInterrupt:
        return 0
    finally:
        stop.ignore_more()
