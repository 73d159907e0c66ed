# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tests of the network: configurations, folding, prediction of padded batches, and the fusion of small maps."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from support.random_weights import seed_weights_

from opendr_panoptic_ros.config import Config, ModelConfig, TestConfig
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.backbone import Backbone
from opendr_panoptic_ros.network.fusion import FusedMap, PanopticFusion, segment_probability
from opendr_panoptic_ros.network.layers import Norm
from opendr_panoptic_ros.network.predictions import to_prediction
from opendr_panoptic_ros.network.roi_heads import Detections

TINY = ModelConfig(backbone_width=0.35, backbone_depth=1.0, fpn_channels=16, semantic_channels=8, box_head_width=16)


@pytest.fixture(scope="module")
def tiny() -> EfficientPS:
    network = EfficientPS(TINY).eval()
    seed_weights_(network, 3)
    return network


@pytest.mark.parametrize(
    ("width", "depth", "channels", "blocks"),
    [
        (1.0, 1.0, (24, 40, 112, 1280), [1, 2, 2, 3, 3, 4, 1]),  # B0
        (1.6, 2.2, (40, 64, 176, 2048), [3, 5, 5, 7, 7, 9, 3]),  # B5
        (2.0, 3.1, (48, 80, 224, 2560), [4, 7, 7, 10, 10, 13, 4]),  # B7
    ],
)
def test_backbone_variants(width: float, depth: float, channels: tuple[int, ...], blocks: list[int]) -> None:
    with torch.device("meta"):
        backbone = Backbone(width=width, depth=depth)
        maps = backbone(torch.zeros(1, 3, 64, 96))
    assert backbone.out_channels == channels
    assert [len(list(stage.children())) for stage in backbone.blocks] == blocks
    assert [tuple(m.shape) for m in maps] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def test_everything_is_a_config() -> None:
    model = dataclasses.replace(TINY, num_stuff=2, num_things=3, anchor_scale=2.5, backbone_width=0.5)
    network = EfficientPS(model).eval()
    fpn = network.neck(network.backbone(torch.zeros(1, 3, 64, 64)))
    assert {f.shape[1] for f in fpn} == {16}
    assert network.semantic_head(fpn).shape == (1, 5, 64, 64)
    assert network.roi_heads.box.fc_cls.out_features == 4
    assert network.config.classes.names == ("stuff 1", "stuff 2", "thing 1", "thing 2", "thing 3")


