# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's progress: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 5.0


class Display:
    """Shows what the demo is doing, until `close`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._progress.start()
        self._task: TaskID | None = None
        self._stage = ""
        self._line_due = 0.0

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, soft_wrap=True, highlight=False)

    def stage(self, text: str, *, total: int | None = None) -> None:
        """Begin another stage; total: the number of its steps, if that is known."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=total)
        self._stage = text
        self._line_due = time.monotonic() + _LINE_EVERY_S
        if not self._console.is_terminal:
            self.say(f"{text} …")

    def step(self, completed: int, note: str) -> None:
        """Show how far the stage is."""
        if self._task is not None:
            self._progress.update(self._task, completed=completed, description=f"{self._stage}: {note}")
        if not self._console.is_terminal and time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_EVERY_S
            self.say(f"  {note}")
