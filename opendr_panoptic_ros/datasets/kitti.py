# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The KITTI panoptic dataset of the authors of EfficientPS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.datasets.panoptic import ConvertibleDataset
from opendr_panoptic_ros.datasets.raw_dataset import (
    SPLITS,
    RawDataset,
    RawImage,
    list_files,
    pair_files,
    require_classes,
)
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.formats.cityscapes import CITYSCAPES_CLASS_IDS, cityscapes_truth
from opendr_panoptic_ros.formats.image_files import read_pixels
from opendr_panoptic_ros.formats.panoptic import known_ids, rgb_to_ids
from opendr_panoptic_ros.labels import CITYSCAPES, VOID

_WIDTH_HEIGHT_PX = (1280, 384)
_FOLDERS = {"train": "training", "val": "validation"}


def read_kitti(root: Path, splits: Sequence[str] = SPLITS) -> RawDataset:
    """List KITTI panoptic as downloaded.

    Args:
        root: Folder with `{training,validation}/{images,annotations}/NAME.png`. The annotations are RGB images with
            id = R + 256 · G + 65536 · B in Cityscapes' id scheme; 255 is void too.
        splits: The splits to list.

    Returns:
        The dataset. Images and annotations are resized to 1280×384.
    """
    images, problems = {}, {}
    for split in splits:
        folder = root / _FOLDERS[split]
        wrong: list[str] = []
        pictures = list_files(folder / "images", "*", (".png", ".jpg"), wrong)
        annotations = list_files(folder / "annotations", "*", (".png",), wrong)
        images[split], problems[split] = pair_files(pictures, annotations, wrong), wrong
    return RawDataset("KITTI", CITYSCAPES, images, problems, _read_ids, cityscapes_truth, size_px=_WIDTH_HEIGHT_PX)


class KittiDataset(ConvertibleDataset):
    """A prepared split of KITTI panoptic; see `PanopticDataset`. `prepare_data` reads what `read_kitti` lists.

    Args:
        path: As in `PanopticDataset`.
    """

    _read_raw = staticmethod(read_kitti)


def _read_ids(raw: RawImage) -> NDArray[np.int32]:
    pixels = read_pixels(raw.labels_path)
    if pixels.ndim != 3:
        raise DatasetError(f"{raw.labels_path}: has shape {pixels.shape}; expected an RGB image")
    ids = rgb_to_ids(pixels)
    require_classes(ids, CITYSCAPES_CLASS_IDS | {VOID}, raw.labels_path)
    return known_ids(ids, CITYSCAPES)
