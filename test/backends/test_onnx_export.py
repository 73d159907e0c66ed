# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The ONNX model: its interface, its independence of sizes, and its errors. test_backends.py compares its values."""

from __future__ import annotations

import builtins
import re
from typing import Any

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from support.tiny_network import tiny_network

from opendr_panoptic_ros.backends.onnx_export import INPUT_NAME, OUTPUT_NAMES, dense_outputs, export_onnx
from opendr_panoptic_ros.errors import ConfigError


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return export_onnx(tiny_network().fold_norms())


def test_names_and_dynamic_sizes(model: onnx.ModelProto) -> None:
    def dims(value: Any) -> list[Any]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert [(value.name, dims(value)) for value in model.graph.input] == [(INPUT_NAME, ["batch", 3, "height", "width"])]
    assert tuple(value.name for value in model.graph.output) == OUTPUT_NAMES
    expected = {"fpn": 16, "objectness": 3, "deltas": 12}
    for value in model.graph.output[:-1]:
        kind, stride = value.name.split("_")
        assert dims(value) == ["batch", expected[kind], f"height/{stride}", f"width/{stride}"]
    assert dims(model.graph.output[-1]) == ["batch", 19, "height/4", "width/4"]


def test_the_model_follows_the_standard(model: onnx.ModelProto) -> None:
    """By the checker, and by ONNX's own evaluator in Python, which shares no code with the runtimes."""
    onnx.checker.check_model(model, full_check=True)
    network = tiny_network().eval()
    x = torch.randn(2, 3, 96, 32, generator=torch.Generator().manual_seed(0))
    found = dense_outputs([torch.tensor(y) for y in ReferenceEvaluator(model).run(None, {INPUT_NAME: x.numpy()})])
    with torch.inference_mode():
        expected = network(x)
    for ours, theirs in zip(found.fpn, expected.fpn, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.std()))
    torch.testing.assert_close(found.semantic_logits, expected.semantic_logits, rtol=0, atol=1e-3)


def test_the_model_holds_nothing_of_the_machine(model: onnx.ModelProto) -> None:
    assert not re.search(rb"site-packages|\.py\b|File \"", model.SerializeToString())


def test_the_export_is_deterministic(model: onnx.ModelProto) -> None:
    assert export_onnx(tiny_network().fold_norms()).SerializeToString() == model.SerializeToString()


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_its_command(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing:
            raise ImportError(name=name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=rf"the package {missing}\..*pip install 'opendr_panoptic_ros\[onnx\]'"):
        export_onnx(tiny_network())
