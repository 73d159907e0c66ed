# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Checkpoints: reads the files of EfficientPS, of OpenDR and our own; writes our own. Never runs foreign code."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from opendr_panoptic_ros.config import PRESETS, Config, ModelConfig
from opendr_panoptic_ros.errors import CheckpointError, ConfigError, PanopticError
from opendr_panoptic_ros.files import write_whole
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.backbone import HEAD_CHANNELS, blocks_per_stage

FORMAT = "opendr_panoptic_ros"
FORMAT_VERSION = 1

# Original name → ours: only where the modules stand has changed.
_RENAMED = (("rpn_head.", "rpn."), ("bbox_head.", "roi_heads.box."), ("mask_head.", "roi_heads.mask."))
_COUNTER = "num_batches_tracked"

_DEPTHS = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
"""Depth multipliers of EfficientNet-B0 to B7."""

# What files of mmcv and NumPy hold beside tensors: numbers and arrays, nothing that can act. NumPy 1's files and
# NumPy 2's name the same two functions differently.
_READ_ARRAY: Any = np.empty(0).__reduce__()[0]
_READ_SCALAR: Any = np.float64(0).__reduce__()[0]
_ALLOWED_GLOBALS: list[Any] = [
    np.dtype,
    np.ndarray,
    *(type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_)),
    *(
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for core in ("core", "_core")
        for function in (_READ_ARRAY, _READ_SCALAR)
    ),
]


def load_checkpoint(
    path_or_name: str | Path,
    *,
    config: Config | str | Path | None = None,
    device: str | torch.device = "cpu",
    trust: bool = False,
) -> EfficientPS:
    """The network in a checkpoint, in eval mode, float32, with its norms as trained.

    path_or_name: a `.pth` of EfficientPS, an OpenDR directory `NAME/` with `NAME.json`, a `.safetensors` or `.pth` of
        ours, or a name: `demo`, or `cityscapes` or `kitti` when their weights have been fetched. Nothing is downloaded.
        A folder of one of these names is meant by `./cityscapes`.
    config: replaces the configuration in the file (a Config, a YAML file or a preset's name). Without one, ours is in
        the file, and the original's shape is read off its weights, with the published test settings: KITTI's for a
        file called `model_kitti.pth`, else Cityscapes'.
    trust: also read a pickle with types that are not on the list of harmless ones. Such a file can run any code.

    Raises CheckpointError when the file is missing, unreadable, unsafe, or does not fit the configuration.
    """
    path = _find(path_or_name)
    try:
        state_dict, stored, class_names = _read(path, trust=trust)
        state_dict = _our_names(state_dict, path)
        if config is None:
            config = stored or _config_from_weights(state_dict, class_names, path)
    except PanopticError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a file of odd parts, wherever they show
        raise CheckpointError(f"{path} is not laid out as a checkpoint: {error}. Fetch or save it again.") from error
    if not isinstance(config, Config):
        config = Config.load(config)

    network = EfficientPS.from_config(config)
    _check_keys(network.state_dict(), state_dict, path)
    network.load_state_dict(state_dict, strict=False)  # only the norms' counters may be missing, see _check_keys
    return network.float().eval().to(device)


def save_checkpoint(network: EfficientPS, path: str | Path) -> None:
    """Write a network and its configuration to one file, `.safetensors` or `.pth`, whole or not at all.

    A file of that name is replaced. Raises CheckpointError for another suffix and for a network with folded norms.
    """
    path = Path(path).expanduser()
    if path.suffix not in (".safetensors", ".pth"):
        raise CheckpointError(f"{path.name} ends in {path.suffix or 'nothing'!r}; expected .safetensors or .pth.")
    if not any(key.endswith("running_mean") for key in network.state_dict()):
        raise CheckpointError("This network's norms are folded; save the network that fold_norms() was called on.")
    state_dict = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    config = network.config.to_dict()
    if path.suffix == ".safetensors":
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "config": json.dumps(config)}
        write_whole(path, lambda partial: partial.write_bytes(safetensors.torch.save(state_dict, metadata)))
    else:
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": config, "state_dict": state_dict}
        write_whole(path, lambda partial: torch.save(content, partial))


def weights_directory() -> Path:
    """Where named weights are kept: `$OPENDR_PANOPTIC_HOME`, else `~/.cache/opendr_panoptic_ros`."""
    return Path(os.environ.get("OPENDR_PANOPTIC_HOME") or "~/.cache/opendr_panoptic_ros").expanduser()


