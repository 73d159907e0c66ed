# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Contents of a file of weights: names, types and shapes are read first, elements on request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from opendr_panoptic_ros.errors import CheckpointError, PanopticError, plain
from opendr_panoptic_ros.files import open_regular
from opendr_panoptic_ros.weight_files.pickled import ForeignTypeError, Inert
from opendr_panoptic_ros.weight_files.storages import StoredTensor, TorchFileError
from opendr_panoptic_ros.weight_files.torch_file import load_torch_file, open_torch_file

_MAX_HEADER_BYTES = 16 << 20  # of a safetensors file
_SAFETENSORS_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class StoredWeights:
    """An open file of weights.

    Attributes:
        tensors: The tensors by their names in the file; keys of other types occur in damaged files.
        metadata: Metadata of the format: in files of this package `format`, `format_version`, `sha256`.
        config: The configuration as a plain value, unchecked; None where there is none.
        config_text: The configuration as it is written in a safetensors file.
        class_names: Names of the thing classes, where a file of the original has them.
    """

    tensors: Mapping[Any, StoredTensor]
    metadata: Mapping[Any, Any]
    config: Any = None
    config_text: str = ""
    class_names: tuple[Any, ...] = ()


@contextmanager
def open_weights(path: Path, *, trust: bool = False) -> Iterator[StoredWeights]:
    """Open a `.safetensors` file, or any other name as a `.pth`; use inside `reading_errors`.

    Args:
        path: A regular file.
        trust: Read a `.pth` with Python's own unpickler, which runs any code that the file contains.

    Yields:
        The contents; the tensors can be read until the context ends.
    """
    if path.suffix == ".safetensors":
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            yield _in_safetensors(file)
    elif trust:
        yield _in_pickle(_load_trusted(path), path)
    else:
        with open_torch_file(path) as content:
            yield _in_pickle(content, path)


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn every error of reading a file of weights into a CheckpointError.

    Args:
        path: The file, for the messages.

    Yields:
        Nothing.

    Raises:
        CheckpointError: The file is damaged, unsafe or of another kind.
    """
    try:
        yield
    except PanopticError:
        raise
    except ForeignTypeError as error:
        raise CheckpointError(
            f"{path} holds the type {plain(error.name, 80)}, which this package does not read. If you trust the "
            "authors of the file, load it with trust=True, which runs any code in it, and save it again."
        ) from error
    except (TorchFileError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {plain(str(error), 100)}. It is not a checkpoint, or not a complete one; fetch or "
            "save it again."
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: {plain(str(error), 100)}; fetch or save it again."
        ) from error


def load_state_dict(path: Path) -> dict[Any, Any]:
    """Read everything in a `.pth` or `.safetensors` file without running code in it.

    Args:
        path: A regular file.

    Returns:
        Its top level: names to tensors, numbers, text, lists, tuples and dicts.

    Raises:
        CheckpointError: The file is damaged, unsafe or of another kind.
    """
    with reading_errors(path):
        if path.suffix == ".safetensors":
            _check_header(path)
            return safetensors.torch.load_file(path)
        content = load_torch_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected names and tensors.")
    return content


def sha256(config_text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a configuration and of each tensor's name, type, shape and elements.

    Args:
        config_text: The configuration as it is written in the file.
        tensors: Tensors on the CPU, in any order.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(config_text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_header(path: Path) -> None:
    """Refuse a header that would take much memory, before it is read."""
    with open_regular(path) as file:
        start = file.read(8)
    if len(start) < 8 or int.from_bytes(start, "little") > _MAX_HEADER_BYTES:
        raise TorchFileError("it does not begin as a safetensors file")


def _in_safetensors(file: Any) -> StoredWeights:
    metadata = file.metadata() or {}
    text = metadata.get("config", "null")
    tensors = {}
    for name in file.keys():  # noqa: SIM118 - not a dict
        entry = file.get_slice(name)
        dtype = _SAFETENSORS_DTYPES.get(entry.get_dtype())
        if dtype is None:
            raise TorchFileError(f"a tensor in it has the type {entry.get_dtype()}")
        tensors[name] = StoredTensor(dtype, tuple(entry.get_shape()), partial(file.get_tensor, name))
    return StoredWeights(tensors, metadata, json.loads(text), text)


def _load_trusted(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever the code in the file raises; PyTorch's own text gives unsafe advice
        raise CheckpointError(f"{path} is not a checkpoint, or not a complete one. Fetch or save it again.") from error


def _in_pickle(content: Any, path: Path) -> StoredWeights:
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected {{'meta', 'state_dict'}}.")
    if {"optimizer", "param_schedulers", "batches_done"} <= content.keys():
        raise CheckpointError(
            f"{path} is the state of a training, which `--resume` continues. Give best.safetensors or "
            "last.safetensors in the same folder."
        )
    state_dict = content.get("state_dict", content)
    tensors: dict[Any, StoredTensor] = {}
    for name, value in state_dict.items() if isinstance(state_dict, Mapping) else ():
        if isinstance(value, Tensor):
            value = StoredTensor(value.dtype, tuple(value.shape), value.detach)
        if not isinstance(value, StoredTensor):
            tensors.clear()
            break
        tensors[name] = value
    if not tensors:
        raise CheckpointError(f"{path} holds no state dict of tensors; expected one, or {{'meta', 'state_dict'}}.")
    meta = content.get("meta")
    names = meta.get("CLASSES") if isinstance(meta, Mapping) else None
    class_names = () if names is None or isinstance(names, Inert) else tuple(names)
    return StoredWeights(tensors, content, content.get("config"), class_names=class_names)