def test_folded_network_is_equal_and_has_no_norms(tiny: EfficientPS) -> None:
    network = EfficientPS.from_config(tiny.config)
    network.load_state_dict(tiny.state_dict())
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, Norm):  # statistics and both signs, as in trained weights
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(-1.4, 1.4, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    network.eval()
    folded = network.fold_norms()
    assert not any(isinstance(module, Norm) for module in folded.modules())
    assert any(isinstance(module, Norm) for module in network.modules())
    x = torch.randn(2, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        for ours, theirs in zip(network.neck(network.backbone(x)), folded.neck(folded.backbone(x)), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4 * float(ours.std()))
    assert folded.fold_norms() is not folded  # folding what is folded changes nothing


def test_predict_sizes_of_a_padded_batch(tiny: EfficientPS) -> None:
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    predictions = tiny.predict(x, image_size=(50, 90), output_size=(25, 181), min_stuff_area=0)
    assert [p.shape for p in predictions] == [(25, 181)] * 2
    assert tiny.predict(x)[0].shape == (64, 96)


def test_padding_does_not_count(tiny: EfficientPS) -> None:
    """Logits in the padding do not reach the map: boxes are clipped, and the padding is cut off."""
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for segment in tiny.predict(x, image_size=(50, 90), min_stuff_area=0, score_threshold=0.2)[0].segments:
        x1, y1, x2, y2 = segment.box_xyxy_px
        assert 0 <= x1 < x2 <= 90
        assert 0 <= y1 < y2 <= 50


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 60, 64), (1, 3, 0, 64), (0, 3, 64, 64)])
def test_wrong_shapes(tiny: EfficientPS, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        tiny.predict(torch.zeros(shape))


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        EfficientPS(TINY).train().predict(torch.zeros(1, 3, 32, 32))


def test_thresholds_out_of_range(tiny: EfficientPS) -> None:
    with pytest.raises(ValueError, match="score_threshold"):
        tiny.predict(torch.zeros(1, 3, 32, 32), score_threshold=2.0)


def test_predict_and_configuration_decide_about_containment(tiny: EfficientPS) -> None:
    """Where all logits are negative, the published rule gives an instance the whole image around its box."""
    network = copy.deepcopy(tiny)
    with torch.no_grad():
        for parameter in network.semantic_head.conv_logits.parameters():
            parameter.sub_(100 * (parameter.ndim == 1))  # the bias
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    published, contained = (network.predict(x, contain_instances=c, score_threshold=0.2)[0] for c in (False, True))
    assert (published.segment_map != contained.segment_map).any()
    assert (network.predict(x, score_threshold=0.2)[0].segment_map == contained.segment_map).all()
    network = network.with_config(Config.from_dict(tiny.config.to_dict() | {"test": {"contain_instances": False}}))
    assert (network.predict(x, score_threshold=0.2)[0].segment_map == published.segment_map).all()


def square(
    x1: float, y1: float, x2: float, y2: float, score: float, logit: float = 10.0
) -> tuple[list[float], float, float]:
    return [x1, y1, x2, y2], score, logit


def fuse(things: list[tuple[list[float], float, float]], **settings: Any) -> FusedMap:
    """Fuse detections on 8×8 pixels with logits of 1 for the stuff class and 0 for the thing class everywhere."""
    semantic = torch.zeros(2, 8, 8)
    semantic[0] = 1
    detections = Detections(
        torch.tensor([box for box, _, _ in things]).reshape(-1, 4),
        torch.tensor([score for _, score, _ in things]),
        torch.zeros(len(things), dtype=torch.int64),
        torch.tensor([logit for _, _, logit in things]).reshape(-1, 1, 1).expand(-1, 28, 28),
    )
    return PanopticFusion(1)(semantic, detections, dataclasses.replace(TestConfig(min_stuff_area=0), **settings))


def test_one_square_on_stuff() -> None:
    fused = fuse([square(2, 2, 6, 6, 0.9)])
    expected = np.full((8, 8), 2)
    expected[2:6, 2:6] = 1
    np.testing.assert_array_equal(fused.segment_map, expected)
    assert fused.class_ids == [1, 0]
    assert fused.scores[0] == pytest.approx(0.9)
    assert math.isnan(fused.scores[1])


def test_the_better_of_two_equal_squares_stays() -> None:
    fused = fuse([square(2, 2, 6, 6, 0.6), square(2, 2, 6, 6, 0.9)])
    assert fused.class_ids == [1, 0]
    assert fused.scores[0] == pytest.approx(0.9)


def test_overlap_threshold_decides_about_the_second() -> None:
    """Boxes 2–6 and 4–8 share half of the second one's 16 pixels: skipped only above the threshold."""
    things = [square(2, 2, 6, 6, 0.9), square(4, 2, 8, 6, 0.8)]
    assert fuse(things, overlap_threshold=0.5).class_ids == [1, 1, 0]
    assert fuse(things, overlap_threshold=0.49).class_ids == [1, 0]


def fuse_on(semantic: torch.Tensor, box: list[float], *, contain_instances: bool) -> list[list[int]]:
    """Fuse one detection, whose mask logits are all 10, with the semantic logits `(2, H, W)`; void 0, thing 1."""
    detections = Detections(
        torch.tensor([box]), torch.tensor([0.9]), torch.zeros(1).long(), torch.full((1, 28, 28), 10.0)
    )
    test = TestConfig(min_stuff_area=0, contain_instances=contain_instances)
    fused = PanopticFusion(1)(semantic, detections, test)
    return fused.segment_map.tolist()


@pytest.mark.parametrize(("thing_logit", "outside"), [(0.0, 0), (-2.0, 2)])
def test_pixels_with_negative_stuff_logits(thing_logit: float, outside: int) -> None:
    """The published rule gives all of them to the instance; contained, they follow the best of all classes."""
    semantic = torch.full((2, 8, 8), -1.0)
    semantic[1] = thing_logit
    assert fuse_on(semantic, [2.4, 2.0, 5.6, 6.0], contain_instances=False) == [[1] * 8] * 8
    expected = np.full((8, 8), outside)
    expected[2:6, 2:6] = 1
    assert fuse_on(semantic, [2.4, 2.0, 5.6, 6.0], contain_instances=True) == expected.tolist()


def test_a_mask_ends_where_its_box_ends() -> None:
    """The mask of a box 56 px wide has cells of 2 px, and half a cell of it lies outside."""
    semantic = torch.ones(2, 64, 64)
    semantic[1] = 0
    for contain_instances, (start, stop) in ((False, (3, 61)), (True, (4, 60))):
        expected = np.full((64, 64), 2)
        expected[start:stop, start:stop] = 1
        assert fuse_on(semantic, [4.0, 4.0, 60.0, 60.0], contain_instances=contain_instances) == expected.tolist()


def test_a_box_clipped_at_the_last_pixel_reaches_the_edge_of_the_image() -> None:
    """Boxes end at their last pixel: 63 is the last one of 64."""
    semantic = torch.ones(2, 64, 64)
    semantic[1] = 0
    assert np.array(fuse_on(semantic, [0.0, 0.0, 63.0, 63.0], contain_instances=True)).min() == 1


def test_contained_instances_lie_in_their_boxes() -> None:
    generator = torch.Generator().manual_seed(4)
    semantic = torch.randn(3, 60, 90, generator=generator)
    corners = torch.rand(12, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([88.9, 58.9])
    detections = Detections(
        corners.flatten(1),
        torch.rand(12, generator=generator),
        torch.randint(0, 2, (12,), generator=generator),
        4 * torch.randn(12, 28, 28, generator=generator),
    )
    fusion, classes = PanopticFusion(1), ClassTable.unnamed(1, 2)
    outside = {}
    for contain_instances in (True, False):
        test = TestConfig(min_stuff_area=0, overlap_threshold=1.0, contain_instances=contain_instances)
        prediction = to_prediction(fusion(semantic, detections, test), classes)
        box_of = {round(score, 5): box for score, box in zip(*(t.tolist() for t in detections[1::-1]), strict=True)}
        things = [segment for segment in prediction.segments if segment.is_thing]
        assert len(things) > 8
        outside[contain_instances] = 0
        for thing in things:
            (x1, y1, x2, y2), box = thing.box_xyxy_px, box_of[round(thing.score, 5)]
            inside = math.floor(box[0]) <= x1 < x2 <= math.ceil(box[2]) and math.floor(box[1]) <= y1 < y2 <= math.ceil(
                box[3]
            )
            outside[contain_instances] += not inside
    assert outside[True] == 0
    assert outside[False] > 0


def test_small_stuff_becomes_void() -> None:
    assert fuse([square(0, 0, 8, 7, 0.9)], min_stuff_area=9).class_ids == [1]  # 8 pixels of stuff remain
    assert fuse([square(0, 0, 8, 7, 0.9)], min_stuff_area=8).class_ids == [1, 0]


def test_stuff_pixels_whose_class_is_a_thing_are_void() -> None:
    semantic = torch.zeros(2, 1, 2)
    semantic[:, 0, 0] = torch.tensor([1.0, 0.0])
    semantic[:, 0, 1] = torch.tensor([1.0, 2.0])  # the thing class has the larger logit, but there is no detection
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 28, 28))
    fused = PanopticFusion(1)(semantic, none, TestConfig(min_stuff_area=0))
    assert fused.segment_map.tolist() == [[1, 0]]


