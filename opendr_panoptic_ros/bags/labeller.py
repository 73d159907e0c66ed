# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labeller: reads, segments and writes the groups of messages of a bag at the same time, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from opendr_panoptic_ros.bags.groups import MessageGroup
from opendr_panoptic_ros.bags.predictors import Predictor
from opendr_panoptic_ros.prediction import PanopticPrediction

_AHEAD = 2  # groups that are read and decoded while another one is segmented
_BEHIND = 2  # groups that wait until they are written


class StopRequest(Protocol):
    """A request to stop early, made from outside while the labeller works."""

    @property
    def came(self) -> bool:
        """Whether the request has been made. The labeller then stops after the messages it is working on."""

    def hold(self) -> AbstractContextManager[None]:
        """Return a context in which a second request does not raise KeyboardInterrupt."""


class NoStop:
    """A request to stop that is never made.

    Attributes:
        came: False.
    """

    came = False

    def hold(self) -> AbstractContextManager[None]:
        """Return a context without effect."""
        return nullcontext()


class GroupWriter(Protocol):
    """The end of the work on a group.

    Attributes:
        frames: Number of frames whose predictions were written.
        next_ns: Record time after the last message written; None if there is none. During an error, that of the message
            that could not be written.
    """

    frames: int
    next_ns: int | None

    def write_group(self, group: MessageGroup, predictions: Sequence[PanopticPrediction | Exception]) -> None:
        """Write a group.

        Args:
            group: The messages.
            predictions: The prediction of each frame of the group, or the reason why it has none.
        """


class Labeller:
    """Takes groups of messages through three stages: reading and decoding, segmentation, and writing.

    Reading and writing have a thread each; the network runs in the thread of the caller. The number of groups between
    the stages is limited.

    Args:
        predictor: Segments the frames.
        writer: Writes the groups.

    Attributes:
        error: The error that ended the work early, or None.
        stopped_at_ns: Record time of the first message that was not written; None if all were, or none could be read.
    """

    def __init__(self, predictor: Predictor, writer: GroupWriter) -> None:
        self._predictor, self._writer = predictor, writer
        self._write_error: Exception | None = None
        self._present_ns: int | None = None
        self.error: Exception | None = None
        self.stopped_at_ns: int | None = None

    def run(
        self,
        groups: Generator[MessageGroup, None, None],
        stop: StopRequest,
        *,
        on_progress: Callable[[int, int], None] = lambda _time_ns, _frames: None,
    ) -> None:
        """Label the groups until they end, a stop is requested or an error occurs.

        Args:
            groups: The groups. They are read in another thread.
            stop: Checked before each group.
            on_progress: Called after groups with the record time of the last message written, in ns, and with the
                number of frames segmented so far.
        """
        is_complete = False
        try:
            is_complete = self._label(groups, stop, on_progress)
        except KeyboardInterrupt:  # a second request: the group in work is abandoned
            pass
        except Exception as caught:  # noqa: BLE001 - hours of completed work are kept whatever ends the rest
            self.error = caught
        groups.close()
        self.error = self._write_error or self.error
        if self._write_error is not None:
            self.stopped_at_ns = self._writer.next_ns
        elif not is_complete:
            times = [time_ns for time_ns in (self._writer.next_ns, self._present_ns) if time_ns is not None]
            self.stopped_at_ns = max(times, default=None)

    def _label(
        self,
        groups: Generator[MessageGroup, None, None],
        stop: StopRequest,
        on_progress: Callable[[int, int], None],
    ) -> bool:
        """Take the groups through the stages. Return whether that was done for all of them."""

        def finish(future: Future[tuple[int | None, int]]) -> None:
            time_ns, frames = future.result()
            if time_ns is not None:
                on_progress(time_ns, frames)

        written: deque[Future[tuple[int | None, int]]] = deque()
        with ThreadPoolExecutor(1, "write") as writing, ThreadPoolExecutor(1, "read") as reading:
            read = deque(reading.submit(next, groups, None) for _ in range(_AHEAD))
            try:
                while (group := read.popleft().result()) is not None:
                    read.append(reading.submit(next, groups, None))
                    if group.messages:
                        self._present_ns = group.messages[0].time_ns
                    if stop.came:
                        return False
                    frames = list(group.frames.values())
                    predictions = self._predictor.predict(frames) if frames else []
                    written.append(writing.submit(self._write, group, predictions))
                    if len(written) > _BEHIND:
                        finish(written.popleft())
                while written:
                    finish(written.popleft())
            finally:
                for future in read:
                    future.cancel()
        return self._write_error is None

    def _write(
        self, group: MessageGroup, predictions: Sequence[PanopticPrediction | Exception]
    ) -> tuple[int | None, int]:
        """Write a group, unless one before it could not be written. Return time and frames written so far."""
        if self._write_error is None:
            try:
                self._writer.write_group(group, predictions)
            except Exception as error:
                self._write_error = error
                raise
        return self._writer.next_ns, self._writer.frames
