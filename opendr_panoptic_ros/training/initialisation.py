# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Initial weights of a training: random, of an EfficientNet, or of another EfficientPS."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import CheckpointError
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.backbone import blocks_per_stage
from opendr_panoptic_ros.network.layers import LEAKY_SLOPE
from opendr_panoptic_ros.weight_files.stored import load_state_dict


def network_for(config: Config, classes: ClassTable, *, start: EfficientPS | None, seed: int) -> EfficientPS:
    """Return a network to train: `start` where it has these classes, else a new one.

    Args:
        config: Shape of a new network, and the sections data and schedule of the result.
        classes: Classes of the training data.
        start: Network to start from, or None. A new network takes every tensor of the same shape from it; for other
            classes these are all but the class layers.
        seed: Seed of the random weights of a new network.

    Returns:
        The network, in float32 on the CPU if it is new.
    """
    if start is not None:
        config = dataclasses.replace(start.config, data=config.data, schedule=config.schedule)
        if classes == config.classes:
            return start.with_config(config)
    model = dataclasses.replace(config.model, num_stuff=classes.num_stuff, num_things=classes.num_things)
    network = EfficientPS.from_config(dataclasses.replace(config, model=model, classes=classes))
    initialise_weights_(network, seed=seed)
    if start is not None:
        _copy_fitting(network, start.state_dict())
    return network


