# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The id scheme of Cityscapes and KITTI, and panoptic ground truth made by cityscapesscripts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from numpy.typing import NDArray

from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.formats.image_files import read_pixels
from opendr_panoptic_ros.formats.silence import without_prints

CITYSCAPES_CLASS_IDS = frozenset(label.id for label in labels if label.id >= 0)
"""Every class id that Cityscapes' label images may hold, also those that count as void."""

_convert_to_panoptic = without_prints(convert2panoptic)


def cityscapes_truth(ids: NDArray[np.int32]) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Convert the ids of one image to panoptic ground truth, with the converter of cityscapesscripts.

    The converter works on folders, so each image gets a temporary folder; images can be converted in parallel.

    Args:
        ids: `(H, W)` int32 in Cityscapes' scheme, as `formats.panoptic` defines ids.

    Returns:
        The panoptic PNG, `(H, W, 3)` uint8, and its `segments_info`.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_png(root / "val" / "city" / "image_gtFine_instanceIds.png", ids.astype(np.uint16))
        _convert_to_panoptic(folder, folder, setNames=["val"])
        truth = json.loads((root / "cityscapes_panoptic_val.json").read_text(encoding="utf-8"))
        annotation = truth["annotations"][0]
        return read_pixels(root / "cityscapes_panoptic_val" / annotation["file_name"]), annotation["segments_info"]
