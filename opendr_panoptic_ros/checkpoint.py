# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Checkpoints: read the files of EfficientPS, of OpenDR and our own; write our own. Code in a file is never run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from opendr_panoptic_ros.backends.cache import is_build
from opendr_panoptic_ros.config import WEIGHTS, Config, ModelConfig
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, plain, quoted
from opendr_panoptic_ros.files import expand_user, is_file, read_small, sha256_of, write_whole
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.backbone import HEAD_CHANNELS, blocks_per_stage
from opendr_panoptic_ros.weight_files.storages import StoredTensor
from opendr_panoptic_ros.weight_files.stored import StoredWeights, open_weights, reading_errors, sha256

FORMAT = "opendr_panoptic_ros"
FORMAT_VERSION = 1

WEIGHTS_OF_BUILD = "weights.safetensors"
"""Name of the checkpoint in a folder that `opendr-panoptic optimize` wrote."""

# Original name → ours: the modules have other places.
_RENAMED = (("rpn_head.", "rpn."), ("bbox_head.", "roi_heads.box."), ("mask_head.", "roi_heads.mask."))
_COUNTER = "num_batches_tracked"
_VARIANCE = "running_var"
_BLOCK = re.compile(r"backbone\.blocks\.(\d+\.\d+)\.")
_MAX_DESCRIPTION_BYTES = 1 << 20  # of an OpenDR directory's JSON

_DEPTHS = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
"""Depth multipliers of EfficientNet-B0 to B7."""

_FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGER_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def load_checkpoint(
    path_or_name: str | Path,
    *,
    config: Config | str | Path | None = None,
    device: str | torch.device = "cpu",
    trust: bool = False,
) -> EfficientPS:
    """Load a network from a checkpoint. Nothing is downloaded, and no code in the file is run.

    Args:
        path_or_name: A `.pth` of EfficientPS, an OpenDR directory `NAME/` with `NAME.json`, a `.safetensors` or `.pth`
            of this package, a folder that `opendr-panoptic optimize` wrote, or a name: `demo`, or `cityscapes` or
            `kitti` when their weights have been downloaded. A folder with one of these names is written
            `./cityscapes`.
        config: Replaces the configuration in the file: a Config, a YAML file or the name of a preset. Without it,
            files of this package bring theirs, and the shape of an original file is read off its weights, with the
            published test settings: KITTI's for a file called `model_kitti.pth`, else Cityscapes'.
        device: Where the weights are put.
        trust: Read the file with Python's own unpickler, which runs any code that the file contains. Only for files
            with objects of foreign types, from people you trust.

    Returns:
        The network in eval mode, with float32 weights and with its norm layers as trained.

    Raises:
        CheckpointError: The file is missing, damaged or unsafe, its weights cannot work, or it does not fit the
            configuration.
        ConfigError: `config` names a configuration that cannot be read.
    """
    path = _find(path_or_name)
    if config is not None and not isinstance(config, Config):
        config = Config.load(config)
    with reading_errors(path), open_weights(path, trust=trust) as stored:
        tensors = _our_names(stored.tensors, path)
        own = _stored_config(stored, path)
        config = config or own or _config_from_weights(tensors, stored.class_names, path)
        _check_fit(config.model, tensors, path)
        state_dict = {name: tensor.read() for name, tensor in tensors.items()}
        checksum = stored.metadata.get("sha256") if own else None
        if checksum is not None and checksum != sha256(stored.config_text, state_dict):
            raise CheckpointError(f"{path} is damaged: its content differs from its checksum. Fetch or save it again.")
    network = EfficientPS.from_config(config)
    network.load_state_dict(state_dict, strict=False)  # only the norms' counters may be missing, see _check_fit
    _check_values(network, path)
    return network.float().eval().to(device)


def save_checkpoint(network: EfficientPS, path: str | Path) -> None:
    """Write a network and its configuration to one file, atomically; an existing file is replaced.

    Args:
        network: The network, with its norm layers.
        path: A file that ends in `.safetensors` or `.pth`. The former carries a SHA-256 of its content, which
            `load_checkpoint` verifies.

    Raises:
        CheckpointError: The path has another suffix, or the norm layers have been folded.
        OSError: The file cannot be written.
    """
    path = expand_user(path)
    if path.suffix not in (".safetensors", ".pth"):
        raise CheckpointError(f"{path.name} ends in {path.suffix or 'nothing'!r}; expected .safetensors or .pth.")
    if not any(key.endswith("running_mean") for key in network.state_dict()):
        raise CheckpointError("The norm layers of this network are folded; save the network before fold_norms().")
    state_dict = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    config = network.config.to_dict()
    if path.suffix == ".safetensors":
        text = json.dumps(config)
        metadata = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "config": text,
            "sha256": sha256(text, state_dict),
        }
        write_whole(path, lambda file: file.write_bytes(safetensors.torch.save(state_dict, metadata)))
    else:
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": config, "state_dict": state_dict}
        write_whole(path, lambda file: torch.save(content, file))