@torch.no_grad()
def initialise_weights_(network: EfficientPS, *, seed: int) -> None:
    """Draw initial weights in place.

    Convolutions keep the variance of their input (He initialisation); the last layers start near zero, so that no
    class, box or proposal is preferred.

    Args:
        network: The network to change.
        seed: The same seed gives the same weights.
    """
    near_zero = {
        network.rpn.rpn_conv: 0.01,
        network.rpn.rpn_cls: 0.01,
        network.rpn.rpn_reg: 0.01,
        network.roi_heads.box.fc_cls: 0.01,
        network.roi_heads.box.fc_reg: 0.001,
        network.semantic_head.conv_logits: 0.01,
        network.roi_heads.mask.conv_logits: 0.01,
    }
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if module in near_zero:
                nn.init.normal_(module.weight, std=near_zero[module], generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class StartingWeights:
    """How many tensors of a file were copied into a network.

    Attributes:
        taken: Number of copied tensors.
        total: Number of tensors of the network.
        left: Names of the tensors that did not change, because the file lacks them or has them in another shape.
    """

    taken: int
    total: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        if not self.left:
            return f"all {self.total} tensors"
        shown = ", ".join(self.left[:6]) + (", …" if len(self.left) > 6 else "")
        return f"{self.taken} of {self.total} tensors; as initialised: {shown}"


def start_from_(network: EfficientPS, path: str | Path) -> StartingWeights:
    """Copy every fitting tensor of a file into a network, in place. Other layers keep their weights.

    Args:
        network: The network to change.
        path: A checkpoint as `load_checkpoint` takes it, or a state dict of an EfficientNet by timm, torchvision or
            EfficientNet-PyTorch (`.pth` or `.safetensors`), whose weights are copied into the backbone. Those
            networks have other activations and input scaling than this backbone and, except for the Lite ones,
            squeeze-and-excite blocks, so the backbone still has to be trained.

    Returns:
        What was copied.

    Raises:
        CheckpointError: The file is unusable, or nothing in it fits.
    """
    try:
        found = dict(load_checkpoint(path).state_dict())
    except CheckpointError:
        efficientnet = _efficientnet_weights(Path(path).expanduser(), network.config.model.backbone_depth)
        if efficientnet is None:
            raise
        _make_norm_weights_positive_(efficientnet, network)
        found = efficientnet
    taken = _copy_fitting(network, found)
    if taken.taken == 0:
        raise CheckpointError(f"No tensor in {path} fits the network, which has another width or architecture.")
    return taken


def _copy_fitting(network: EfficientPS, found: Mapping[str, Tensor]) -> StartingWeights:
    """Copy every tensor that `network` has under the same name in the same shape."""
    state_dict = network.state_dict()
    wanted = [name for name in state_dict if not name.endswith("num_batches_tracked")]
    fitting = {name: found[name] for name in wanted if name in found and found[name].shape == state_dict[name].shape}
    network.load_state_dict(fitting, strict=False)
    return StartingWeights(len(fitting), len(wanted), tuple(name for name in wanted if name not in fitting))


def _efficientnet_weights(path: Path, depth: float) -> dict[str, Tensor] | None:
    """Return the state dict of an EfficientNet under our names; None when the file holds something else."""
    if not path.is_file():
        return None
    try:
        content = {
            name: value
            for name, value in load_state_dict(path).items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }
    except CheckpointError:  # the caller raises the error of load_checkpoint
        return None
    if "conv_stem.weight" in content:  # our names are timm's
        return {f"backbone.{name}": value for name, value in content.items()}
    if "features.0.0.weight" in content:
        return {_from_torchvision(name): value for name, value in content.items()}
    if "_conv_stem.weight" in content:
        places = [f"{stage}.{block}" for stage, blocks in enumerate(blocks_per_stage(depth)) for block in range(blocks)]
        return {_from_efficientnet_pytorch(name, places): value for name, value in content.items()}
    return None


def _make_norm_weights_positive_(found: dict[str, Tensor], network: EfficientPS) -> None:
    """Make norm weights non-negative without changing the function, because our norms use the absolute value.

    `w·(x - mean) = |w|·(-x - -mean)` for a negative `w`: the channel's filter and mean change their sign with it.
    """
    for name, module in network.named_modules():
        for conv, norm in getattr(module, "folds", ()):
            weight, mean, filters = f"{name}.{norm}.weight", f"{name}.{norm}.running_mean", f"{name}.{conv}.weight"
            if not {weight, filters, mean} <= found.keys():
                continue
            sign = torch.where(found[weight] < 0, -1.0, 1.0)
            found[weight], found[mean] = found[weight] * sign, found[mean] * sign
            found[filters] = found[filters] * sign[:, None, None, None]


def _from_torchvision(name: str) -> str:
    """Map a torchvision EfficientNet tensor name to ours; names of layers that we lack match nothing."""
    place = r"features\.(\d+)\.(\d+)(?:\.block\.(\d+)(?:\.(\d+))?)?\.(\w+)"
    match = re.fullmatch(place, name)
    if match is None:
        return name
    stage, block, part, layer, tensor = match.groups()
    if part is None:  # stem or head: convolution, norm
        stem = stage == "0"
        layers = ("conv_stem", "bn1") if stem else ("conv_head", "bn2")
        return f"backbone.{layers[int(block)]}.{tensor}"
    # A block is [expansion,] depthwise, squeeze-and-excite, projection; stage 1 has no expansion.
    parts = ("conv_dw", "", "conv_pw") if stage == "1" else ("conv_pw", "conv_dw", "", "conv_pwl")
    convolution = parts[int(part)]
    norm = f"bn{[p for p in parts if p].index(convolution) + 1}" if convolution else ""
    return f"backbone.blocks.{int(stage) - 1}.{block}.{convolution if layer == '0' else norm}.{tensor}"


def _from_efficientnet_pytorch(name: str, places: Sequence[str]) -> str:
    """Map an EfficientNet-PyTorch tensor name to ours; `places` is "stage.block" of each of its blocks."""
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    layer, _, tensor = name.rpartition(".")
    if layer in ends:
        return f"backbone.{ends[layer]}.{tensor}"
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
    if match is None or int(match[1]) >= len(places):
        return name
    place = places[int(match[1])]
    if place.startswith("0."):  # its first stage has no expansion
        layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        layers = {
            "_expand_conv": "conv_pw",
            "_bn0": "bn1",
            "_depthwise_conv": "conv_dw",
            "_bn1": "bn2",
            "_project_conv": "conv_pwl",
            "_bn2": "bn3",
        }
    return f"backbone.blocks.{place}.{layers[match[2]]}.{tensor}" if match[2] in layers else name
