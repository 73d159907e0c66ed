# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ONNX Runtime: errors, threads, and sizes of its own. test_backends.py compares its values on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.tiny_network import tiny_network

from opendr_panoptic_ros.backends.onnx_export import ONNX_FILE
from opendr_panoptic_ros.backends.onnxruntime import OnnxRuntimeBackend
from opendr_panoptic_ros.backends.opening import open_backend
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.optimization import optimize

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnxruntime") / "folder"
    optimize(tiny_network(), folder, device="cpu", backend="onnxruntime")
    return folder


def test_the_folder_holds_the_onnx_model(folder: Path) -> None:
    onnx.checker.check_model(str(folder / ONNX_FILE))


def test_zero_detections_and_odd_sizes(folder: Path) -> None:
    options = {"device": "cpu", "inference_size": "native", "score_threshold": 1.0}
    segmenter = PanopticSegmenter(folder, **options)  # type: ignore[arg-type]
    in_torch = PanopticSegmenter(tiny_network(), **options)  # type: ignore[arg-type]
    for height, width in ((51, 77), (33, 129), (1, 1)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        np.testing.assert_array_equal(segmenter(image).segment_map, in_torch(image).segment_map)


def test_the_threads_are_those_of_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []

    class Recorded(onnxruntime.InferenceSession):
        def __init__(self, path: str, options: onnxruntime.SessionOptions, **others: object) -> None:
            chosen.append(options.intra_op_num_threads)
            super().__init__(path, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    OnnxRuntimeBackend.open(folder, precision="float32", device=CPU)
    assert chosen == [2]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it has CUDA")
def test_a_missing_provider_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no CUDAExecutionProvider.*Install onnxruntime-gpu"):
        OnnxRuntimeBackend.open(folder, precision="float32", device=torch.device("cuda"))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / ONNX_FILE).write_bytes(b"no model")
    with pytest.raises(ConfigError, match="cannot run the model in"):
        OnnxRuntimeBackend.open(tmp_path, precision="float32", device=CPU)


@pytest.mark.gpu
def test_values_on_a_gpu(tmp_path: Path) -> None:
    if not torch.cuda.is_available() or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("there is no GPU, or onnxruntime has no CUDA")
    device = torch.device("cuda")
    backend = open_backend(
        tiny_network().fold_norms(), "onnxruntime", precision="float32", device=device, cache=tmp_path
    )
    network = tiny_network().eval().to(device)
    x = torch.randn(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        expected, found = network(x), backend(x)
    torch.testing.assert_close(found.semantic_logits, expected.semantic_logits, rtol=0, atol=1e-2)
