# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Datasets: prepare what was downloaded, then read images and their truth.

The names are loaded when first used, so that the synthetic scenes (the demo on a robot) need none of the libraries
that read and evaluate datasets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendr_panoptic_ros.annotation import PanopticAnnotation
    from opendr_panoptic_ros.datasets.cityscapes import CityscapesDataset
    from opendr_panoptic_ros.datasets.coco_panoptic import CocoPanopticDataset
    from opendr_panoptic_ros.datasets.kitti import KittiDataset
    from opendr_panoptic_ros.datasets.panoptic import PanopticDataset

__all__ = ["CityscapesDataset", "CocoPanopticDataset", "KittiDataset", "PanopticAnnotation", "PanopticDataset"]

_MODULES = {
    "CityscapesDataset": f"{__name__}.cityscapes",
    "CocoPanopticDataset": f"{__name__}.coco_panoptic",
    "KittiDataset": f"{__name__}.kitti",
    "PanopticAnnotation": "opendr_panoptic_ros.annotation",
    "PanopticDataset": f"{__name__}.panoptic",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
