# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Start-up: large modules that a process does not use are not imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_PRINT_MODULES = "import sys, json; print(json.dumps(sorted(set(name.split('.')[0] for name in sys.modules))))"
_COMPILER = "assert 'torch._dynamo' not in sys.modules"


def _imported(code: str) -> set[str]:
    """Return the names of the packages that a new process has imported after running some code."""
    command = [sys.executable, "-c", f"{code}; {_PRINT_MODULES}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_a_prediction_imports_neither_torchvision_nor_the_compiler_of_torch_nor_scipy() -> None:
    imported = _imported(
        "import sys, numpy; from opendr_panoptic_ros.inference import PanopticSegmenter; "
        "from opendr_panoptic_ros.pipeline import FramePipeline; "
        f"FramePipeline(PanopticSegmenter('demo', backend='torch')).segmenter.warm_up(64, 64); {_COMPILER}"
    )
    assert "torch" in imported
    assert imported.isdisjoint({"torchvision", "scipy", "sympy", "matplotlib", "mmdet"})


@pytest.mark.ros
def test_the_node_imports_neither_torchvision_nor_scipy() -> None:
    imported = _imported("import opendr_panoptic_ros.ros.node")
    assert "rclpy" in imported
    assert imported.isdisjoint({"torchvision", "scipy", "sympy", "matplotlib", "mmdet"})


@pytest.mark.ros
def test_the_demo_process_does_not_import_torch() -> None:
    imported = _imported("import opendr_panoptic_ros.demo.session")
    assert "rclpy" in imported
    assert "torch" not in imported


def test_the_operators_agree_with_torchvision_imported_afterwards() -> None:
    _imported(
        "import torch; from opendr_panoptic_ros.network import compiled_ops; "
        "torch.manual_seed(0); low = torch.rand(200, 2) * 50; "
        "boxes = torch.cat((low, low + 1 + torch.rand(200, 2) * 30), 1); scores = torch.rand(200); "
        "kept = compiled_ops.nms(boxes, scores, 0.5); import torchvision; "
        "assert 0 < len(kept) < 200 and torch.equal(kept, torchvision.ops.nms(boxes, scores, 0.5))"
    )