def weights_directory() -> Path:
    """Return the folder of downloaded weights: `$OPENDR_PANOPTIC_HOME`, else `~/.cache/opendr_panoptic_ros`."""
    return expand_user(os.environ.get("OPENDR_PANOPTIC_HOME") or "~/.cache/opendr_panoptic_ros")


def build_folder(path_or_name: str | Path) -> Path | None:
    """Return the folder of a checkpoint that `opendr-panoptic optimize` wrote, or None for other checkpoints.

    Args:
        path_or_name: As given to `load_checkpoint`.
    """
    try:
        path = expand_user(path_or_name)
        return path if str(path_or_name) not in WEIGHTS and is_build(path) else None
    except OSError:
        return None


def checkpoint_sha256(path_or_name: str | Path) -> str:
    """Return the SHA-256 of the files of a checkpoint.

    Args:
        path_or_name: As given to `load_checkpoint`.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: There is no such checkpoint, or it cannot be read.
    """
    folder = build_folder(path_or_name)
    files = [_find(path_or_name)] if folder is None else sorted(file for file in folder.iterdir() if is_file(file))
    try:
        digests = [sha256_of(file) for file in files]
    except OSError as error:
        name = plain(str(path_or_name), 100)
        raise CheckpointError(f"The checkpoint {name} cannot be read: {error.strerror}.") from error
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _find(path_or_name: str | Path) -> Path:
    """Return the file of a path, an OpenDR directory or a name."""
    name = str(path_or_name)
    try:
        path = expand_user(path_or_name)
        if name == "demo":  # part of the package
            path = Path(str(resources.files(FORMAT) / "presets" / "demo.safetensors"))
        elif name in WEIGHTS:
            path = weights_directory() / f"model_{name}.pth"
            if not is_file(path):
                raise CheckpointError(
                    f"The {name} weights are not at {path}. Fetch them with `opendr-panoptic download {name}`, or give "
                    "the path of a file."
                )
        if is_build(path):
            path = path / WEIGHTS_OF_BUILD
        if path.is_dir():
            return _file_of_opendr_directory(path)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"The checkpoint {plain(name, 100)} cannot be opened: {reason}.") from error
    if not is_file(path):
        raise CheckpointError(
            f"There is no checkpoint {plain(str(path), 200)}; give a file, an OpenDR directory or one of {WEIGHTS}."
        )
    return path


def _file_of_opendr_directory(directory: Path) -> Path:
    """Return the weights that `NAME/NAME.json` names: its `model_paths` is a string or a list."""
    description = directory / f"{directory.resolve().name}.json"
    try:
        paths = json.loads(read_small(description, limit_bytes=_MAX_DESCRIPTION_BYTES))["model_paths"]
        first = paths if isinstance(paths, str) else paths[0]
        path = directory / first
    except FileNotFoundError as error:
        trained = [path for name in ("best", "last") if (path := directory / f"{name}.safetensors").is_file()]
        advice = f"Give {trained[0]}, which a training has written there" if trained else "Expected an OpenDR directory"
        raise CheckpointError(f"{directory} has no {description.name}. {advice}.") from error
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{description} names no weights; expected JSON with 'model_paths'.") from error
    if not is_file(path):
        raise CheckpointError(f"{description} names {plain(first)}, which is not a file in {directory}.")
    return path


def _stored_config(stored: StoredWeights, path: Path) -> Config | None:
    """Return the configuration in a file of this package; None for other files."""
    if stored.metadata.get("format") != FORMAT:
        return None
    if int(stored.metadata.get("format_version", 0)) > FORMAT_VERSION:
        raise CheckpointError(f"{path} was written by a newer version of {FORMAT}; update the package.")
    try:
        return Config.from_dict(stored.config)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"The configuration inside {path} is not usable: {error}") from error


def _our_names(tensors: Mapping[Any, StoredTensor], path: Path) -> dict[str, StoredTensor]:
    """Return the same tensors under our names, without the `module.` in front that parallel training adds."""
    renamed: dict[str, StoredTensor] = {}
    for key, value in tensors.items():
        if not isinstance(key, str):
            raise CheckpointError(f"{path} holds a tensor named {quoted(key)}; expected text.")
        name = key.removeprefix("module.")
        for old, new in _RENAMED:
            if name.startswith(old):
                name = new + name.removeprefix(old)
        if name in renamed:
            raise CheckpointError(f"{path} holds {plain(name)} twice, with and without 'module.'; remove one of them.")
        renamed[name] = value
    return renamed


