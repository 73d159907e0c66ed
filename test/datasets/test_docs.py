# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The examples of docs/datasets.md run as they stand, one after the other, on a tiny dataset."""

from __future__ import annotations

import re
from pathlib import Path

from support.toy_datasets import write_tiny_cityscapes

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


def test_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_tiny_cityscapes(tmp_path / "data" / "cityscapes_raw")
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 5
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), {"__name__": "__main__"})
    output = capsys.readouterr().out
    assert "4 lindau_000000_000019 (64, 128)" in output
    assert re.search(r"│ all \(\d+\) +│ 100.0 │ 100.0 │ 100.0 │ 100.0 │", output)
    assert "{'pq': 1.0, 'sq': 1.0, 'rq': 1.0, 'n': " in output
