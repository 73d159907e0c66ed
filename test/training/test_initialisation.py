# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Where training starts: random weights, an EfficientNet's, those of another EfficientPS."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import Config, ModelConfig
from opendr_panoptic_ros.errors import CheckpointError
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.initialisation import initialise_weights_, network_for, start_from_

pytestmark = pytest.mark.train

CLASS_LAYERS = (
    "semantic_head.conv_logits",
    "roi_heads.box.fc_cls",
    "roi_heads.box.fc_reg",
    "roi_heads.mask.conv_logits",
)


@pytest.fixture
def network(config):
    network = EfficientPS.from_config(config)
    initialise_weights_(network, seed=0)
    return network


@pytest.fixture(scope="module")
def b0():
    """An EfficientPS around EfficientNet-B0, otherwise small."""
    model = ModelConfig(backbone_width=1, backbone_depth=1, fpn_channels=16, semantic_channels=16, box_head_width=16)
    return EfficientPS.from_config(Config(model=model))


def test_the_seed_decides(config):
    weights = []
    for seed in (1, 1, 2):
        network = EfficientPS.from_config(config)
        initialise_weights_(network, seed=seed)
        weights.append(network.backbone.conv_stem.weight.detach())
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_no_class_is_preferred_at_the_start(network):
    # In training mode, as the norms have seen nothing yet.
    network.requires_grad_(False)
    x = torch.randn(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    fpn = network.neck(network.backbone(x))
    assert all(0.1 < float(level.std()) < 10 for level in fpn)
    probability = network.semantic_head(fpn).softmax(dim=1)
    assert float(probability.max()) < 0.5
    objectness, _ = network.rpn(fpn)
    assert all(float((level.sigmoid() - 0.5).abs().max()) < 0.2 for level in objectness)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_efficientnet_of_torchvision(b0, tmp_path, suffix):
    from torchvision.models import efficientnet_b0

    torch.manual_seed(0)
    source = efficientnet_b0()
    path = tmp_path / f"b0{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    taken = start_from_(b0, path)
    backbone = [name for name in b0.state_dict() if name.startswith("backbone.") and "num_batches" not in name]
    assert taken.taken == len(backbone)
    assert not any(name.startswith("backbone.") for name in taken.left)
    assert str(taken).startswith(f"{len(backbone)} of {taken.total} tensors; as initialised: neck.")
    # A block of stage 1 (no widening) and of the last stage, found by their place in torchvision's network.
    assert b0.backbone.blocks[0][0].conv_pw.weight.equal(source.features[1][0].block[2][0].weight)
    assert b0.backbone.blocks[6][0].conv_dw.weight.equal(source.features[7][0].block[1][0].weight)
    assert b0.backbone.blocks[6][0].bn3.bias.equal(source.features[7][0].block[3][1].bias)
    assert b0.backbone.conv_head.weight.equal(source.features[8][0].weight)


def test_efficientnet_of_timm(b0, tmp_path):
    # timm's names: ours without the prefix, and more (squeeze-and-excite, classifier).
    names = [name for name in b0.backbone.state_dict() if "num_batches" not in name]
    source = {name: torch.full_like(b0.backbone.state_dict()[name], 0.5) for name in names}
    extra = {"blocks.0.0.se.conv_reduce.weight": torch.zeros(8, 32, 1, 1), "classifier.weight": torch.zeros(1000, 1280)}
    torch.save({**source, **extra}, tmp_path / "timm.pth")
    taken = start_from_(b0, tmp_path / "timm.pth")
    assert taken.taken == len(names)
    assert (b0.backbone.conv_stem.weight == 0.5).all()


def test_efficientnet_of_efficientnet_pytorch(b0, tmp_path):
    # Its blocks are numbered through: 1, 2, 2, 3, 3, 4 and 1 of them in the seven stages.
    ours = b0.backbone.state_dict()
    pairs = {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn0.bias": "bn1.bias",
        "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
        "_blocks.0._bn2.bias": "blocks.0.0.bn2.bias",
        "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
        "_blocks.4._bn0.bias": "blocks.2.1.bn1.bias",
        "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
        "_blocks.15._bn2.running_var": "blocks.6.0.bn3.running_var",
        "_conv_head.weight": "conv_head.weight",
        "_bn1.running_mean": "bn2.running_mean",
    }
    source = {theirs: torch.full_like(ours[name], 2.0 + i) for i, (theirs, name) in enumerate(pairs.items())}
    extra = {"_blocks.3._se_reduce.weight": torch.zeros(6, 144, 1, 1), "_fc.bias": torch.zeros(1000)}
    torch.save({**source, **extra}, tmp_path / "b0.pth")
    assert start_from_(b0, tmp_path / "b0.pth").taken == len(pairs)
    after = b0.backbone.state_dict()
    for theirs, name in pairs.items():
        assert after[name].equal(source[theirs]), name


def test_a_negative_norm_weight_becomes_a_positive_one_of_the_same_function(b0, tmp_path):
    generator = torch.Generator().manual_seed(0)
    filters, x = torch.randn(32, 3, 3, 3, generator=generator), torch.randn(1, 3, 8, 8, generator=generator)
    weight, bias = torch.randn(32, generator=generator), torch.randn(32, generator=generator)
    mean, var = torch.randn(32, generator=generator), torch.rand(32, generator=generator) + 0.5
    source = {"bn1.weight": weight, "bn1.bias": bias, "bn1.running_mean": mean, "bn1.running_var": var}
    torch.save({"conv_stem.weight": filters, **source}, tmp_path / "stem.pth")
    start_from_(b0, tmp_path / "stem.pth")
    assert (weight < 0).any()
    expected = F.batch_norm(F.conv2d(x, filters), mean, var, weight, bias, eps=1e-3)
    found = b0.backbone.eval().bn1(F.conv2d(x, b0.backbone.conv_stem.weight))
    # The norm adds its eps of 1e-3 to the weight.
    torch.testing.assert_close(found, F.leaky_relu(expected, 0.01), rtol=0, atol=0.02)


def test_other_classes_keep_all_but_the_class_layers(network, config):
    animals = ClassTable.from_dict({"names": ["grass", "sky", "cow", "sheep"], "num_stuff": 2})
    schedule = dataclasses.replace(config.schedule, epochs=7)
    other = network_for(dataclasses.replace(config, schedule=schedule), animals, start=network, seed=0)
    before, after = network.state_dict(), other.state_dict()
    for name, value in after.items():
        if name.startswith(CLASS_LAYERS):
            assert value.shape != before[name].shape
        else:
            assert value.equal(before[name]), name
    assert (other.config.classes, other.config.schedule.epochs) == (animals, 7)


def test_the_same_classes_go_on_with_the_same_network(network, config):
    found = network_for(config, CITYSCAPES, start=network, seed=0)
    assert all(ours is theirs for ours, theirs in zip(found.parameters(), network.parameters(), strict=True))


def test_a_checkpoint_is_a_start(network, config, tmp_path):
    save_checkpoint(network, tmp_path / "trained.safetensors")
    fresh = EfficientPS.from_config(config)
    assert (
        str(start_from_(fresh, tmp_path / "trained.safetensors"))
        == f"all {len(list(fresh.state_dict())) - count(fresh)} tensors"
    )
    assert fresh.rpn.rpn_conv.weight.equal(network.rpn.rpn_conv.weight)


def count(network: EfficientPS) -> int:
    return sum(name.endswith("num_batches_tracked") for name in network.state_dict())


def test_what_is_no_start(network, b0, tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        start_from_(network, tmp_path / "nothing.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not hold weights of EfficientPS"):
        start_from_(network, tmp_path / "other.pth")
    torch.save({"conv_stem.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match=r"No tensor in .*wide.pth fits"):
        start_from_(network, tmp_path / "wide.pth")
