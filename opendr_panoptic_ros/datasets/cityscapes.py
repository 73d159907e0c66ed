# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Cityscapes (https://www.cityscapes-dataset.com), the finely annotated part."""

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
from opendr_panoptic_ros.formats.panoptic import known_ids
from opendr_panoptic_ros.labels import CITYSCAPES


def read_cityscapes(root: Path, splits: Sequence[str] = SPLITS) -> RawDataset:
    """List Cityscapes as downloaded.

    Args:
        root: Folder with the unpacked `leftImg8bit_trainvaltest.zip` and `gtFine_trainvaltest.zip`. In them are
            `leftImg8bit/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png` and
            `gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png`.
        splits: The splits to list.

    Returns:
        The dataset. Its images are named CITY_SEQUENCE_FRAME.
    """
    images, problems = {}, {}
    for split in splits:
        wrong: list[str] = []
        left = list_files(root / "leftImg8bit" / split, "*/*", ("_leftImg8bit.png",), wrong)
        fine = list_files(root / "gtFine" / split, "*/*", ("_gtFine_instanceIds.png",), wrong)
        images[split], problems[split] = pair_files(left, fine, wrong), wrong
    return RawDataset("Cityscapes", CITYSCAPES, images, problems, _read_ids, cityscapes_truth)


class CityscapesDataset(ConvertibleDataset):
    """A prepared split of Cityscapes; see `PanopticDataset`. `prepare_data` reads what `read_cityscapes` lists.

    Args:
        path: As in `PanopticDataset`.
    """

    _read_raw = staticmethod(read_cityscapes)


def _read_ids(raw: RawImage) -> NDArray[np.int32]:
    pixels = read_pixels(raw.labels_path)
    if pixels.ndim != 2:
        raise DatasetError(f"{raw.labels_path}: has shape {pixels.shape}; expected one channel of 16 bits")
    ids = pixels.astype(np.int32)  # files without an id above 255 may have 8 bits
    require_classes(ids, CITYSCAPES_CLASS_IDS, raw.labels_path)
    return known_ids(ids, CITYSCAPES)
