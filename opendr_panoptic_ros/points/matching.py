# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""StampMatcher: finds the messages of two topics that belong together by their stamps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Reference = TypeVar("Reference")
Candidate = TypeVar("Candidate")

_JUMP_NS = 10**9
"""Stamps that go back by more than this belong to a recording that starts again."""


@dataclass(frozen=True)
class Match(Generic[Reference, Candidate]):
    """The decision about one reference.

    Attributes:
        reference: The reference.
        candidate: The candidate that belongs to it, or None.
        nearest_s: Difference in seconds between the stamps of the reference and the nearest candidate; None if there
            was no candidate.
    """

    reference: Reference
    candidate: Candidate | None
    nearest_s: float | None


# message_filters' ApproximateTimeSynchronizer reports no unmatched messages, and is missing where ROS comes from pip.
class StampMatcher(Generic[Reference, Candidate]):
    """Finds the nearest candidate of each reference.

    A reference is decided once a candidate has the same stamp, or a candidate with a later stamp has arrived. A
    candidate may belong to several references.

    Args:
        tolerance_ns: Largest difference between stamps that belong together, in nanoseconds.
        queue: Number of references, and of candidates, that are kept.
    """

    def __init__(self, tolerance_ns: int, queue: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._queue = queue
        self._references: deque[tuple[int, Reference]] = deque()
        self._candidates: deque[tuple[int, Candidate]] = deque(maxlen=queue)

    def add_reference(self, stamp_ns: int, item: Reference) -> list[Match[Reference, Candidate]]:
        """Add a message that needs a partner.

        Args:
            stamp_ns: Its stamp in nanoseconds.
            item: The message.

        Returns:
            The references that are decided now, oldest first.
        """
        if self._references and stamp_ns < self._references[-1][0] - _JUMP_NS:
            self.clear()
        self._references.append((stamp_ns, item))
        return self._decide()

    def add_candidate(self, stamp_ns: int, item: Candidate) -> list[Match[Reference, Candidate]]:
        """Add a message that may be a partner.

        Args:
            stamp_ns: Its stamp in nanoseconds.
            item: The message.

        Returns:
            As `add_reference`.
        """
        if self._candidates and stamp_ns < self._candidates[-1][0] - _JUMP_NS:
            self.clear()
        self._candidates.append((stamp_ns, item))
        return self._decide()

    def clear(self) -> None:
        """Remove all messages."""
        self._references.clear()
        self._candidates.clear()

    def _decide(self) -> list[Match[Reference, Candidate]]:
        decided: list[Match[Reference, Candidate]] = []
        waiting: deque[tuple[int, Reference]] = deque()
        newest_ns = max((stamp_ns for stamp_ns, _ in self._candidates), default=None)
        for stamp_ns, reference in self._references:
            # Of candidates with the same stamp, the last one counts: all stamps may be zero.
            differences = [abs(candidate_ns - stamp_ns) for candidate_ns, _ in self._candidates]
            if newest_ns is None:
                waiting.append((stamp_ns, reference))
                continue
            difference_ns = min(differences)
            found = self._candidates[len(differences) - 1 - differences[::-1].index(difference_ns)][1]
            if difference_ns == 0 or (difference_ns <= self._tolerance_ns and newest_ns >= stamp_ns):
                decided.append(Match(reference, found, difference_ns / 1e9))
            elif newest_ns > stamp_ns + self._tolerance_ns:
                decided.append(Match(reference, None, difference_ns / 1e9))
            else:
                waiting.append((stamp_ns, reference))
        while len(waiting) > self._queue:
            decided.append(Match(waiting.popleft()[1], None, None))
        self._references = waiting
        return decided
