# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags without ROS: reading every kind, writing MCAP, and labelling their images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendr_panoptic_ros.bags.label_frames import LabelFrames

__all__ = ["LabelFrames"]


def __getattr__(name: str) -> Any:
    if name == "LabelFrames":  # only here: the modules of this package must not import the network
        from opendr_panoptic_ros.bags.label_frames import LabelFrames

        return LabelFrames
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
