# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Each loss on cases that can be checked on paper, and all of them together on the network."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("mmdet")

from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.data import Truth, training_loader
from opendr_panoptic_ros.training.initialisation import initialise_weights_
from opendr_panoptic_ros.training.losses import box_losses, mask_loss, rpn_losses, semantic_loss
from opendr_panoptic_ros.training.model import TrainableEfficientPS
from opendr_panoptic_ros.training.targets import BoxTargets, Sampled

pytestmark = pytest.mark.train

TARGETS = BoxTargets(
    positive_iou=0.5,
    negative_iou=0.5,
    keep_best=False,
    num=4,
    positive_fraction=0.5,
    add_truth=False,
    stds=(1, 1, 1, 1),
)
LOSSES = {"loss_semantic", "loss_rpn_object", "loss_rpn_box", "loss_class", "loss_box", "loss_mask"}


def truth(semantic=None, instances=None, boxes=(), labels=()) -> Truth:
    return Truth(
        semantic=torch.tensor(semantic if semantic is not None else [[0]], dtype=torch.uint8),
        instances=torch.tensor(instances if instances is not None else [[0]], dtype=torch.int16),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        crowd_boxes=torch.zeros(0, 4),
        seed=0,
    )


def sampled(boxes, instances) -> Sampled:
    return Sampled(torch.arange(len(boxes)), torch.tensor(boxes, dtype=torch.float32), torch.tensor(instances))


def test_semantic_loss_counts_the_worst_quarter_of_each_image():
    # Two classes, eight pixels: two count. Logit differences d give log(1 + exp(-d)).
    differences = torch.tensor([[5.0, -1, 5, 5], [0, 5, 5, 5]])
    logits = torch.stack((differences, torch.zeros(2, 4)))[None]
    expected = (math.log(1 + math.e) + math.log(2)) / 2
    assert float(semantic_loss(logits, [truth([[0] * 4] * 2)])) == pytest.approx(expected)
    # The same pixels void: the next worst count, and of a void image nothing does.
    found = semantic_loss(logits, [truth([[0, 255, 0, 0], [255, 0, 0, 0]])])
    assert float(found) == pytest.approx(math.log(1 + math.exp(-5)))
    assert float(semantic_loss(logits, [truth([[255] * 4] * 2)])) == 0


def test_rpn_losses_are_means_over_the_chosen_anchors():
    objectness = torch.tensor([[0.0, 2.0, 9.0]])
    deltas = torch.zeros(1, 3, 4)
    # One positive, one negative; the truth is the anchor moved by a tenth of its width: dx 0.1, below beta 1/9.
    chosen = [sampled([[0, 0, 9, 9], [20, 20, 29, 29]], [0])]
    objects, boxes = rpn_losses(objectness, deltas, chosen, [truth(boxes=[[1, 0, 10, 9]], labels=[0])], TARGETS)
    assert float(objects) == pytest.approx((math.log(2) + math.log(1 + math.e**2)) / 2)
    assert float(boxes) == pytest.approx(0.5 * 0.1**2 / (1 / 9) / 2)


def test_box_losses_use_column_0_for_background_and_the_class_own_deltas():
    class_logits = torch.tensor([[0.0, 0, 3], [4, 0, 0]])
    deltas = torch.zeros(2, 12)
    deltas[0, 8:] = torch.tensor([2.0, 0, 0, 0])  # class 1 predicts dx 2; the truth is dx 0.1
    deltas[0, :8] = 99
    chosen = [sampled([[0, 0, 9, 9], [20, 20, 29, 29]], [0])]
    classes, boxes = box_losses(class_logits, deltas, chosen, [truth(boxes=[[1, 0, 10, 9]], labels=[1])], TARGETS)
    expected = F.cross_entropy(class_logits, torch.tensor([2, 0]))
    assert float(classes) == pytest.approx(float(expected))
    assert float(boxes) == pytest.approx((1.9 - 0.5) / 2)


def test_mask_loss_looks_at_the_channel_of_the_class():
    logits = torch.full((1, 3, 2, 2), 50.0)
    logits[0, 2] = torch.tensor([[0.0, 0], [0, 0]])
    image = truth(instances=[[1, 1], [0, 0]], boxes=[[0, 0, 2, 2]], labels=[1])
    found = mask_loss(logits, [sampled([[0, 0, 2, 2]], [0])], [image])
    assert float(found) == pytest.approx(math.log(2))
    logits[0, 2] = torch.tensor([[50.0, 50], [-50, -50]])
    assert float(mask_loss(logits, [sampled([[0, 0, 2, 2]], [0])], [image])) == pytest.approx(0, abs=1e-6)


