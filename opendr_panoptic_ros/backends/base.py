# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""DenseBackend: the interface of the back ends."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from opendr_panoptic_ros.network import DenseOutputs, EfficientPS


class DenseBackend(ABC):
    """Computes the dense part of a network, for images of any size that is a multiple of 32.

    The results must lie within the tolerances of the recorded outputs (test/data/README.md) for the precision of the
    network. A back end does not change the network.

    Args:
        network: A network with folded norms, in eval mode, on the device and in the precision of the inference.
    """

    @abstractmethod
    def __init__(self, network: EfficientPS) -> None: ...

    @abstractmethod
    def __call__(self, x: Tensor) -> DenseOutputs:
        """Compute the dense part.

        Args:
            x: `(B, 3, H, W)`, normalised, in channels_last memory format, of the dtype and on the device of the
                network's weights; H and W are multiples of 32.

        Returns:
            The outputs, of the dtype and on the device of `x`.
        """
