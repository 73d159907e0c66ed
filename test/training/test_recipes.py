# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The recipes for public datasets, from the downloaded files to a network, on tiny data in the same formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.toy_datasets import write_tiny_cityscapes, write_tiny_coco, write_tiny_kitti

from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.training.run_record import read_run_config

pytestmark = [pytest.mark.train, pytest.mark.slow]
pytest.importorskip("mmdet")
_SMALL = [  # the shape and the sizes alone; schedule, scales and thresholds are the recipe's
    "model.backbone_width=0.35",
    "model.backbone_depth=0.35",
    "model.fpn_channels=32",
    "model.semantic_channels=16",
    "model.box_head_width=64",
    "test.long_side_px=128",
    "test.short_side_px=64",
    "data.crop_width_px=128",
    "data.crop_height_px=64",
    "schedule.epochs=1",
]


@pytest.mark.parametrize(
    ("name", "write"),
    [("cityscapes", write_tiny_cityscapes), ("kitti", write_tiny_kitti), ("coco", write_tiny_coco)],
)
def test_a_recipe_from_the_raw_files_to_a_network(
    run_main: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    write(tmp_path / "raw")
    code, _, err = run_main("prepare", name, "raw", "data", "--workers", "1")
    assert code == 0, err
    code, out, err = run_main("inspect", "data/train", "--config", name, "--images", "0")
    assert code == 0, err
    assert "the network sees" in out
    changes = [word for change in _SMALL for word in ("--set", change)]
    command = ("train", "data", "--config", name, *changes, "--device", "cpu", "--out", "run", "--quiet")
    code, _, err = run_main(*command)
    assert code == 0, err
    published, used = Config.load(name).schedule, read_run_config(tmp_path / "run")
    assert used is not None
    for entry in ("optimizer", "learning_rate", "momentum", "weight_decay", "decay_epochs", "batch_size"):
        assert getattr(used.schedule, entry) == getattr(published, entry)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history["train"][0]["loss"] > 0
    assert "pq" in history["val"][0]
    network = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert len(network.config.classes) == network.config.model.num_stuff + network.config.model.num_things
    code, out, err = run_main("evaluate", "run/last.safetensors", "data/val", "--device", "cpu", "--backend", "torch")
    assert code == 0, err