def test_losses_of_nothing_are_zero():
    # A crowd over the whole crop: no anchor and no RoI is positive or negative.
    nothing = torch.zeros(0, dtype=torch.int64)
    none, image = Sampled(nothing, torch.zeros(0, 4), nothing), truth()
    rpn = rpn_losses(torch.zeros(1, 3), torch.zeros(1, 3, 4), [none], [image], TARGETS)
    head = box_losses(torch.zeros(0, 3), torch.zeros(0, 12), [none], [image], TARGETS)
    mask = mask_loss(torch.zeros(0, 3, 2, 2), [none], [image])
    assert [float(loss) for loss in (*rpn, *head, mask)] == [0] * 5


def model_of(config) -> TrainableEfficientPS:
    network = EfficientPS.from_config(config)
    initialise_weights_(network, seed=0)
    return TrainableEfficientPS(network).train()


def batch_of(scenes, config):
    return next(iter(training_loader(scenes, config, seed=0, num_workers=0)))


@pytest.mark.parametrize("scenes", [{}, {"crowds": True}, {"things": False}], ids=["things", "a crowd", "no things"])
def test_every_weight_gets_a_gradient(config, toy_scenes, scenes):
    model = model_of(config)
    losses = model(**batch_of(toy_scenes(2, **scenes), config))
    assert losses.keys() == LOSSES
    torch.stack(list(losses.values())).sum().backward()
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert missing == []
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    if scenes.get("things", True):
        zero = [name for name, weight in model.named_parameters() if not weight.grad.any()]
        assert zero == []


def test_a_crowd_over_the_whole_crop_can_be_trained_on(config, toy_scenes):
    model = model_of(config)
    batch = batch_of(toy_scenes(2, things=False), config)
    crowd = torch.tensor([[0.0, 0, 128, 64]])
    batch["truths"] = [truth._replace(crowd_boxes=crowd) for truth in batch["truths"]]
    losses = model(**batch)
    assert all(loss.isfinite() for loss in losses.values()), losses
    torch.stack(list(losses.values())).sum().backward()
    assert [
        n for n, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()
    ] == []
    assert all(value.isfinite().all() for value in model.buffers())


def test_each_loss_falls(config, toy_scenes):
    model = model_of(config)
    batch = batch_of(toy_scenes(2), config)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = []
    for _ in range(35):
        losses = model(**batch)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    for name in LOSSES:
        first, last = history[0][name], history[-1][name]
        assert last < 0.95 * first, f"{name}: {first:.4f} → {last:.4f}"


def test_the_losses_ignore_the_random_state(config, toy_scenes):
    model = model_of(config).eval()  # the norms' statistics stay
    batch = batch_of(toy_scenes(2), config)
    first = model(**batch)
    torch.manual_seed(99)
    again = model(**batch)
    assert {k: float(v.detach()) for k, v in first.items()} == {k: float(v.detach()) for k, v in again.items()}


def test_frozen_norms_keep_their_statistics(with_schedule, toy_scenes):
    config = with_schedule(freeze_norms=True)
    model = model_of(config)
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    model(**batch_of(toy_scenes(2), config))
    assert all(value.equal(before[name]) for name, value in model.named_buffers())


def test_frozen_norms_of_the_backbone_keep_their_statistics_and_others_do_not(with_schedule, toy_scenes):
    config = with_schedule(freeze_backbone_norms=True)
    model = model_of(config)
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    model(**batch_of(toy_scenes(2), config))
    changed = {name.split(".")[1] for name, value in model.named_buffers() if not value.equal(before[name])}
    assert "backbone" not in changed
    assert changed == {"neck", "semantic_head", "roi_heads"}


def test_mixed_precision_stays_near_full_precision(with_schedule, toy_scenes):
    values = []
    for precision in ("float32", "bfloat16"):
        config = with_schedule(precision=precision, freeze_norms=True)
        losses = model_of(config)(**batch_of(toy_scenes(2), config))
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        values.append(torch.stack(list(losses.values())).detach())
    assert torch.allclose(values[0], values[1], rtol=0.2, atol=0.05)


def test_it_does_not_predict(config):
    with pytest.raises(ValueError, match="PanopticSegmenter predicts"):
        model_of(config)(torch.zeros(1, 3, 64, 128), [], mode="predict")
