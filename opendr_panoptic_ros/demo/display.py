# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Progress of the demo: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 5.0


class Display:
    """Shows the stages of the demo until it is closed.

    Args:
        console: Where to print.
    """

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
        """Remove the bar."""
        self._progress.stop()

    def print(self, text: str) -> None:
        """Print a line that stays.

        Args:
            text: The line.
        """
        self._console.print(text, soft_wrap=True, highlight=False)

    def stage(self, text: str, *, total: int | None = None) -> None:
        """Start the next stage.

        Args:
            text: Description of the stage.
            total: Number of its steps, or None if it is unknown.
        """
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=total)
        self._stage = text
        self._line_due = time.monotonic() + _LINE_EVERY_S
        if not self._console.is_terminal:
            self.print(f"{text} …")

    def step(self, completed: int, note: str) -> None:
        """Update the progress of the stage.

        Args:
            completed: Number of completed steps.
            note: Description of the progress.
        """
        if self._task is not None:
            self._progress.update(self._task, completed=completed, description=f"{self._stage}: {note}")
        if not self._console.is_terminal and time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_EVERY_S
            self.print(f"  {note}")
