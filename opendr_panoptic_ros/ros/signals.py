# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""StopSignals: an orderly end of a process on SIGINT and SIGTERM."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class StopSignals:
    """Handles SIGINT and SIGTERM from its construction on. Signals after the first one, as launch sends, are ignored.

    Attributes:
        arrived: Whether a signal has arrived.
        raises: Whether the first signal raises KeyboardInterrupt. If not, `arrived` must be polled.
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
        """Ignore further signals until the process ends.

        The disposition is SIG_IGN, because Python restores its default handlers at shutdown and a late signal would
        then kill the process.
        """
        self._set_handlers(signal.SIG_IGN)

    @staticmethod
    def _set_handlers(handler: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)
