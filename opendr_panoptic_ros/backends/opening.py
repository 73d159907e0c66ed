# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Opening of back ends: from a network, by way of the cache, or from a folder with a build."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import functools
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.backends.base import BuiltBackend, DenseBackend, Progress
from opendr_panoptic_ros.backends.cache import BuildKey, cached_build, check_fits, describe, read_build
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

_LOG = logging.getLogger(__name__)
_DENSE_MODULES = ("backbone", "neck", "rpn", "semantic_head")


def log_progress(message: str, fraction: float | None) -> None:
    """Log a step of a build; the progress of those that are given no other.

    Args:
        message: A sentence for the user.
        fraction: Done so far, 0 to 1, or None.
    """
    _LOG.info("%s%s", message, "" if fraction is None else f" ({fraction:.0%})")


def open_backend(
    network: EfficientPS,
    name: str,
    *,
    precision: str,
    device: torch.device,
    cache: Path,
    folder: Path | None = None,
    progress: Progress = log_progress,
) -> DenseBackend:
    """Open a back end for a network.

    Args:
        network: The network with folded norms, float32 on the CPU, in eval mode.
        name: A name of `BACKENDS`.
        precision: Number format of the dense part.
        device: Device of the inference.
        cache: Folder of the cached builds.
        folder: A folder with a build of this network, which is used instead of the cache.
        progress: Called with the steps of builds, now and, if the back end needs one build for each size, later.

    Returns:
        The back end. For one without a build, the network's modules must be moved to the device by the caller.

    Raises:
        CheckpointError: The build in `folder` is damaged, or for another device, version, precision or network.
        ConfigError: The network cannot be converted.
    """
    backend = BACKENDS[name].load()
    if not issubclass(backend, BuiltBackend):
        return backend(network)
    key = build_key(network, name, precision=precision, device=device)
    if folder is not None:
        found = read_build(folder)
        check_fits(folder, found, key)
        opened = backend.open(folder, precision=precision, device=device)
        return opened if found.size is None else _OneSize(opened, found.size)
    if precision == "int8":
        raise ConfigError(
            "int8 needs calibration images. Build with `opendr-panoptic optimize --precision int8 --calibration ...` "
            "and give the folder that it writes as the checkpoint."
        )
    if not backend.fixed_size:
        return backend.open(
            cached_build(cache, key, _builder(backend, network, key, device, (), progress), progress),
            precision=precision,
            device=device,
        )
    kept = copy.deepcopy(network)  # the caller may move the network to another device, in another dtype

    def open_size(size: tuple[int, int]) -> DenseBackend:
        sized = build_key(kept, name, precision=precision, device=device, size=size)
        build = _builder(backend, kept, sized, device, (), progress)
        return backend.open(cached_build(cache, sized, build, progress), precision=precision, device=device)

    return _EachSize(open_size)


def free_dense_part_(network: EfficientPS) -> None:
    """Free the weights of the dense part, in place. The heads and the fusion still work.

    Args:
        network: The network.
    """
    for module in _DENSE_MODULES:
        for part in getattr(network, module).modules():
            for name, weight in part.named_parameters(recurse=False):  # the proposals need the buffers of the RPN
                setattr(part, name, nn.Parameter(weight.to("meta"), requires_grad=False))


