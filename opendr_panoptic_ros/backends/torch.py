# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""TorchBackend: the network as it is, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.backends.base import DenseBackend
from opendr_panoptic_ros.backends.stripes import dense_in_stripes
from opendr_panoptic_ros.network import DenseOutputs, EfficientPS


class TorchBackend(DenseBackend):
    """Runs the network's own modules; on CPUs the largest maps by stripes. The reference for the other back ends.

    Args:
        network: A network with folded norms, in eval mode, on the device and in the precision of the inference.
    """

    def __init__(self, network: EfficientPS) -> None:
        self._network = network

    @override
    def __call__(self, x: Tensor) -> DenseOutputs:
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return dense_in_stripes(self._network, x)
        dense: DenseOutputs = self._network(x)
        return dense
