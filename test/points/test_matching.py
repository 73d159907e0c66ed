# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Messages of two topics that belong together by their stamps."""

from __future__ import annotations

import pytest

from opendr_panoptic_ros.points import StampMatcher

S = 10**9


def pairs(matches) -> list[tuple[str, str | None]]:
    return [(match.reference, match.candidate) for match in matches]


def test_equal_stamps_match_whichever_comes_first() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(0, 5)
    assert matcher.add_candidate(1 * S, "depth 1") == []
    assert pairs(matcher.add_reference(1 * S, "seg 1")) == [("seg 1", "depth 1")]
    assert matcher.add_reference(2 * S, "seg 2") == []
    assert pairs(matcher.add_candidate(2 * S, "depth 2")) == [("seg 2", "depth 2")]


def test_the_nearest_within_the_tolerance_is_taken_once_a_later_one_has_arrived() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(20, 5)
    assert matcher.add_reference(100, "seg") == []
    assert matcher.add_candidate(85, "before") == []
    (match,) = matcher.add_candidate(108, "after")
    assert match.candidate == "after"
    assert match.nearest_s == pytest.approx(8e-9)
    assert matcher.add_candidate(130, "later") == []
    (match,) = matcher.add_reference(120, "seg 2")
    assert match.candidate == "later"


def test_what_has_no_partner_is_reported_with_the_nearest() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(20, 2)
    matcher.add_candidate(1 * S, "old")
    assert matcher.add_reference(2 * S, "seg") == []
    (match,) = matcher.add_candidate(3 * S, "new")
    assert (match.candidate, match.nearest_s) == (None, 1.0)


def test_the_queue_is_bounded() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(0, 2)
    assert matcher.add_reference(1, "a") == matcher.add_reference(2, "b") == []
    assert [(match.reference, match.nearest_s) for match in matcher.add_reference(3, "c")] == [("a", None)]
    for stamp_ns in range(10, 15):
        matcher.add_candidate(stamp_ns, str(stamp_ns))
    assert pairs(matcher.add_reference(10, "late")) == [("late", None)]
    assert pairs(matcher.add_reference(14, "seg")) == [("seg", "14")]


def test_a_recording_that_starts_again() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(0, 5)
    matcher.add_candidate(100 * S, "end")
    matcher.add_candidate(1 * S, "start")
    assert matcher.add_reference(2 * S, "seg") == []
    assert pairs(matcher.add_candidate(2 * S, "next")) == [("seg", "next")]


def test_stamps_that_are_all_zero_match_the_newest() -> None:
    matcher: StampMatcher[str, str] = StampMatcher(0, 5)
    matcher.add_candidate(0, "first")
    matcher.add_candidate(0, "second")
    assert pairs(matcher.add_reference(0, "seg")) == [("seg", "second")]