def _find(path_or_name: str | Path) -> Path:
    """The file that a path, an OpenDR directory or a name stands for."""
    name = str(path_or_name)
    path = Path(path_or_name).expanduser()
    if name == "demo":  # comes with the package
        path = Path(str(resources.files(FORMAT) / "presets" / "demo.safetensors"))
    elif name in PRESETS:
        path = weights_directory() / f"model_{name}.pth"
        if not path.is_file():
            raise CheckpointError(
                f"The {name} weights are not at {path}. Fetch them with `opendr-panoptic download {name}`, or give the "
                "path of a file."
            )
    if path.is_dir():
        return _file_of_opendr_directory(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; give a file, an OpenDR directory or one of {PRESETS}.")
    return path


def _file_of_opendr_directory(directory: Path) -> Path:
    """The weights that `NAME/NAME.json` names: its `model_paths` is a string or a list."""
    description = directory / f"{directory.resolve().name}.json"
    try:
        paths = json.loads(description.read_text("utf-8"))["model_paths"]
        first = paths if isinstance(paths, str) else paths[0]
        path = directory / first
    except FileNotFoundError as error:
        raise CheckpointError(f"{directory} has no {description.name}; expected an OpenDR model directory.") from error
    except (ValueError, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{description} names no weights; expected JSON with 'model_paths'.") from error
    if not path.is_file():
        raise CheckpointError(f"{description} names {first}, which is not in {directory}.")
    return path


def _read(path: Path, *, trust: bool) -> tuple[dict[str, Tensor], Config | None, tuple[str, ...]]:
    """The state dict of a file, its configuration if it is ours, and the thing names the original wrote down."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                state_dict = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is not a safetensors file: {error}. Fetch or save it again.") from error
        config = json.loads(metadata.get("config", "null"))
        return state_dict, _stored_config(config, metadata, path), ()

    content = _unpickle(path, trust=trust)
    state_dict = content.get("state_dict", content)
    tensors = isinstance(state_dict, Mapping) and {k: v for k, v in state_dict.items() if isinstance(v, Tensor)}
    if not tensors or len(tensors) != len(state_dict):
        raise CheckpointError(f"{path} holds no state dict of tensors; expected one, or {{'meta', 'state_dict'}}.")
    meta = content.get("meta")
    names = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    return dict(tensors), _stored_config(content.get("config"), content, path), tuple(names or ())


def _unpickle(path: Path, *, trust: bool) -> Mapping[str, Any]:
    try:
        if trust:
            content = torch.load(path, map_location="cpu", weights_only=False)
        else:
            with torch.serialization.safe_globals(_ALLOWED_GLOBALS):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load lets through whatever the pickle machinery raises
        wanted = re.search(r"GLOBAL (\S+)|Unsupported (?:class|global)[^\n]*", str(error))
        if not trust and wanted:
            raise CheckpointError(
                f"{path} wants the type {wanted.group(1) or wanted.group(0)}, which is not on the list of harmless "
                "ones. If you trust whoever made the file, load it with trust=True: it can then run any code."
            ) from error
        # torch's own text is not passed on: it advises to load the file unsafely.
        raise CheckpointError(f"{path} is no checkpoint, or only a part of one. Fetch or save it again.") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__}; expected {{'meta', 'state_dict'}}.")
    return content


def _stored_config(values: Any, metadata: Mapping[str, Any], path: Path) -> Config | None:
    if metadata.get("format") != FORMAT:
        return None
    if int(metadata.get("format_version", 0)) > FORMAT_VERSION:
        raise CheckpointError(f"{path} was written by a newer version of {FORMAT}; update the package.")
    try:
        return Config.from_dict(values)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"The configuration inside {path} is not usable: {error}") from error


def _our_names(state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The same tensors under our names; a `module.` in front (a parallel wrapper's) is taken off."""
    renamed = {}
    for key, value in state_dict.items():
        name = key.removeprefix("module.")
        for old, new in _RENAMED:
            if name.startswith(old):
                name = new + name.removeprefix(old)
        if name in renamed:
            raise CheckpointError(f"{path} holds {name} twice, with and without 'module.'; remove one of them.")
        renamed[name] = value
    return renamed


def _check_keys(expected: Mapping[str, Tensor], got: Mapping[str, Tensor], path: Path) -> None:
    missing = [key for key in expected if key not in got and not key.endswith(_COUNTER)]
    extra = [key for key in got if key not in expected]
    misshapen = [
        f"{key} {tuple(got[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in got and got[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {kind}: {', '.join(keys[:10])}{', …' if len(keys) > 10 else ''}"
        for kind, keys in (("missing", missing), ("unknown", extra), ("of another shape", misshapen))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path} does not fit the network. Entries {'; '.join(problems)}. "
            "Give the configuration the weights were trained with."
        )


def _config_from_weights(state_dict: Mapping[str, Tensor], class_names: tuple[str, ...], path: Path) -> Config:
    """The published settings with the shape of the weights; anchor scale and test settings leave no trace there."""
    try:
        num_things = len(state_dict["roi_heads.box.fc_cls.bias"]) - 1
        model = ModelConfig(
            backbone_width=len(state_dict["backbone.bn2.weight"]) / HEAD_CHANNELS,
            backbone_depth=_backbone_depth(state_dict),
            fpn_channels=len(state_dict["neck.fpn_convs.0.conv.weight"]),
            semantic_channels=state_dict["semantic_head.conv_logits.weight"].shape[1] // 4,
            box_head_width=len(state_dict["roi_heads.box.fc_cls.weight"][0]),
            num_stuff=len(state_dict["semantic_head.conv_logits.bias"]) - num_things,
            num_things=num_things,
        )
    except (KeyError, IndexError, ConfigError) as error:
        raise CheckpointError(f"{path} does not look like EfficientPS weights: {error} is missing or odd.") from error
    config = Config.for_model(model)
    published = path.stem.removeprefix("model_")
    if config.name != "custom" and published in PRESETS:
        return dataclasses.replace(Config.load(published), model=model)
    known = config.classes.names[model.num_stuff :]
    if config.name == "custom" and len(class_names) == num_things and tuple(class_names) != known:
        names = config.classes.names[: model.num_stuff] + tuple(class_names)
        return dataclasses.replace(config, classes=ClassTable.from_dict({"names": names, "num_stuff": model.num_stuff}))
    return config


def _backbone_depth(state_dict: Mapping[str, Tensor]) -> float:
    """The EfficientNet depth that gives as many blocks to every stage."""
    found = {match[1] for key in state_dict if (match := re.match(r"backbone\.blocks\.(\d+\.\d+)", key))}
    for depth in _DEPTHS:
        if found == {f"{stage}.{i}" for stage, count in enumerate(blocks_per_stage(depth)) for i in range(count)}:
            return depth
    raise ConfigError(f"the number of backbone blocks, {len(found)}, of no EfficientNet from B0 to B7,")