def test_flat_boxes_are_dropped() -> None:
    fused = fuse([square(2, 2, 2, 6, 0.9), square(2, 5, 6, 5, 0.8), square(2, 2, 6, 6, 0.7)])
    assert fused.class_ids == [1, 0]
    assert fused.scores[0] == pytest.approx(0.7)


def test_to_prediction_at_another_size() -> None:
    """A 2×4 map at twice its size, and at half its width, where segments 1 and 3 have no pixel."""
    fused = FusedMap(torch.tensor([[1, 2, 1, 2], [3, 2, 3, 2]], dtype=torch.int32), [11, 12, 0], [0.9, 0.8, math.nan])
    config = Config()
    large = to_prediction(fused, config.classes, (4, 8))
    np.testing.assert_array_equal(large.segment_map, fused.segment_map.numpy().repeat(2, 0).repeat(2, 1))
    assert [s.area_px for s in large.segments] == [8, 16, 8]
    assert large.segments[0].box_xyxy_px == (0, 0, 6, 2)
    small = to_prediction(fused, config.classes, (2, 2))
    assert small.segment_map.tolist() == [[2, 2], [2, 2]]
    assert [s.id for s in small.segments] == [2]


def test_probability_of_segments_on_paper() -> None:
    """Two stuff classes with logits (ln 3, 0) have probabilities 3/4 and 1/4; a segment of a thing reads its class."""
    logits = torch.zeros(3, 2, 2)
    logits[0] = math.log(3)
    logits[2] = -math.inf
    segment_map = torch.tensor([[1, 2], [0, 3]], dtype=torch.int32)
    probability = segment_probability(logits, segment_map, [0, 1, 2])
    assert probability.dtype == torch.uint8
    assert probability.tolist() == [[191, 64], [0, 0]]  # 255 · 3/4 = 191.25, 255 / 4 = 63.75


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_probability_in_groups_of_rows(device: str) -> None:
    logits = torch.randn(5, 301, 700, generator=torch.Generator().manual_seed(0)).to(device)
    segment_map = torch.randint(0, 6, (301, 700), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    class_ids = [4, 0, 2, 1, 3]
    found = segment_probability(logits, segment_map.to(device), class_ids).cpu()
    whole = logits.softmax(dim=0).cpu()
    own = whole.gather(0, torch.tensor([0, *class_ids])[segment_map.long()][None])[0]
    expected = (255 * own).masked_fill(segment_map == 0, 0)
    assert ((found.float() - expected).abs() <= 0.5 + 1e-3).all()


def test_the_probability_has_the_size_of_the_prediction() -> None:
    ids = torch.tensor([[1, 2], [1, 0]], dtype=torch.int32)
    fused = FusedMap(ids, [0, 11], [math.nan, 0.5], torch.tensor([[10, 20], [30, 40]], dtype=torch.uint8))
    prediction = to_prediction(fused, CITYSCAPES, (4, 4))
    assert prediction.confidence_map.tolist() == [[10, 10, 128, 128]] * 2 + [[30, 30, 0, 0]] * 2
