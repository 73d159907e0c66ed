# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The network: pure torch and torchvision. `EfficientPS` is all that other layers need."""

from opendr_panoptic_ros.network.efficientps import SIZE_DIVISOR, EfficientPS

__all__ = ["SIZE_DIVISOR", "EfficientPS"]
