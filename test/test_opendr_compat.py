# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""OpenDR's four examples as they stand on its page, and its import paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.random_weights import seed_weights_

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.network import EfficientPS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT.parent / "shared" / "reference" / "OPENDR_README.md"
SMALL = """
model: {backbone_width: 0.35, backbone_depth: 0.35, fpn_channels: 32, semantic_channels: 16, box_head_width: 64}
test: {long_side_px: 128, short_side_px: 64}
data: {crop_width_px: 128, crop_height_px: 64}
schedule: {epochs: 1}
"""
RUN = """
import sys
import opendr_panoptic_ros.opendr_compat
for snippet in sys.argv[1:]:
    exec(compile(snippet, 'snippet', 'exec'), {'__name__': '__main__'})
"""


def run(code: str, *arguments: str, home: Path) -> str:
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("XDG_CONFIG_HOME", None)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.train
def test_the_four_examples_run_as_they_stand(tmp_path):
    if not PAGE.exists():
        pytest.skip("needs shared/reference/OPENDR_README.md")
    from support.toy_datasets import write_tiny_cityscapes

    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 4

    write_tiny_cityscapes(tmp_path / "data" / "cityscapes_raw")
    default = tmp_path / ".config" / "opendr_panoptic_ros" / "default.yaml"
    default.parent.mkdir(parents=True)
    default.write_text(SMALL)
    network = EfficientPS.from_config(Config.load(default))
    seed_weights_(network, 7)
    save_checkpoint(network, tmp_path / "model.pth")

    printed = run(RUN, *snippets, home=tmp_path)
    assert (tmp_path / "data" / "cityscapes" / "val" / "annotations.json").is_file()
    assert "Panoptic segmentation, 4 images" in printed
    assert len(list((tmp_path / "eps_tmp").glob("*/best.safetensors"))) == 1


def test_import_paths_lead_here(tmp_path):
    code = """
import opendr_panoptic_ros.opendr_compat
import opendr.perception.panoptic_segmentation as package
from opendr.engine.data import Image
from opendr.engine.target import Heatmap
from opendr.perception.panoptic_segmentation import EfficientPsLearner
from opendr.perception.panoptic_segmentation.efficient_ps import EfficientPsLearner as Same
from opendr.perception.panoptic_segmentation.datasets import CityscapesDataset, KittiDataset
assert EfficientPsLearner is Same
for value in (Image, Heatmap, EfficientPsLearner, CityscapesDataset, KittiDataset):
    print(value.__module__)
try:
    from opendr.engine.data import Video
except ImportError as error:
    print('no', error.name)
try:
    import opendr.control
except ModuleNotFoundError as error:
    print('no', error.name)
"""
    assert run(code, home=tmp_path).split("\n") == [
        "opendr_panoptic_ros.data",
        "opendr_panoptic_ros.data",
        "opendr_panoptic_ros.learner",
        "opendr_panoptic_ros.datasets.cityscapes",
        "opendr_panoptic_ros.datasets.kitti",
        "no opendr.engine.data",
        "no opendr.control",
        "",
    ]


def test_opendr_itself_is_left_alone(tmp_path):
    (tmp_path / "opendr").mkdir()
    (tmp_path / "opendr" / "__init__.py").write_text("mine = True\n")
    code = "import opendr_panoptic_ros.opendr_compat, opendr; print(opendr.mine)"
    assert run(code, home=tmp_path) == "True\n"


def test_imread_without_mmcv(tmp_path):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 6, 3), (0, 0, 255), np.uint8))
    code = """
import sys, importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == 'mmcv' else find(name, *rest)
import opendr_panoptic_ros.opendr_compat
import mmcv
print(mmcv.imread('~/red.png')[0, 0].tolist())
"""
    assert run(code, home=tmp_path) == "[0, 0, 255]\n"
