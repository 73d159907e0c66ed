# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The inputs of the coverage-guided fuzzers: seeds, and every input that once broke a reader."""

from __future__ import annotations

import pytest
from attack.bounds import Meter
from attack.targets import CORPUS, READ, TARGETS, run

INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_each_input_is_read_or_refused_within_the_limits(name, tmp_path):
    outcomes = set()
    for path in sorted((CORPUS / name).iterdir()):
        data = path.read_bytes()
        run(name, data, tmp_path)  # imports what it needs
        with Meter() as meter:
            outcomes.add(run(name, data, tmp_path))
        meter.cost.check()
    assert READ in outcomes


def test_the_corpora_are_small():
    assert {path.parent.name for path in INPUTS} == TARGETS.keys()
    assert sum(path.stat().st_size for path in INPUTS) < 300_000
