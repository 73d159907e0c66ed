# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Names of the result formats, apart from the libraries that write them: every start of the command line reads them."""

from __future__ import annotations

from enum import Enum


class ResultFormat(str, Enum):
    """What a `ResultFolder` writes about an image."""

    OVERLAY = "overlay"
    LABELS = "labels"
    JSON = "json"
    CITYSCAPES = "cityscapes"
