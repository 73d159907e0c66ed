# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import random

import pytest

from opendr_panoptic_ros.ros.rate import RateLimit


def test_no_limit():
    limit = RateLimit()
    assert all(limit.admits(now_s, 0) for now_s in (5.0, 5.0, 5.1))


def test_every_second_frame():
    limit = RateLimit()
    assert [limit.admits(100 + i / 8, 4) for i in range(6)] == [True, False, True, False, True, False]


@pytest.mark.parametrize("max_rate_hz", [3, 7, 10, 40])
def test_the_mean_rate_of_frames_that_jitter(max_rate_hz):
    """A camera at 30 Hz for 100 s, whose frames are up to a fifth of a period early or late."""
    noise, limit = random.Random(0), RateLimit()
    admitted = sum(limit.admits(10 + (i + noise.uniform(-0.2, 0.2)) / 30, max_rate_hz) for i in range(3000))
    assert admitted == pytest.approx(100 * min(max_rate_hz, 30), rel=0.01)


def test_a_higher_limit_holds_at_once():
    limit = RateLimit()
    assert limit.admits(1, 0.01)
    assert [limit.admits(2 + i / 8, 4) for i in range(5)] == [False, False, True, False, True]


def test_a_pause_is_not_compensated():
    limit = RateLimit()
    assert limit.admits(1.0, 10)
    assert [limit.admits(60 + i / 100, 10) for i in range(12)] == [True] + 7 * [False] + [True] + 3 * [False]
