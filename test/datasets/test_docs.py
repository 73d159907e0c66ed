# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The examples of docs/datasets.md run as they stand, one after the other, on a tiny dataset."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from support.toy_datasets import write_tiny_cityscapes

from opendr_panoptic_ros import datasets
from opendr_panoptic_ros.datasets import DATASETS, DatasetRow
from opendr_panoptic_ros.datasets.cityscapes import read_cityscapes
from opendr_panoptic_ros.datasets.preparation import prepare_dataset

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


def test_every_dataset_of_the_table_is_documented_and_loads():
    text = PAGE.read_text(encoding="utf-8")
    for name, row in DATASETS.items():
        assert f"`prepare {name}`" in text
        assert callable(row.load(row.reader))
        if row.dataset_class is not None:
            assert f"`{row.dataset_class}`, `prepare {name}`" in text
            assert getattr(datasets, row.dataset_class).__module__ == row.load(row.reader).__module__
            assert row.dataset_class in datasets.__all__


def test_a_new_dataset_is_one_module_and_one_row(tmp_path, monkeypatch):
    """A reader is enough: `prepare_dataset` converts what it lists, and PanopticDataset reads the result."""
    write_tiny_cityscapes(tmp_path / "raw", num_train=1, num_val=1)
    module = ModuleType("opendr_panoptic_ros.datasets.own")
    vars(module)["read_own"] = lambda root, splits: read_cityscapes(root / "raw", splits)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(DATASETS, "own", DatasetRow("Own", "own", "read_own"))
    row = DATASETS["own"]
    prepare_dataset(row.load(row.reader), tmp_path, tmp_path / "out", num_workers=1)
    assert len(datasets.PanopticDataset(tmp_path / "out" / "val")) == 1
