# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""DenseBackend and BuiltBackend: the interfaces of the back ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

Progress = Callable[[str, float | None], None]
"""Called during a build with a sentence for the user and the fraction that is done, 0 to 1, or None if unknown."""


class DenseBackend(ABC):
    """Computes the dense part of a network, for images of any size that is a multiple of 32.

    In float32, the results must lie within the tolerances of the recorded outputs (test/data/README.md). A back end
    does not change the network. Several threads may call it.

    Args:
        network: A network with folded norms, in eval mode, which the caller then moves to the device and the precision
            of the inference. Back ends that need a build derive from `BuiltBackend` and have other arguments.
    """

    serves: tuple[int, int] | Literal["every size", "each size after a build"] = "every size"
    """The inputs that the back end takes: of one height and width in px, or of every size, at once or after a build."""

    @abstractmethod
    def __init__(self, network: EfficientPS) -> None: ...

    @classmethod
    def tensor_dtype(cls, precision: str, device: torch.device) -> torch.dtype:
        """Return the dtype of the tensors that the back end takes and returns, and of the weights of the heads.

        Args:
            precision: Number format of the dense part: float32, float16 or bfloat16.
            device: Device of the tensors.

        Returns:
            The dtype; here that of the precision.
        """
        del device
        dtype: torch.dtype = getattr(torch, precision)
        return dtype

    @abstractmethod
    def __call__(self, x: Tensor) -> DenseOutputs:
        """Compute the dense part.

        Args:
            x: `(B, 3, H, W)`, normalised, in channels_last memory format, of `tensor_dtype` and on the device of the
                heads; H and W are multiples of 32.

        Returns:
            The outputs, of the dtype and on the device of `x`. The maps of the neck are in channels_last memory
            format.
        """


class BuiltBackend(DenseBackend):
    """A back end that converts the network into files of its runtime first. The files are cached, see cache.py.

    Subclasses are created by `open`, not by the caller.

    Attributes:
        distribution: Name of the package from which the version of the runtime is read.
        fixed_size: Whether a build serves one size of the input; otherwise it serves all.
        revision: Number that is increased when `build` changes, so that older builds are not used any more.
    """

    distribution: ClassVar[str]
    fixed_size: ClassVar[bool] = False
    revision: ClassVar[int] = 1

    @classmethod
    def version(cls) -> str:
        """Return the version for which a build is valid: that of the runtime, unless its files outlive it."""
        return metadata.version(cls.distribution)

    @classmethod
    def device_name(cls, device: torch.device) -> str:
        """Return the device for which a build is valid.

        Args:
            device: Device of the inference.

        Returns:
            "cpu" for every CPU; the name and the compute capability of a GPU.
        """
        if device.type != "cuda":
            return device.type
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} sm_{major}{minor}"

    @classmethod
    @override
    def tensor_dtype(cls, precision: str, device: torch.device) -> torch.dtype:
        # float32 on the CPU; on a GPU float16 for int8, else the dtype of the precision.
        if device.type == "cpu":
            return torch.float32
        return torch.float16 if precision == "int8" else super().tensor_dtype(precision, device)

    @classmethod
    @abstractmethod
    def build(
        cls,
        network: EfficientPS,
        folder: Path,
        *,
        precision: str,
        device: torch.device,
        size: tuple[int, int] | None,
        calibration: Sequence[Tensor],
        progress: Progress,
    ) -> None:
        """Convert the dense part of a network.

        Args:
            network: The network with folded norms, float32 on the CPU, in eval mode. It must not be changed.
            folder: An empty folder for the files.
            precision: Number format of the dense part.
            device: Device of the inference.
            size: Height and width of the input, multiples of 32; None unless `fixed_size`.
            calibration: For int8, inputs `(1, 3, H, W)` float32 from which the ranges of values are taken; otherwise
                empty.
            progress: Called with each step.

        Raises:
            ConfigError: The network cannot be converted.
        """

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, *, precision: str, device: torch.device) -> DenseBackend:
        """Open what `build` wrote.

        Args:
            folder: The folder of the build; its files have been verified.
            precision: Number format of the dense part, as given to `build`.
            device: Device of the inference.

        Returns:
            The back end, ready for inference.

        Raises:
            ConfigError: The runtime does not accept the files.
        """
