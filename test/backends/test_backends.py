# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Back ends: each computes the same dense outputs, and the segmenter uses no other way to them."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from support.open_backend import DensePart, flat, float32_backends, open_float32
from support.tiny_network import tiny_network
from torch import Tensor

from opendr_panoptic_ros import backends
from opendr_panoptic_ros.backends import BACKENDS, BackendRow, resolve_backend
from opendr_panoptic_ros.backends.base import DenseBackend
from opendr_panoptic_ros.backends.torch import TorchBackend
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS


@pytest.fixture(scope="module")
def network() -> EfficientPS:
    return tiny_network().eval()


@pytest.fixture(scope="module", params=float32_backends())
def dense_part(
    request: pytest.FixtureRequest, network: EfficientPS, tmp_path_factory: pytest.TempPathFactory
) -> DensePart:
    return open_float32(network.fold_norms(), request.param, tmp_path_factory.mktemp("builds"))


@pytest.mark.parametrize("size", [(64, 128), (96, 32), (32, 160)])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_dense_outputs(dense_part: DensePart, size: tuple[int, int], batch: int, network: EfficientPS) -> None:
    """Within the tolerances of the recorded outputs: 1e-4 standard deviations of each map."""
    x = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(x)
        found = dense_part(x.contiguous(memory_format=torch.channels_last))
    height, width = size
    for maps, channels in ((found.fpn, 16), (found.objectness, 3), (found.deltas, 12)):
        assert [tuple(m.shape) for m in maps] == [(batch, channels, height // s, width // s) for s in (4, 8, 16, 32)]
    assert found.semantic_logits.shape == (batch, 19, height // 4, width // 4)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in found.fpn)
    for ours, theirs in zip(flat(found), flat(expected), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.std()))


def test_auto_is_a_back_end() -> None:
    assert resolve_backend("auto") in BACKENDS
    assert PanopticSegmenter(tiny_network(), device="cpu", backend="auto").backend == resolve_backend("auto")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=rf"'caffe'; expected one of auto, {', '.join(BACKENDS)}"):
        PanopticSegmenter(tiny_network(), device="cpu", backend="caffe")


def test_the_segmenter_computes_the_dense_part_in_its_back_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One module and one row of the table are enough for a new back end."""
    inputs = []

    class Recorded(DenseBackend):
        def __init__(self, network: EfficientPS) -> None:
            self._torch = TorchBackend(network)

        def __call__(self, x: Tensor) -> DenseOutputs:
            inputs.append(x)
            dense = self._torch(x)
            return dense._replace(semantic_logits=dense.semantic_logits.flip(1))

    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    options = {"device": "cpu", "inference_size": "native", "score_threshold": 1.0, "min_stuff_area": 0}
    usual = PanopticSegmenter(tiny_network(), **options)(image)  # type: ignore[arg-type]
    module = ModuleType(f"{backends.__name__}.recorded")
    vars(module)["Recorded"] = Recorded
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BACKENDS, "recorded", BackendRow("recorded", "Recorded"))
    segmenter = PanopticSegmenter(tiny_network(), backend="recorded", **options)  # type: ignore[arg-type]
    flipped = segmenter(image)
    logits, _ = segmenter.head_outputs(image)
    assert segmenter.backend == "recorded"
    assert [tuple(x.shape) for x in inputs] == [(1, 3, 64, 96)] * 2
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in inputs)
    assert (flipped.semantic_map != usual.semantic_map).any()
    stuff = logits.argmax(dim=0).numpy() < 11
    np.testing.assert_array_equal(flipped.semantic_map[stuff], logits.argmax(dim=0).numpy()[stuff])
