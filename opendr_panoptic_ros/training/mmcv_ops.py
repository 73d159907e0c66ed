# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A stand-in for mmcv's compiled operators, so that mmdet imports and works without them.

The `mmcv-lite` wheel lacks the module `mmcv._ext`, and the full mmcv does not compile against current torch. mmdet's
assigners, samplers, NMS and mask targets need two of its operators, which torchvision has as well.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms
from torchvision.ops import roi_align as torchvision_roi_align

_NAME = "mmcv._ext"
_AVERAGE = 1  # mmcv's number for pool_mode "avg"


def install() -> None:
    """Make `import mmdet` work: without the compiled module `mmcv._ext`, install the stand-in.

    Raises:
        ImportError: mmcv, mmengine or mmdet is missing; the message names what to install.
    """
    missing = [name for name in ("mmcv", "mmengine", "mmdet") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Training needs {', '.join(missing)}; install the training extra: "
            "pip install 'opendr_panoptic_ros[train]'."
        )
    if _NAME in sys.modules or importlib.util.find_spec(_NAME) is not None:
        return
    import mmcv

    stand_in = _StandIn(_NAME, "torchvision's operators under the names of mmcv's compiled ones.")
    stand_in.__spec__ = ModuleSpec(_NAME, loader=None)  # mmengine reads it
    sys.modules[_NAME] = stand_in
    mmcv._ext = stand_in


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Return an operator; others can be looked up, as mmcv does at import, but raise when called."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _OPERATORS.get(name) or _missing(name)


def _missing(name: str) -> Any:
    def raise_error(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"mmcv's compiled operator {name!r} is missing: this is mmcv-lite, and only {', '.join(_OPERATORS)} are "
            "provided through torchvision. Install the full mmcv to use it."
        )

    return raise_error


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the kept indices by descending score; `offset` is 1 where x2, y2 are the last pixel inside, else 0."""
    return torchvision_nms(torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1), scores, iou_threshold)


def _roi_align_forward(
    input: Tensor,  # noqa: A002 - mmcv's name
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,  # noqa: ARG001 - only maximum pooling fills these
    argmax_x: Tensor,  # noqa: ARG001
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the RoIAlign of `input` `(B, C, H, W)` for `rois` `(N, 5)` into `output`."""
    if pool_mode != _AVERAGE:
        raise NotImplementedError("roi_align with pool_mode 'max' needs the full mmcv; use 'avg'.")
    size = (aligned_height, aligned_width)
    output.copy_(torchvision_roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned))


_OPERATORS: dict[str, Any] = {"nms": _nms, "roi_align_forward": _roi_align_forward}
