# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Names of the dataset formats, without the libraries that write them: each start of the command line reads them."""

from __future__ import annotations

from enum import Enum


class DatasetFormat(str, Enum):
    """Layout of a dataset that is made of labelled frames."""

    COCO_PANOPTIC = "coco-panoptic"
    CITYSCAPES = "cityscapes"
    IMAGES = "images"
