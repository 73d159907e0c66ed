# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The back ends that are held to the recorded values, opened for a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from opendr_panoptic_ros.backends import BACKENDS
from opendr_panoptic_ros.backends.opening import open_backend
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS

DensePart: TypeAlias = Callable[[Tensor], DenseOutputs]


def float32_backends() -> list[str]:
    """Return the names of the installed back ends for float32 on the CPU."""
    return [name for name, row in BACKENDS.items() if "float32" in row.precisions.get("cpu", ()) and row.is_installed()]


def open_float32(network: EfficientPS, name: str, cache: Path, *, precision: str = "float32") -> DensePart:
    """Open a back end on the CPU for a network with folded norms, with builds in `cache`."""
    return open_backend(network, name, precision=precision, device=torch.device("cpu"), cache=cache)


def flat(dense: DenseOutputs) -> list[Tensor]:
    """Return all maps of the dense outputs."""
    return [*dense.fpn, *dense.objectness, *dense.deltas, dense.semantic_logits]
