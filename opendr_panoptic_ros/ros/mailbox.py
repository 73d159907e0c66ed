# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Mailbox: the newest frame of a camera, and the statistics of its frames. Independent of ROS."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.rate import RateLimit

_TIMINGS = 200


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames since the node was configured. With no frame pending, received = answered + dropped + failed.

    Attributes:
        received: Frames that arrived. The node subscribes to the camera only while an output has a subscriber.
        answered: Frames whose results were published.
        dropped: Frames that were replaced by a newer one, exceeded the rate limit, or whose subscribers had left.
        failed: Frames that ended in an error.
        dropped_over_max_rate: Those of `dropped` that exceeded the rate limit.
    """

    received: int = 0
    answered: int = 0
    dropped: int = 0
    failed: int = 0
    dropped_over_max_rate: int = 0

    def __str__(self) -> str:
        return f"{self.received} received, {self.answered} answered, {self.dropped} dropped, {self.failed} failed"


@dataclass(frozen=True)
class Timing:
    """Durations of one answered frame, until its results were published.

    Attributes:
        processing_time_ms: Since the frame was taken from the mailbox.
        pipeline_latency_ms: Since the stamp of the frame; None if the stamp does not tell the time.
        stamp: "valid"; "zero" if the camera does not set stamps; "invalid" if the stamp is not a time.
    """

    processing_time_ms: float
    pipeline_latency_ms: float | None
    stamp: Literal["valid", "zero", "invalid"] = "valid"


class Delivery(NamedTuple):
    """A frame taken from a mailbox.

    Attributes:
        message: The message of the camera, serialized.
        is_first: Whether it is the first frame taken since the mailbox was opened.
    """

    message: bytes
    is_first: bool


class Mailbox:
    """The newest frame of a camera, from its arrival until it is taken, and what became of all frames.

    The executor's thread puts frames, the worker's thread takes them, and the publisher's reports their outcome.

    Args:
        frame_waits: Condition shared by all mailboxes; notified when a frame arrives. It guards all of their state.

    Attributes:
        image_size: Height and width in pixels of the frame decoded last, or None. Set by the worker's thread.
    """

    def __init__(self, frame_waits: threading.Condition) -> None:
        self.image_size: tuple[int, int] | None = None
        self._frame_waits = frame_waits
        self._rate_limit = RateLimit()
        self._message: bytes | None = None
        self._is_first = True
        self._last_arrival_s = time.monotonic()
        self._counts = FrameCounts()
        self._timings: deque[Timing] = deque(maxlen=_TIMINGS)
        self._last_error = ""
        self._is_failing = False

    @property
    def has_frame(self) -> bool:
        """Whether a frame is waiting. The caller holds `frame_waits`."""
        return self._message is not None

    @property
    def counts(self) -> FrameCounts:
        """The present counts."""
        return self._counts

    @property
    def timings(self) -> list[Timing]:
        """Timings of the last answered frames since the mailbox was opened, oldest first."""
        with self._frame_waits:
            return list(self._timings)

    @property
    def last_error(self) -> str:
        """Description of the last error of a frame, or an empty string."""
        return self._last_error

    @property
    def is_failing(self) -> bool:
        """Whether the last processed frame failed."""
        return self._is_failing

    @property
    def waiting_s(self) -> float:
        """Seconds since the last frame arrived or, if none has arrived, since the mailbox was opened."""
        return time.monotonic() - self._last_arrival_s

    def open(self) -> None:
        """Prepare for frames that do not follow the previous ones. Counts and the last error's description are kept."""
        with self._frame_waits:
            self.discard()
            self._is_first = True
            self._last_arrival_s = time.monotonic()
            self._timings.clear()
            self._is_failing = False

    def put(self, message: bytes, *, max_rate_hz: float = 0.0) -> None:
        """Store a frame. It replaces a frame that is still waiting, and is dropped if it exceeds the rate limit.

        Args:
            message: The message of the camera, serialized.
            max_rate_hz: Rate limit in frames per second; 0 means no limit.
        """
        with self._frame_waits:
            self._last_arrival_s = time.monotonic()
            self._add(received=1)
            if not self._rate_limit.admits(self._last_arrival_s, max_rate_hz):
                self._add(dropped=1, dropped_over_max_rate=1)
                return
            self.discard()
            self._message = message
            self._frame_waits.notify()

    def take(self) -> Delivery | None:
        """Remove and return the waiting frame, or return None if there is none."""
        with self._frame_waits:
            if self._message is None:
                return None
            delivery = Delivery(self._message, self._is_first)
            self._message, self._is_first = None, False
            return delivery

    def discard(self) -> None:
        """Drop the waiting frame, if there is one."""
        with self._frame_waits:
            if self._message is not None:
                self._message = None
                self._add(dropped=1)

    def count_answered(self, timing: Timing) -> None:
        """Count a taken frame as answered.

        Args:
            timing: Durations of this frame.
        """
        with self._frame_waits:
            self._add(answered=1)
            self._timings.append(timing)
            self._is_failing = False

    def count_dropped(self) -> None:
        """Count a taken frame as dropped, because no output has a subscriber any more."""
        with self._frame_waits:
            self._add(dropped=1)

    def count_failed(self, error: Exception) -> None:
        """Count a taken frame as failed.

        Args:
            error: The reason.
        """
        with self._frame_waits:
            self._add(failed=1)
            self._last_error = describe(error)
            self._is_failing = True

    def _add(self, **numbers: int) -> None:
        added = {name: getattr(self._counts, name) + number for name, number in numbers.items()}
        self._counts = dataclasses.replace(self._counts, **added)
