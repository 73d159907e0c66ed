# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelling many bags, in this process or with an executor of segments. What is done is skipped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from opendr_panoptic_ros.bags.executors import SegmentExecutor
from opendr_panoptic_ros.bags.inputs import BagTask
from opendr_panoptic_ros.bags.labeller import NoStop, StopRequest
from opendr_panoptic_ros.bags.options import LabelOptions
from opendr_panoptic_ros.bags.outcomes import BagOutcome, Records, Status
from opendr_panoptic_ros.bags.plan import BagPlan, NoImagesError, Segment, plan_segments
from opendr_panoptic_ros.bags.segments import Joiner, LabelReport, SegmentReport, label_bag
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, PanopticError, reason

_PER_WORKER = 2  # segments in flight
_ATTEMPTS = 3  # of a segment whose worker ends or fails for a reason that may pass
_POLL_S = 0.5  # between two looks at whether a stop is requested


FleetProgress = Callable[[BagTask, float, int], None]
"""Called with a bag, the part of it that is done, 0 to 1, and the number of its frames that are segmented."""


def _no_progress(task: BagTask, fraction: float, frames: int) -> None:
    """Show nothing."""


def label_bags(
    tasks: Sequence[BagTask],
    options: LabelOptions,
    *,
    records: Records | None = None,
    executor: SegmentExecutor | None = None,
    stop: StopRequest | None = None,
    on_progress: FleetProgress = _no_progress,
    on_warning: Callable[[str], None] = lambda _line: None,
    on_outcome: Callable[[BagOutcome], None] = lambda _outcome: None,
) -> list[BagOutcome]:
    """Label bags. The failure of one bag does not stop the others.

    Args:
        tasks: The bags.
        options: The options, which are the same for all bags.
        records: Records of what is done. With them, bags that are done are skipped, and results get their name only if
            they are complete. Without, results that are not complete are kept.
        executor: Runs segments elsewhere; None labels in this process, one bag after the other.
        stop: A request to stop early; None for none.
        on_progress: Called after frames.
        on_warning: Called with a line for each thing that is suspicious about a bag.
        on_outcome: Called when a bag is done.

    Returns:
        The outcome of each bag, in the order of the tasks.

    Raises:
        CheckpointError: The checkpoint cannot be used.
    """
    outcomes: dict[BagTask, BagOutcome] = {}
    waiting: deque[BagTask] = deque(tasks)
    run = _Run(options, records, stop or NoStop(), on_progress, on_warning)

    def note(task: BagTask, outcome: BagOutcome) -> None:
        outcomes[task] = outcome
        on_outcome(outcome)

    if executor is None:
        while waiting:
            note(waiting[0], run.in_this_process(waiting[0]))
            waiting.popleft()
    else:
        run.with_executor(waiting, executor, note)
    return [outcomes[task] for task in tasks]


@dataclass(eq=False)
class _Bag:
    """A bag whose segments are in work.

    Attributes:
        task: The bag.
        plan: Its plan.
        joiner: Its result.
        waiting: Segments that have not been submitted.
        futures: Segment and report of those that have, in their order.
        attempts: Number of attempts by segment number.
        started_s: When its work began.
        is_over: Whether no further segment is to be joined.
        frames: Number of frames of joined segments.
        error: Why it ended early, unless a report states it.
    """

    task: BagTask
    plan: BagPlan
    joiner: Joiner
    waiting: deque[Segment]
    futures: deque[tuple[Segment, Future[SegmentReport]]] = field(default_factory=deque)
    attempts: dict[int, int] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)
    is_over: bool = False
    frames: int = 0
    error: Exception | None = None

    def piece(self, segment: Segment) -> Path:
        return self.joiner.partial / f"{segment.number:04}.piece"


