"""Where training starts: random weights, an EfficientNet's, those of another EfficientPS."""

from __future__ import annotations

import dataclasses

import pytest
import torch
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
    assert network_for(config, CITYSCAPES, start=network, seed=0) is network


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
    with pytest.raises(CheckpointError, match="does not look like EfficientPS"):
        start_from_(network, tmp_path / "other.pth")
    torch.save({"conv_stem.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match=r"Nothing in .*wide.pth fits"):
        start_from_(network, tmp_path / "wide.pth")
