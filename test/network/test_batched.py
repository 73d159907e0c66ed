# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Compares the post-processing in tensors of fixed shapes, which GPUs use, with that of the single instances."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from support.random_weights import seed_weights_
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from opendr_panoptic_ros.config import ModelConfig, TestConfig
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS, batched_fusion, batched_heads
from opendr_panoptic_ros.network.batched_fusion import batched_visit
from opendr_panoptic_ros.network.boxes import nms
from opendr_panoptic_ros.network.fusion import PanopticFusion
from opendr_panoptic_ros.network.predictions import to_prediction
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.prediction import PanopticPrediction

TINY = ModelConfig(backbone_width=0.35, backbone_depth=1.0, fpn_channels=16, semantic_channels=8, box_head_width=16)
SIZE = (96, 160)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def tiny() -> EfficientPS:
    network = EfficientPS(TINY).eval()
    seed_weights_(network, 3)
    return network.fold_norms()


def dense_of(network: EfficientPS, *, batch: int = 1, seed: int = 1) -> DenseOutputs:
    with torch.inference_mode():
        return network(torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(seed)))


def fused(
    network: EfficientPS, dense: DenseOutputs, *, batched: bool, image_size=SIZE, output_size=SIZE, **settings: Any
) -> Sequence[PanopticPrediction | None]:
    test = dataclasses.replace(TestConfig(min_stuff_area=0), **settings)
    classes = network.config.classes
    with torch.inference_mode():
        if batched:
            return network._fuse_batched(dense, image_size, test, classes, output_size, True)
        return network.fuse(dense, image_size, test, classes=classes, output_size=output_size, with_confidence=True)


