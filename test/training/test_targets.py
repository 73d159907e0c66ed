# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Which boxes are learnt from, and what: cases small enough to check on paper."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("mmdet")

from opendr_panoptic_ros.network.boxes import decode_boxes
from opendr_panoptic_ros.training.data import Truth
from opendr_panoptic_ros.training.targets import BoxTargets, mask_targets

pytestmark = pytest.mark.train

STDS = (0.1, 0.1, 0.2, 0.2)


def truth(boxes, *, crowds=(), seed=0) -> Truth:
    return Truth(
        semantic=torch.zeros(32, 32, dtype=torch.uint8),
        instances=torch.zeros(32, 32, dtype=torch.int16),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        crowd_boxes=torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
        seed=seed,
    )


def targets(**changes) -> BoxTargets:
    settings = {"positive_iou": 0.5, "negative_iou": 0.5, "keep_best": False, "num": 4, "positive_fraction": 0.5}
    return BoxTargets(**{**settings, "add_truth": False, "stds": STDS, **changes})


def test_overlap_counts_the_last_pixel():
    # 4 pixels wide in truth, the candidate 2: IoU 2/4. Without the +1 it would be 1/4.
    found = targets().sample(torch.tensor([[0.0, 0, 1, 3]]), truth([[0, 0, 4, 4]]), stream=0)
    assert found.instances.tolist() == [0]
    assert found.boxes.tolist() == [[0, 0, 1, 3]]


def test_between_the_thresholds_is_neither():
    candidates = torch.tensor([[0.0, 0, 3, 3], [0, 0, 1, 3], [10, 10, 13, 13]])  # IoU 1, 0.5, 0
    found = targets(positive_iou=0.7, negative_iou=0.3).sample(candidates, truth([[0, 0, 4, 4]]), stream=0)
    assert found.indices.tolist() == [0, 2]
    assert found.instances.tolist() == [0]


def test_an_instance_keeps_its_best_anchor_where_that_is_asked_for():
    candidates = torch.tensor([[0.0, 0, 1, 3], [10, 10, 13, 13]])  # IoU 0.5, 0
    rpn = targets(positive_iou=0.7, negative_iou=0.3, keep_best=True)
    found = rpn.sample(candidates, truth([[0, 0, 4, 4]]), stream=0)
    assert (found.indices.tolist(), found.instances.tolist()) == ([0, 1], [0])


def test_truth_is_a_candidate_of_the_box_head():
    found = targets(add_truth=True).sample(torch.tensor([[10.0, 10, 13, 13]]), truth([[0, 0, 4, 4]]), stream=0)
    assert found.boxes.tolist() == [[0, 0, 3, 3], [10, 10, 13, 13]]
    assert found.instances.tolist() == [0]


@pytest.mark.parametrize("boxes", [[], [[0, 0, 4, 4]]], ids=["no instance", "an instance"])
def test_candidates_in_a_crowd_are_left_out(boxes):
    candidates = torch.tensor([[20.0, 20, 23, 23], [20, 8, 23, 11], [10, 10, 13, 13]])
    found = targets().sample(candidates, truth(boxes, crowds=[[16, 16, 32, 32]]), stream=0)
    assert found.indices.tolist() == [1, 2]  # the first lies inside


def test_a_positive_in_a_crowd_stays():
    found = targets().sample(
        torch.tensor([[20.0, 20, 23, 23]]), truth([[20, 20, 24, 24]], crowds=[[16, 16, 32, 32]]), stream=0
    )
    assert found.instances.tolist() == [0]


def test_choice_follows_from_the_seed_and_nothing_else():
    candidates = torch.arange(100.0)[:, None] + torch.tensor([0.0, 0, 3, 3])
    first = targets().sample(candidates, truth([]), stream=0)
    torch.rand(7)
    assert targets().sample(candidates, truth([]), stream=0).indices.tolist() == first.indices.tolist()
    assert targets().sample(candidates, truth([]), stream=1).indices.tolist() != first.indices.tolist()
    assert targets().sample(candidates, truth([], seed=5), stream=0).indices.tolist() != first.indices.tolist()
    assert len(first.indices) == 4


def test_decoding_the_deltas_gives_the_truth():
    boxes = torch.tensor([[2.0, 3, 9, 12], [0, 0, 5, 5]])
    wanted = torch.tensor([[1.0, 4, 11, 14], [0, 1, 8, 6]])  # half-open
    deltas = targets().deltas(boxes, wanted)
    decoded = decode_boxes(boxes, deltas, STDS, (32, 32))
    assert decoded.tolist() == [pytest.approx([1, 4, 11, 14]), pytest.approx([0, 1, 8, 6])]


def test_mask_cells_divide_the_box():
    instances = torch.zeros(8, 8, dtype=torch.int16)
    instances[2:4, 2:6] = 2  # instance 1, the upper half of the box 2..6
    instances[4:6, 2:6] = 1
    found = mask_targets(instances, torch.tensor([1, 0]), torch.tensor([[2.0, 2, 6, 6]] * 2), 4)
    assert found[0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]
    assert found[1].tolist() == [[0] * 4, [0] * 4, [1] * 4, [1] * 4]


def test_mask_outside_the_image_repeats_its_edge_only():
    instances = torch.zeros(4, 4, dtype=torch.int16)
    instances[:, 0] = 1  # the left edge
    # Columns of 2 px: -3..-1 is outside, -1..1 is half outside and half the edge; then 1..3 and 3..5, 5..7 outside.
    found = mask_targets(instances, torch.tensor([0]), torch.tensor([[-3.0, -3, 7, 7]]), 5)
    assert found[0].tolist() == [[1, 1, 0, 0, 0]] * 5
    instances[:] = 0
    instances[1, 1] = 1  # inside, at no edge: nothing of it is repeated
    found = mask_targets(instances, torch.tensor([0]), torch.tensor([[-3.0, -3, 7, 7]]), 10)
    assert found[0].nonzero().tolist() == [[4, 4]]
