# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Compares the whole network, stage by stage, with recorded values of the published one.

It runs with the norms as trained, and with folded norms and its dense part in every back end for float32. The limits
are those of test/data/README.md. Each stage gets our own output of the stage before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.open_backend import DensePart, float32_backends, open_float32
from torch import Tensor

from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS
from opendr_panoptic_ros.network.fusion import Visit, visit_instances
from opendr_panoptic_ros.network.predictions import to_prediction
from opendr_panoptic_ros.network.roi_heads import Detections, roi_features

pytestmark = pytest.mark.golden

SAMPLE_STEP = (8, 4, 2, 1)  # of each level's stored sample


@dataclass
class Run:
    """Recorded values, and the outputs of all stages of our network."""

    golden: Any
    size: tuple[int, int]
    x: Tensor
    backbone: list[Tensor]
    fpn: list[Tensor]
    rpn_cls: list[Tensor]
    rpn_reg: list[Tensor]
    semantic_stride4: Tensor
    semantic: Tensor
    proposals: Tensor
    proposal_scores: Tensor
    network: EfficientPS
    dense: DenseOutputs
    detections: Detections
    visit: Visit
    test: TestConfig


@pytest.fixture(scope="module", params=["as trained", *float32_backends()])
def way(request: pytest.FixtureRequest) -> str:
    """How the dense part is computed: in torch with the norms as trained, or in a back end."""
    return str(request.param)


@pytest.fixture(scope="module")
def network(way: str, golden_checkpoint: Path) -> EfficientPS:
    trained = load_checkpoint(golden_checkpoint)
    return trained if way == "as trained" else trained.fold_norms()


@pytest.fixture(scope="module")
def dense_part(way: str, network: EfficientPS, tmp_path_factory: pytest.TempPathFactory) -> DensePart:
    return network if way == "as trained" else open_float32(network, way, tmp_path_factory.mktemp("builds"))


@pytest.fixture(scope="module", params=["256x512", "384x1280"])
def run(request: pytest.FixtureRequest, network: EfficientPS, dense_part: DensePart, make_checkpoint: Any) -> Run:
    golden = np.load(Path(__file__).parents[1] / "data" / f"golden_seed19_{request.param}.npz")
    size = int(golden["height"]), int(golden["width"])
    image = torch.from_numpy(make_checkpoint.make_image(19, *size)).permute(2, 0, 1).float()
    model = network.config.model
    mean, std = (torch.tensor(values)[:, None, None] for values in (model.pixel_mean, model.pixel_std))
    with torch.inference_mode():
        x = ((image - mean) / std)[None]
        backbone = network.backbone(x)
        dense = dense_part(x.contiguous(memory_format=torch.channels_last))
        fpn, rpn_cls, rpn_reg = dense.fpn, dense.objectness, dense.deltas
        test = replace(network.config.test, contain_instances=False)
        (proposals,), (scores,) = network.rpn.proposals(rpn_cls, rpn_reg, size, test)
        (detections,) = network.roi_heads(fpn, [proposals], size, test)
        semantic = network.semantic_head.enlarge(dense.semantic_logits)[0]
        return Run(
            golden, size, x, backbone, fpn, rpn_cls, rpn_reg, dense.semantic_logits[0], semantic,
            proposals, scores, network, dense, detections,
            visit_instances(semantic, detections, num_stuff=network.config.model.num_stuff, test=test), test,
        )  # fmt: skip


def assert_within(got: Tensor | np.ndarray, expected: np.ndarray, limit: float, std: float | None = None) -> None:
    """Assert that every value is within `limit` standard deviations of the recorded tensor (absolute if std is 1)."""
    difference = np.abs(np.asarray(got, np.float64) - expected).max(initial=0)
    assert difference <= limit * (expected.std() if std is None else std)


def test_weights_are_the_recorded_ones(run: Run, golden_state_dict: dict[str, Tensor], make_checkpoint: Any) -> None:
    # NumPy before 2.3 adds in another order: one weight, of bbox_head.shared_fcs.0, differs by 1.7e-18.
    before_2_3 = "32abc5dfd18c07f08fa78a98fae12bfee2b0b4fc3e46f468ef041b3098865196"
    expected = str(run.golden["weights_sha256"]) if np.lib.NumpyVersion(np.__version__) >= "2.3.0" else before_2_3
    assert make_checkpoint.state_dict_digest(golden_state_dict) == expected


def test_input(run: Run) -> None:
    assert_within(run.x[0, :, ::16, ::16], run.golden["input_sample"], 1e-6, 1)


