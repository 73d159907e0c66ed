# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Running segments of bags: the interface of engines, and processes of this machine as one of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.segments import BagPlan, Segment, SegmentReport, label_segment

if TYPE_CHECKING:
    from typing_extensions import Self


class SegmentExecutor(Protocol):
    """Runs `label_segment` elsewhere."""

    @property
    def workers(self) -> int:
        """Number of segments that run at once."""

    def submit(self, plan: BagPlan, segment: Segment, options: LabelOptions, piece: Path) -> Future[SegmentReport]:
        """Start a segment.

        Args:
            plan: The plan of the bag.
            segment: The segment.
            options: The options with which the plan was made.
            piece: Where the piece lies on this machine when the future is done.

        Returns:
            The report. Errors that may pass when the segment is tried again, such as the end of a worker, are those
            that are not a PanopticError.
        """

    def stop(self) -> None:
        """Make the segments in work end early. Their reports state where they have stopped."""


class ProcessExecutor:
    """Processes of this machine, as a context. Each has a network of its own.

    Args:
        workers: Number of processes. The threads of torch in this process are divided among them.

    Attributes:
        workers: As given.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._pool = self._new_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, plan: BagPlan, segment: Segment, options: LabelOptions, piece: Path) -> Future[SegmentReport]:
        """Start a segment, see `SegmentExecutor`. Processes that have ended are replaced.

        Args:
            plan: The plan of the bag.
            segment: The segment.
            options: The options with which the plan was made.
            piece: Where the piece lies when the future is done.

        Returns:
            The report.
        """
        try:
            return self._pool.submit(_label, plan, segment, options, piece)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(_label, plan, segment, options, piece)

    def stop(self) -> None:
        """Make the segments in work end early."""
        self._stop.set()

    def _new_pool(self) -> ProcessPoolExecutor:
        threads = max(1, torch.get_num_threads() // self.workers)
        return ProcessPoolExecutor(self.workers, self._context, _begin, (self._stop, threads))


class _EventStop:
    """A request to stop that another process makes.

    Args:
        event: Set when the request is made.
    """

    def __init__(self, event: Event) -> None:
        self._event = event

    @property
    def came(self) -> bool:
        """Whether the request has been made."""
        return self._event.is_set()

    def hold(self) -> AbstractContextManager[None]:
        """Return a context without effect."""
        return nullcontext()


_stop: _EventStop | None = None


def _begin(event: Event, threads: int) -> None:
    """Prepare a worker. Ctrl-C and the end of the terminal reach it, too, but the parent decides what ends."""
    global _stop  # noqa: PLW0603 - the state of a worker process
    _stop = _EventStop(event)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this process when its parent is killed: it would wait for work without end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _label(plan: BagPlan, segment: Segment, options: LabelOptions, piece: Path) -> SegmentReport:
    return label_segment(plan, segment, options, piece, stop=_stop)
