# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Shards of batch services."""

from __future__ import annotations

import random

import pytest

from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.fleet.shards import Shard

SLURM = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "2"}
FOUND = [
    ("2/8", {}, Shard(2, 8)),
    ("0/1", {"AWS_BATCH_JOB_ARRAY_INDEX": "5"}, Shard(0, 1)),
    ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "5", "AWS_BATCH_JOB_ARRAY_SIZE": "40"}, Shard(5, 40)),
    ("auto/9", {"AWS_BATCH_JOB_ARRAY_INDEX": "5"}, Shard(5, 9)),
    ("auto", {**SLURM, "SLURM_ARRAY_TASK_COUNT": "3"}, Shard(2, 3)),
    ("auto/7", {"JOB_COMPLETION_INDEX": "6"}, Shard(6, 7)),
    ("auto", {"JOB_COMPLETION_INDEX": "6", "JOB_COMPLETIONS": "7"}, Shard(6, 7)),
]
REFUSED = [
    ("8/8", {}, "8 of 8 parts; expected 0 to 7"),
    ("-1/8", {}, "expected 0 to 7"),
    ("1", {}, "expected I/N"),
    ("a/b", {}, "expected I/N"),
    ("1/0", {}, "of 0 parts"),
    ("auto", {}, "none of AWS_BATCH_JOB_ARRAY_INDEX, SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX is set"),
    ("auto", {"JOB_COMPLETION_INDEX": "6"}, "--shard auto/N"),
    ("auto/4", {"JOB_COMPLETION_INDEX": "6"}, "6 of 4 parts"),
    ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "x"}, "is not a number of an array"),
    ("auto/9", {**SLURM, "SLURM_ARRAY_TASK_ID": "15"}, "not a multiple of SLURM_ARRAY_TASK_STEP"),
]


@pytest.mark.parametrize(("text", "environment", "expected"), FOUND)
def test_shard_of_an_option(text, environment, expected):
    assert Shard.parse(text, environment) == expected


@pytest.mark.parametrize(("text", "environment", "reason"), REFUSED)
def test_wrong_shards_are_refused(text, environment, reason):
    with pytest.raises(ConfigError, match=reason):
        Shard.parse(text, environment)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_parts_are_disjoint_complete_and_alike_in_size(count):
    rng = random.Random(count)
    sizes = {f"bag{i:02d}": rng.choice([10, 10, 20, 500, 700]) for i in range(40)}
    names = list(sizes)
    parts = []
    for index in range(count):
        rng.shuffle(names)  # the order in which a task lists the bags is of no importance
        parts.append(Shard(index, count).select(names, name=str, size=sizes.__getitem__))
        assert parts[-1] == [name for name in names if name in parts[-1]]
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    work = [sum(sizes[name] for name in part) for part in parts]
    assert max(work) - min(work) <= max(sizes.values())