@pytest.mark.parametrize("stage", ["backbone", "fpn", "rpn_cls", "rpn_reg"])
def test_feature_maps(run: Run, stage: str) -> None:
    for level, feature in enumerate(getattr(run, stage)):
        recorded = f"{stage}{level}"
        assert list(feature.shape[1:]) == run.golden[f"{recorded}_shape"].tolist()
        std, step = float(run.golden[f"{recorded}_std"]), SAMPLE_STEP[level]
        assert_within(feature[0, :8, ::step, ::step], run.golden[f"{recorded}_sample"], 1e-4, std)
        assert_within(feature[0].mean(dim=(1, 2)), run.golden[f"{recorded}_channel_mean"], 1e-4, std)
        assert_within(feature[0].std(dim=(1, 2), correction=0), run.golden[f"{recorded}_channel_std"], 1e-4, std)


def test_semantic_logits(run: Run) -> None:
    assert_within(run.semantic_stride4, run.golden["semantic_stride4"], 1e-4)
    assert_within(run.semantic[:, ::8, ::8], run.golden["semantic_full_sub8"], 1e-4)
    assert not (differs(run.semantic.argmax(dim=0), run.golden["semantic_argmax"]) & ~ambiguous(run)).any()


def test_proposals(run: Run) -> None:
    assert len(run.proposals) == run.golden["num_proposals"]
    assert_within(run.proposal_scores[:100], run.golden["proposal_scores"], 1e-5, 1)
    # Proposals of nearly equal scores may be in another order, so each is matched by its box.
    distance = np.abs(run.golden["proposals"][:, None] - run.proposals[None, :110].numpy()).max(axis=2)
    assert distance.min(axis=1).max() <= 0.01


def test_box_head(run: Run) -> None:
    recorded = torch.from_numpy(run.golden["proposals"])
    with torch.inference_mode():
        features = roi_features(run.fpn, torch.nn.functional.pad(recorded, (1, 0)), 7)
        class_logits, deltas = run.network.roi_heads.box(features)
    assert_within(features[:16, :4], run.golden["roi_features_sample"], 1e-3)
    assert_within(features.mean(dim=(1, 2, 3)), run.golden["roi_features_mean"], 1e-3)
    assert_within(class_logits, run.golden["roi_cls_logits"], 1e-3)
    assert_within(deltas, run.golden["roi_deltas"], 1e-3)


def test_detections(run: Run) -> None:
    np.testing.assert_array_equal(run.detections.labels, run.golden["labels"])
    assert_within(run.detections.boxes, run.golden["boxes"], 0.01, 1)
    assert_within(run.detections.scores, run.golden["scores"], 1e-4, 1)


def test_masks(run: Run) -> None:
    with torch.inference_mode():
        features = roi_features(run.fpn, torch.nn.functional.pad(run.detections.boxes[:8], (1, 0)), 14)
    assert_within(features[:, :4], run.golden["mask_features_sample"], 1e-3)
    assert_within(run.detections.mask_logits, run.golden["mask_logits"], 1e-3)


def test_visits(run: Run) -> None:
    np.testing.assert_array_equal(run.visit.order, run.golden["fusion_order"])
    np.testing.assert_array_equal(run.visit.kept, run.golden["fusion_kept"].astype(bool))
    assert_within(run.visit.area, run.golden["fusion_area"], 3, 1)
    assert_within(run.visit.intersection, run.golden["fusion_intersection"], 3, 1)


def test_panoptic_map(run: Run) -> None:
    with torch.inference_mode():
        fused = run.network.fusion(run.semantic, run.detections, run.test)
        (predicted,) = run.network.fuse(run.dense, run.size, run.test, classes=run.network.config.classes)
    assert [255, *fused.class_ids] == run.golden["categories"].tolist()
    assert not (differs(fused.segment_map, run.golden["panoptic"]) & ~ambiguous(run)).any()
    assert not (differs(predicted.segment_map, run.golden["panoptic"]) & ~ambiguous(run)).any()
    whole = to_prediction(fused, run.network.config.classes)
    # The logits are enlarged as a whole in one and in groups of cells in the other: rounding decides single pixels.
    assert [(s.id, s.class_id) for s in whole.segments] == [(s.id, s.class_id) for s in predicted.segments]
    assert_within(
        np.array([s.area_px for s in predicted.segments]), np.array([s.area_px for s in whole.segments]), 3, 1
    )


def ambiguous(run: Run) -> np.ndarray:
    """Return the pixels whose two best candidates are so close that rounding decides."""
    return np.unpackbits(run.golden["ambiguous"], axis=1)[:, : run.size[1]].astype(bool)


def differs(got: Tensor | np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.asarray(got) != expected