@pytest.fixture
def many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random network finds 80 instances on 96 × 160 pixels."""
    monkeypatch.setattr(batched_fusion, "_MAX_PLACES", 100)


def assert_same(ours: PanopticPrediction | None, theirs: PanopticPrediction | None) -> None:
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours.segment_map, theirs.segment_map)
    np.testing.assert_array_equal(ours.confidence_map, theirs.confidence_map)
    assert [dataclasses.replace(s, score=round(s.score, 5)) for s in ours.segments] == [
        dataclasses.replace(s, score=round(s.score, 5)) for s in theirs.segments
    ]


@pytest.mark.usefixtures("many_places")
@pytest.mark.parametrize("contain_instances", [True, False])
@pytest.mark.parametrize("sizes", [(SIZE, SIZE), ((77, 131), (77, 131)), ((90, 160), (45, 211))])
def test_predictions_of_a_batch(tiny: EfficientPS, sizes: tuple[Any, Any], contain_instances: bool) -> None:
    dense = dense_of(tiny, batch=3)
    arguments: dict[str, Any] = {
        "image_size": sizes[0], "output_size": sizes[1], "contain_instances": contain_instances
    }  # fmt: skip
    found, expected = (fused(tiny, dense, batched=batched, **arguments) for batched in (True, False))
    assert sum(segment.is_thing for prediction in expected if prediction for segment in prediction.segments) > 6
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, theirs)


def test_no_detections(tiny: EfficientPS) -> None:
    dense = dense_of(tiny)
    found, expected = (fused(tiny, dense, batched=batched, score_threshold=1.0) for batched in (True, False))
    assert_same(found[0], expected[0])
    assert expected[0]
    assert not any(segment.is_thing for segment in expected[0].segments)


@pytest.mark.usefixtures("many_places")
def test_more_detections_than_allowed(tiny: EfficientPS) -> None:
    dense = dense_of(tiny)
    found, expected = (fused(tiny, dense, batched=batched, max_detections=3) for batched in (True, False))
    assert_same(found[0], expected[0])


def test_what_does_not_fit_is_reported(tiny: EfficientPS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few places for candidates or in tiles, or too few rounds, give None and never another result."""
    dense = dense_of(tiny)
    assert fused(tiny, dense, batched=True, max_detections=5) != [None]
    for module, name, value in (
        (batched_fusion, "_MAX_PLACES", 1),
        (batched_heads, "_MAX_CANDIDATES", 2),
        (batched_heads, "_NMS_ROUNDS", 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert fused(tiny, dense, batched=True, max_detections=5) == [None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression(threshold: float, device: str) -> None:
    generator = torch.Generator().manual_seed(2)
    low = 60 * torch.rand(3, 300, 2, generator=generator)
    boxes = torch.cat((low, low + 5 + 30 * torch.rand(3, 300, 2, generator=generator)), dim=2)
    scores = torch.linspace(1, 0, 300)
    keep, is_settled = batched_heads.suppress(boxes.to(device), threshold)
    assert is_settled.all()
    for image in range(3):
        assert keep[image].nonzero().squeeze(1).tolist() == nms(boxes[image], scores, threshold).tolist()
    groups = torch.randint(0, 3, (300,), generator=generator)
    keep, _ = batched_heads.suppress(boxes[0].to(device), threshold, groups=groups.to(device))
    expected: list[int] = []
    for group in range(3):
        members = (groups == group).nonzero().squeeze(1)
        expected += members[nms(boxes[0, members], scores[members], threshold)].tolist()
    assert keep.nonzero().squeeze(1).tolist() == sorted(expected)


def random_detections(count: int, size: tuple[int, int], seed: int, *, largest_px: float = 60) -> Detections:
    """Return boxes of up to `largest_px` with blob-like masks, by descending score."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([size[1] - 1.0, size[0] - 1.0])
    low = torch.rand(count, 2, generator=generator) * extent
    high = torch.minimum(low + largest_px * torch.rand(count, 2, generator=generator), extent)
    coarse = 4 * torch.randn(count, 1, 4, 4, generator=generator)
    masks = torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear")[:, 0]
    scores = torch.rand(count, generator=generator).sort(descending=True).values
    return Detections(torch.cat((low, high), dim=1), scores, torch.randint(0, 8, (count,), generator=generator), masks)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("contain_instances", [True, False])
@pytest.mark.parametrize("offset", [0.0, -3.0])  # -3: many pixels with negative stuff logits
def test_fusion_of_many_overlapping_instances(device: str, contain_instances: bool, offset: float) -> None:
    size = (150, 200)
    logits = 2 * torch.randn(19, 40, 56, generator=torch.Generator().manual_seed(3)) + offset
    detections = random_detections(60, size, 4)
    detections.boxes[7, 2] = detections.boxes[7, 0]  # a box without width
    test = TestConfig(min_stuff_area=0, contain_instances=contain_instances)
    visit = batched_visit(
        *(logits.to(device), Detections(*(field.to(device) for field in detections))),
        torch.ones(60, dtype=torch.bool, device=device),
        stride=4, size=size, num_stuff=11, test=test,
    )  # fmt: skip
    expected = to_prediction(
        PanopticFusion(11)(logits, detections, test, stride=4, size=size), ClassTable.unnamed(11, 8)
    )
    assert visit.is_exact
    code = visit.code.cpu().numpy()
    instance = np.where(code > 11, code - 12, -1)
    # The segments are numbered by their order; a stuff segment's class is its code.
    numbers = {int(i): n for n, i in enumerate(np.unique(instance[instance >= 0]), start=1)}
    for i, number in numbers.items():
        assert ((instance == i) == (expected.segment_map == number)).all()
    assert len(numbers) == sum(segment.is_thing for segment in expected.segments)
    assert len(numbers) > 20
    np.testing.assert_array_equal(code[code < 11], expected.semantic_map[code < 11])


class OperatorCount(TorchDispatchMode):
    """Counts the operators that are called, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.name()] += 1
        return func(*args, **(kwargs or {}))


# Operators that wait for the device, because their result is a number or has a shape that depends on the data.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "unique", "torchvision::nms")


@pytest.mark.usefixtures("many_places")
def test_the_operators_do_not_depend_on_the_number_of_instances(tiny: EfficientPS) -> None:
    dense = dense_of(tiny)
    calls, instances = [], []
    (everything,) = fused(tiny, dense, batched=False, overlap_threshold=1.0)
    assert everything
    scores = sorted(segment.score for segment in everything.segments if segment.is_thing)
    for score_threshold in (1.0, scores[-10], 0.5):
        with OperatorCount() as count:
            (prediction,) = fused(tiny, dense, batched=True, score_threshold=score_threshold, overlap_threshold=1.0)
        calls.append(count.calls)
        assert prediction is not None
        instances.append(sum(segment.is_thing for segment in prediction.segments))
    assert instances[0] == 0
    assert 0 < instances[1] < instances[2] / 3  # the numbers depend on the rounding of the processor
    assert calls[0] == calls[1] == calls[2]
    assert not [name for name in calls[0] if any(waiting in name for waiting in WAITING)]
    assert calls[0].total() < 2500  # views included


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_nothing_waits_for_the_gpu(precision: str) -> None:
    """From the image to the prediction, the only synchronisation is the explicit one at the end."""
    segmenter = PanopticSegmenter("demo", device="cuda", precision=precision, backend="torch")
    image = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    expected = segmenter(image)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = segmenter([image, image], with_confidence=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all((prediction.segment_map == expected.segment_map).mean() > 0.98 for prediction in found)


@pytest.mark.gpu
def test_the_gpu_predicts_what_the_cpu_predicts(tiny: EfficientPS) -> None:
    dense = dense_of(tiny, batch=2)
    on_gpu = DenseOutputs(*(move(part) for part in dense))
    expected = fused(tiny, dense, batched=False)
    found = fused(tiny.fold_norms().cuda(), on_gpu, batched=True)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        assert theirs is not None
        assert (ours.segment_map == theirs.segment_map).mean() > 0.999


def move(part: Tensor | list[Tensor]) -> Any:
    return part.cuda() if isinstance(part, Tensor) else [tensor.cuda() for tensor in part]
