# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""torchvision's compiled operators, loaded without importing torchvision.

Importing torchvision imports all of its models and with them the compiler of torch: 1.2 s, a third of the start of the
node. The library of its operators alone takes milliseconds.
"""

from __future__ import annotations

import contextlib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LIBRARIES = ("_C_stable.so", "_C.so")  # of torchvision 0.29, and of older releases


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Suppress the boxes that overlap a better one, as `torchvision.ops.nms` does.

    Args:
        boxes: `(N, 4)` half-open boxes in px.
        scores: `(N,)`.
        iou_threshold: Largest IoU of two boxes that are both kept, 0 to 1.

    Returns:
        `(K,)` int64 indices of the boxes that are kept, in descending order of their scores.
    """
    kept: Tensor = _operators().nms(boxes, scores, iou_threshold)
    return kept


@cache
def _operators() -> Any:
    """Return the operators of torchvision, after importing it where the library is not at its usual place."""
    operators = torch.ops.torchvision
    if not hasattr(operators, "nms"):
        spec = find_spec("torchvision")
        folders = (spec.submodule_search_locations if spec else None) or ()
        libraries = [Path(folder) / name for folder in folders for name in _LIBRARIES]
        for library in filter(Path.is_file, libraries):
            with contextlib.suppress(OSError):  # the import below raises an error that explains the reason
                torch.ops.load_library(library)
    if not hasattr(operators, "nms"):
        import_module("torchvision")
    return operators
