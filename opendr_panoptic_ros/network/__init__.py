# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The network, in torch and torchvision alone. Other layers import `EfficientPS` and its `DenseOutputs` from here."""

from opendr_panoptic_ros.network.efficientps import SIZE_DIVISOR, DenseOutputs, EfficientPS

__all__ = ["SIZE_DIVISOR", "DenseOutputs", "EfficientPS"]
