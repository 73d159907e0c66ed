# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Optimization of a checkpoint ahead of time: a folder with its weights and a build for a back end."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendr_panoptic_ros.backends import resolve_backend
from opendr_panoptic_ros.backends.base import Progress
from opendr_panoptic_ros.backends.opening import log_progress, write_build
from opendr_panoptic_ros.checkpoint import WEIGHTS_OF_BUILD, save_checkpoint
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.errors import ConfigError
from opendr_panoptic_ros.files import WorkFolder
from opendr_panoptic_ros.inference import (
    mean_and_std,
    normalised,
    resolve_device,
    resolve_precision,
)
from opendr_panoptic_ros.network import SIZE_DIVISOR, EfficientPS


def optimize(
    network: EfficientPS,
    out: Path,
    *,
    device: str | torch.device = "auto",
    backend: str = "auto",
    precision: str = "auto",
    size: tuple[int, int] | None = None,
    calibration: Sequence[NDArray[np.uint8]] = (),
    progress: Progress = log_progress,
) -> None:
    """Convert a network for a back end and write a folder that is accepted wherever a checkpoint is.

    Args:
        network: The network with its norms, as `load_checkpoint` returns it.
        out: The folder, which must not exist. It is written whole or not at all.
        device: Device of the inference; `auto` is the first CUDA device if there is one, else the CPU.
        backend: A name of `backends.BACKENDS`; `auto` is the fastest installed one that converts networks.
        precision: Number format of the dense part, one of `inference.PRECISIONS`.
        size: Height and width of the network's input in px, which are rounded up to multiples of 32. None stands for
            the test size of the configuration. Back ends whose builds serve all sizes use it for calibration alone.
        calibration: For int8: uint8 RGB images `(H, W, 3)` like those of the camera, some dozens of them.
        progress: Called with each step.

    Raises:
        ConfigError: The back end, the device or the precision is unknown or not available, needs no conversion, or
            needs calibration images.
        OSError: The folder exists or cannot be written.
    """
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    backend = resolve_backend(backend, device=device.type, precision=precision)
    if os.path.lexists(out):
        raise FileExistsError(errno.EEXIST, "it exists; choose another folder or remove it", os.fspath(out))
    config = network.config
    size = padded(size or (config.test.short_side_px, config.test.long_side_px))
    work = out.with_name(f".{out.name}.partial")
    lock = WorkFolder(work)
    try:
        folder = work / "build"
        folder.mkdir()
        save_checkpoint(network, folder / WEIGHTS_OF_BUILD)
        write_build(
            network.fold_norms().to("cpu", torch.float32),
            backend,
            folder,
            precision=precision,
            device=device,
            size=size,
            calibration=[_network_input(image, size, config) for image in calibration],
            progress=progress,
        )
        folder.rename(out)
    finally:
        lock.remove()


def padded(size: tuple[int, int]) -> tuple[int, int]:
    """Return a height and a width rounded up to multiples of 32.

    Args:
        size: Height and width in px.

    Raises:
        ConfigError: One of them is not positive.
    """
    if min(size) < 1:
        raise ConfigError(f"The size is {size[0]}x{size[1]} px; expected at least 1x1.")
    height, width = (side + -side % SIZE_DIVISOR for side in size)
    return height, width


def _network_input(image: NDArray[np.uint8], size: tuple[int, int], config: Config) -> Tensor:
    """Return an image resized to the height and width of the network's input, `(1, 3, height, width)` float32."""
    return normalised(torch.from_numpy(np.array(image))[None], size, *mean_and_std(config))