class _Run:
    """One run of `label_bags`; the arguments are its."""

    def __init__(
        self,
        options: LabelOptions,
        records: Records | None,
        stop: StopRequest,
        on_progress: FleetProgress,
        on_warning: Callable[[str], None],
    ) -> None:
        self._options, self._records, self._stop = options, records, stop
        self._on_progress, self._on_warning = on_progress, on_warning

    def in_this_process(self, task: BagTask) -> BagOutcome:
        """Label a bag in this process."""
        started_s = time.monotonic()
        opened = self._open(task)
        if isinstance(opened, BagOutcome):
            return opened
        span_ns = opened.end_ns - opened.start_ns

        def show(time_ns: int, frames: int) -> None:
            self._on_progress(task, min(1.0, max(0.0, (time_ns - opened.start_ns) / span_ns)), frames)

        try:
            report = label_bag(
                opened, self._options, task.out, stop=self._stop, on_progress=show, record=self._record_of(task)
            )
        except CheckpointError:
            raise
        except (PanopticError, OSError) as error:
            return BagOutcome(task.source, _status_of(error, Status.RETRY), reason(error))
        return self._outcome(task, report, started_s)

    def with_executor(
        self, waiting: deque[BagTask], executor: SegmentExecutor, note: Callable[[BagTask, BagOutcome], None]
    ) -> None:
        """Label bags by segments. Bags are opened in their order, as soon as a worker has nothing else to do."""
        bags: list[_Bag] = []
        limit, is_stopping = _PER_WORKER * executor.workers, False
        while waiting or bags:
            if self._stop.came and not is_stopping:
                is_stopping = True
                executor.stop()
                for bag in bags:
                    bag.waiting.clear()
            self._fill(bags, waiting, executor, limit, note)
            self._wait(bags)
            for bag in list(bags):
                self._join(bag, executor)
                if not bag.futures and (bag.is_over or not bag.waiting):
                    bags.remove(bag)
                    note(bag.task, self._close(bag))

    def _open(self, task: BagTask) -> BagPlan | BagOutcome:
        """Return the plan of a bag, or its outcome if there is nothing to do."""
        if self._stop.came:
            return BagOutcome(task.source, Status.STOPPED)
        try:
            known = self._records.known(task) if self._records is not None else None
        except (PanopticError, OSError) as error:
            return BagOutcome(task.source, _status_of(error, Status.FAILED), reason(error))
        if known is not None:
            return known
        try:
            plan = plan_segments(task.source, self._options)
        except (PanopticError, OSError) as error:
            outcome = BagOutcome(task.source, _status_of(error, Status.FAILED), reason(error))
            if self._records is not None and outcome.status != Status.RETRY:
                self._records.note_failure(task, outcome)
            return outcome
        for warning in plan.warnings:
            self._on_warning(warning)
        return plan

    def _fill(
        self,
        bags: list[_Bag],
        waiting: deque[BagTask],
        executor: SegmentExecutor,
        limit: int,
        note: Callable[[BagTask, BagOutcome], None],
    ) -> None:
        """Submit segments until `limit` are in flight, or waiting until they are joined."""
        while sum(len(bag.futures) for bag in bags) < limit:
            bag = next((bag for bag in bags if bag.waiting and not bag.is_over), None)
            if bag is not None:
                segment = bag.waiting.popleft()
                bag.futures.append((segment, self._submit(bag, segment, executor)))
            elif waiting:
                task = waiting.popleft()
                opened = self._open(task)
                if isinstance(opened, BagOutcome):
                    note(task, opened)
                    continue
                try:
                    joiner = Joiner(opened, self._options, task.out)
                except PanopticError as error:
                    note(task, BagOutcome(task.source, Status.RETRY, reason(error)))
                    continue
                bags.append(_Bag(task, opened, joiner, deque(opened.segments)))
            else:
                return

    def _submit(self, bag: _Bag, segment: Segment, executor: SegmentExecutor) -> Future[SegmentReport]:
        bag.attempts[segment.number] = bag.attempts.get(segment.number, 0) + 1
        return executor.submit(bag.plan, segment, self._options, bag.piece(segment))

    @staticmethod
    def _wait(bags: Sequence[_Bag]) -> None:
        """Wait until the next segment of a bag can be joined, or for a moment."""
        heads = [bag.futures[0][1] for bag in bags if bag.futures]
        if heads:
            wait(heads, timeout=_POLL_S, return_when=FIRST_COMPLETED)

    def _join(self, bag: _Bag, executor: SegmentExecutor) -> None:
        """Join the segments of a bag that are done."""
        while bag.futures and bag.futures[0][1].done():
            segment, future = bag.futures[0]
            try:
                report = future.result()
            except CheckpointError:
                raise
            except Exception as error:  # noqa: BLE001 - the worker has ended, or an error of any kind in it
                if bag.attempts[segment.number] < _ATTEMPTS and not (bag.is_over or isinstance(error, PanopticError)):
                    bag.futures[0] = segment, self._submit(bag, segment, executor)
                    return
                bag.error = bag.error or error
                bag.is_over = True
                report = None
            bag.futures.popleft()
            if report is not None and not bag.is_over:
                bag.is_over = not bag.joiner.add(report, bag.piece(segment))
                bag.frames += report.frames
                done = (segment.number + 1) / len(bag.plan.segments)
                self._on_progress(bag.task, done, bag.frames)
            bag.piece(segment).unlink(missing_ok=True)
            if bag.is_over:
                bag.waiting.clear()
                for _, other in bag.futures:
                    other.cancel()

    def _close(self, bag: _Bag) -> BagOutcome:
        try:
            report = bag.joiner.close(
                self._record_of(bag.task), error="" if bag.error is None else reason(bag.error)
            )  # fmt: skip
        except PanopticError as error:
            return BagOutcome(bag.task.source, Status.RETRY, reason(error))
        if bag.error is not None and not report.messages:
            if self._stop.came:
                return BagOutcome(bag.task.source, Status.STOPPED)
            return BagOutcome(bag.task.source, _status_of(bag.error, Status.RETRY), report.error)
        return self._outcome(bag.task, report, bag.started_s)

    def _record_of(self, task: BagTask) -> Callable[[LabelReport], str] | None:
        records = self._records
        return None if records is None else lambda report: records.text(task, report)

    def _outcome(self, task: BagTask, report: LabelReport, started_s: float) -> BagOutcome:
        seconds = time.monotonic() - started_s
        outcome = BagOutcome.of(task.source, report, seconds=seconds, is_stopped=self._stop.came)
        if self._records is not None and outcome.status == Status.NO_IMAGES:
            self._records.note_failure(task, outcome)
        elif self._records is not None and report.messages:
            self._records.forget_failure(task)
        return outcome


def _status_of(error: Exception, otherwise: Status) -> Status:
    """Return the status of a bag that has no result because of an error."""
    if isinstance(error, NoImagesError):
        return Status.NO_IMAGES
    if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
        return Status.RETRY
    return Status.FAILED if isinstance(error, ConfigError) else otherwise