def return_free_memory() -> None:
    """Return memory that this process has freed to the operating system: hundreds of MB after a network was loaded.

    It has no effect with C libraries other than glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def write_build(
    network: EfficientPS,
    name: str,
    folder: Path,
    *,
    precision: str,
    device: torch.device,
    size: tuple[int, int] | None,
    calibration: Sequence[Tensor] = (),
    progress: Progress = log_progress,
) -> None:
    """Build a network into a folder, with a description.

    Args:
        network: The network with folded norms, float32 on the CPU, in eval mode.
        name: Name of a back end that needs a build.
        folder: A folder; files in it become part of the build.
        precision: Number format of the dense part.
        device: Device of the inference.
        size: Height and width of the input, multiples of 32; ignored by a back end whose builds serve all sizes.
        calibration: For int8, inputs `(1, 3, H, W)` float32 of the network.
        progress: Called with each step.

    Raises:
        ConfigError: The back end needs no build, or the arguments do not fit it.
    """
    backend = BACKENDS[name].load()
    if not issubclass(backend, BuiltBackend):
        raise ConfigError(f"The back end {name} needs no build; give the checkpoint itself.")
    if precision == "int8" and not calibration:
        raise ConfigError("int8 needs calibration images; give them with --calibration.")
    if backend.fixed_size and size is None:
        raise ConfigError(f"A build for {name} serves one size of the network's input; give it with --size.")
    size = size if backend.fixed_size else None
    key = build_key(network, name, precision=precision, device=device, size=size, calibration=calibration)
    _builder(backend, network, key, device, calibration, progress)(folder)
    describe(folder, key)


def build_key(
    network: EfficientPS,
    name: str,
    *,
    precision: str,
    device: torch.device,
    size: tuple[int, int] | None = None,
    calibration: Sequence[Tensor] = (),
) -> BuildKey:
    """Return the key of a build.

    Args:
        network: The network with folded norms, float32 on the CPU.
        name: Name of a back end that needs a build.
        precision: Number format of the dense part.
        device: Device of the inference.
        size: Height and width of the input in px; None for a build that serves all sizes.
        calibration: The calibration images.

    Returns:
        The key.
    """
    backend = BACKENDS[name].load()
    assert issubclass(backend, BuiltBackend)  # noqa: S101 - the callers have checked
    tensors = [
        tensor for module in _DENSE_MODULES for _, tensor in sorted(getattr(network, module).state_dict().items())
    ]
    return BuildKey(
        backend=name,
        precision=precision,
        size=size,
        weights=_digest(tensors),
        config=hashlib.sha256(
            np.hstack(dataclasses.astuple(network.config.model)).astype(np.float64).tobytes()
        ).hexdigest(),
        version=f"{backend.version()} revision {backend.revision}",
        device=backend.device_name(device),
        calibration=_digest(calibration) if calibration else "",
    )


def _builder(
    backend: type[BuiltBackend],
    network: EfficientPS,
    key: BuildKey,
    device: torch.device,
    calibration: Sequence[Tensor],
    progress: Progress,
) -> Callable[[Path], None]:
    """Return a function that writes the files of a build into a folder."""
    size = "" if key.size is None else f" for {key.size[1]}x{key.size[0]} px"

    def build(folder: Path) -> None:
        progress(f"Building the network for {key.backend}, {key.precision}{size}.", None)
        backend.build(
            network,
            folder,
            precision=key.precision,
            device=device,
            size=key.size,
            calibration=calibration,
            progress=progress,
        )
        progress(f"Built the network for {key.backend}, {key.precision}{size}.", 1.0)

    return build


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class _OneSize(DenseBackend):
    """A build for one size, which refuses others.

    Args:
        opened: The back end.
        size: Height and width in px.
    """

    serves: tuple[int, int]

    def __init__(self, opened: DenseBackend, size: tuple[int, int]) -> None:
        self._opened, self.serves = opened, size

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        height, width = x.shape[2:]
        if (height, width) != self.serves:
            raise ConfigError(
                f"The build serves inputs of {self.serves[0]}x{self.serves[1]} px, and this image needs one of "
                f"{height}x{width} px. Build again with `opendr-panoptic optimize --size {height}x{width}`, or choose "
                "another inference size."
            )
        return self._opened(x)


class _EachSize(DenseBackend):
    """Opens a build for each size when it first occurs.

    Args:
        open_size: Opens the back end for a height and width in px.
    """

    serves = "each size after a build"
    _KEPT = 4

    def __init__(self, open_size: Callable[[tuple[int, int]], DenseBackend]) -> None:
        self._open_size = functools.lru_cache(self._KEPT)(open_size)
        self._lock = threading.Lock()  # no size is built twice

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        height, width = x.shape[2:]
        with self._lock:
            opened = self._open_size((height, width))
        return opened(x)