def _check_fit(model: ModelConfig, got: Mapping[str, StoredTensor], path: Path) -> None:
    """Compare names, shapes and types with those of a network that takes no memory."""
    blocks = sum(blocks_per_stage(model.backbone_depth))
    found = len(_block_names(got))
    if blocks != found:  # first: a network of 100,000 blocks takes minutes even without memory for its weights
        raise CheckpointError(
            f"{path} does not fit the network: it has {found} backbone blocks, the configuration {blocks:.6g}. "
            "Give the configuration the weights were trained with."
        )
    try:
        with torch.device("meta"):
            expected = EfficientPS(model).state_dict()
    except (RuntimeError, OverflowError) as error:  # PyTorch cannot even describe its tensors
        raise CheckpointError(
            f"{path} does not fit the network: the configuration asks for too large a one."
        ) from error
    missing = [key for key in expected if key not in got and not key.endswith(_COUNTER)]
    extra = [plain(key) for key in got if key not in expected]
    misshapen = [
        f"{key} {got[key].shape} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in got and got[key].shape != tuple(expected[key].shape)
    ]
    mistyped = [
        f"{key} {got[key].dtype}"
        for key in expected
        if key in got and got[key].dtype not in (_INTEGER_DTYPES if key.endswith(_COUNTER) else _FLOAT_DTYPES)
    ]
    problems = [
        f"{len(keys)} {kind}: {', '.join(keys[:10])}{', …' if len(keys) > 10 else ''}"
        for kind, keys in (
            ("missing", missing),
            ("unknown", extra),
            ("of another shape", misshapen),
            ("of a type that is not usable", mistyped),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path} does not fit the network. Entries {'; '.join(problems)}. "
            "Give the configuration the weights were trained with."
        )


def _check_values(network: EfficientPS, path: Path) -> None:
    """Refuse weights that cannot work: not finite, or norms without positive variances.

    A single variance of zero is legitimate: a channel that is always the same has it, in float16 also a small one.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path} cannot work: {name} holds NaN or infinite values. Fetch or save it again.")
        if name.endswith(_VARIANCE) and (tensor.min() < 0 or tensor.max() <= 0):
            raise CheckpointError(f"{path} cannot work: {name} holds negative variances or only zeros.")


def _config_from_weights(tensors: Mapping[str, StoredTensor], class_names: tuple[Any, ...], path: Path) -> Config:
    """Return the published settings with the shape of the weights, which do not show anchor scale and test settings."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    try:
        num_things = shapes["roi_heads.box.fc_cls.bias"][0] - 1
        model = ModelConfig(
            backbone_width=shapes["backbone.bn2.weight"][0] / HEAD_CHANNELS,
            backbone_depth=_backbone_depth(tensors),
            fpn_channels=shapes["neck.fpn_convs.0.conv.weight"][0],
            semantic_channels=shapes["semantic_head.conv_logits.weight"][1] // 4,
            box_head_width=shapes["roi_heads.box.fc_cls.weight"][1],
            num_stuff=shapes["semantic_head.conv_logits.bias"][0] - num_things,
            num_things=num_things,
        )
    except (KeyError, IndexError, ConfigError) as error:
        raise CheckpointError(
            f"{path} does not hold weights of EfficientPS: {error} is missing or has an unexpected shape."
        ) from error
    config = Config.for_model(model)
    published = path.stem.removeprefix("model_")
    if config.name != "custom" and published in WEIGHTS:
        return dataclasses.replace(Config.load(published), model=model)
    known = config.classes.names[model.num_stuff :]
    if config.name == "custom" and len(class_names) == num_things and tuple(class_names) != known:
        names = config.classes.names[: model.num_stuff] + tuple(class_names)
        return dataclasses.replace(config, classes=ClassTable.from_dict({"names": names, "num_stuff": model.num_stuff}))
    return config


def _block_names(tensors: Mapping[str, StoredTensor]) -> set[str]:
    """Return the numbers of stage and block, such as "3.0", of every block of the backbone."""
    return {match[1] for key in tensors if (match := _BLOCK.match(key))}


def _backbone_depth(tensors: Mapping[str, StoredTensor]) -> float:
    """Return the EfficientNet depth that gives as many blocks to every stage."""
    found = _block_names(tensors)
    for depth in _DEPTHS:
        if found == {f"{stage}.{i}" for stage, count in enumerate(blocks_per_stage(depth)) for i in range(count)}:
            return depth
    raise ConfigError(f"the number of backbone blocks, {len(found)}, of no EfficientNet from B0 to B7,")
