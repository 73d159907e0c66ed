# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""TensorRT: clear errors without it, and on a GPU the values of torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from support.tiny_network import tiny_network, write_tiny_checkpoint

from opendr_panoptic_ros.backends import resolve_backend
from opendr_panoptic_ros.backends.opening import open_backend
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter

without_tensorrt = pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
COMMAND = r"pip install 'opendr_panoptic_ros\[tensorrt\]'"


@without_tensorrt
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_tensorrt_the_command_is_named(device: str) -> None:
    with pytest.raises(ConfigError, match=rf"tensorrt needs tensorrt, which is not installed.*{COMMAND}"):
        resolve_backend("tensorrt", device=device, precision="float16")


@without_tensorrt
def test_auto_does_without_it() -> None:
    assert resolve_backend("auto", device="cuda", precision="float16") == "torch"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="finds no CUDA device"):
        PanopticSegmenter(write_tiny_checkpoint(tmp_path), device="cuda", backend="tensorrt")


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("float16", 0.1)])
def test_values_on_a_gpu(precision: str, tolerance: float, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    device = torch.device("cuda")
    steps: list[float | None] = []
    backend = open_backend(
        tiny_network().fold_norms(),
        "tensorrt",
        precision=precision,
        device=device,
        cache=tmp_path,
        progress=lambda _, fraction: steps.append(fraction),
    )
    network = tiny_network().eval().to(device)
    for batch, size in ((1, (64, 128)), (4, (64, 128)), (9, (64, 128)), (2, (96, 32)), (1, (32, 160))):
        x = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            expected = network(x)
            found = backend(x.to(getattr(torch, precision)))
        for ours, theirs in zip(
            [*found.fpn, *found.objectness, *found.deltas, found.semantic_logits],
            [*expected.fpn, *expected.objectness, *expected.deltas, expected.semantic_logits],
            strict=True,
        ):
            torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=tolerance * float(theirs.std()))
    assert steps.count(1.0) >= 3
    assert (tmp_path / ".opendr_panoptic_tensorrt_timing").stat().st_size
