# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Datasets: convert downloaded data once, then read images and their ground truth.

The classes are loaded when first used, because `datasets.synthetic` must work on a robot without the libraries that
read and evaluate datasets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from opendr_panoptic_ros.annotation import PanopticAnnotation
    from opendr_panoptic_ros.datasets.cityscapes import CityscapesDataset
    from opendr_panoptic_ros.datasets.coco_panoptic import CocoPanopticDataset
    from opendr_panoptic_ros.datasets.kitti import KittiDataset
    from opendr_panoptic_ros.datasets.panoptic import PanopticDataset


class DatasetRow(NamedTuple):
    """A kind of raw data that can be prepared.

    Attributes:
        title: What the user downloads, for help texts.
        module: The module of this package that holds the two names below.
        reader: Name of the function that lists the downloaded files; see `raw_dataset.Reader`.
        dataset_class: Name of a class with `prepare_data` for this kind of data, or None. `PanopticDataset` reads the
            prepared folder in any case.
    """

    title: str
    module: str
    reader: str
    dataset_class: str | None = None

    def load(self, name: str) -> Any:
        """Import the kind's module and return one of its members.

        Args:
            name: Name of the member, such as `self.reader`.

        Returns:
            The function or class.
        """
        return getattr(import_module(f"{__name__}.{self.module}"), name)


# A new dataset is a module with a reader, and a row here.
DATASETS = {
    "cityscapes": DatasetRow("Cityscapes", "cityscapes", "read_cityscapes", "CityscapesDataset"),
    "kitti": DatasetRow("KITTI panoptic", "kitti", "read_kitti", "KittiDataset"),
    "coco": DatasetRow("COCO panoptic format", "coco_panoptic", "read_coco_panoptic", "CocoPanopticDataset"),
}
"""The kinds of raw data by the names that `opendr-panoptic prepare` takes."""

__all__ = [
    "DATASETS",
    "CityscapesDataset",
    "CocoPanopticDataset",
    "KittiDataset",
    "PanopticAnnotation",
    "PanopticDataset",
]


def __getattr__(name: str) -> Any:
    if name == "PanopticAnnotation":
        return import_module("opendr_panoptic_ros.annotation").PanopticAnnotation
    if name == "PanopticDataset":
        return import_module(f"{__name__}.panoptic").PanopticDataset
    for row in DATASETS.values():
        if name == row.dataset_class:
            return row.load(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
