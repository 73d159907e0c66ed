# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The examples of docs/training.md run as they stand, one after the other, on a tiny dataset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.toy_datasets import write_tiny_cityscapes

pytestmark = pytest.mark.train
pytest.importorskip("mmdet")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
SMALL = """
model: {backbone_width: 0.35, backbone_depth: 0.35, fpn_channels: 32, semantic_channels: 16, box_head_width: 64}
test: {long_side_px: 128, short_side_px: 64}
data: {crop_width_px: 128, crop_height_px: 64}
"""


def test_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    write_tiny_cityscapes(tmp_path / "data" / "cityscapes_raw")
    default = tmp_path / ".config" / "opendr_panoptic_ros" / "default.yaml"
    default.parent.mkdir(parents=True)
    default.write_text(SMALL)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 4
    names: dict[str, object] = {"__name__": "__main__"}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    output = capsys.readouterr().out
    assert "2 epochs, PQ " in output
    assert "['n', 'pq', 'rq', 'sq']" in output
    assert "uint16 uint8 car" in output
    assert (tmp_path / "runs" / "first" / "best.safetensors").exists()
    assert (tmp_path / "street.png").exists()
