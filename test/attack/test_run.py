# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""What `make attack` counts as lost: a process that dies leaves no records of its own."""

from __future__ import annotations

import pytest
from attack import run


@pytest.mark.parametrize("crash", ["os.abort()", "os._exit(0)", "os._exit(1)", "raise ImportError"])
def test_a_process_that_dies_is_lost(tmp_path, monkeypatch, crash):
    monkeypatch.setattr(run, "RECORDS", tmp_path / "records")
    file = tmp_path / "test_crash.py"
    file.write_text(f"import os\n# @attack(\n{crash}\n", encoding="utf-8")
    assert not run.run_properties(1, [file])
    (row,) = run.recorded()
    assert (row.read, row.refused, row.lost) == (0, 0, 1)
    assert "| 1 |" in run.table([row]).splitlines()[-1]
