# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Multi-scale and flip testing: each image is segmented at several sizes and mirrored, and the outputs are merged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.errors import ConfigError, quoted
from opendr_panoptic_ros.inference import PanopticSegmenter, fitted_size
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.network.boxes import nms
from opendr_panoptic_ros.network.predictions import to_prediction
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.prediction import PanopticPrediction

_MAX_SCALE = 4.0
_STRIDE = 4  # of the semantic logits


class MultiViewSegmenter(PanopticSegmenter):
    """Segments each image in several views: at several scales, and with `flip` mirrored as well.

    The semantic logits of the views are averaged. The detections of all views compete in one NMS within their class;
    each keeps its own box, score and mask. Then the fusion runs once, at the size of scale 1.

    The paper reports results with multi-scale and flip testing, without saying how the outputs are merged.

    Args:
        checkpoint: As in `PanopticSegmenter`.
        scales: Factors of the size at which the network would see an image, each above 0, at most 4.
        flip: Whether every view is also mirrored.
        settings: Further arguments of `PanopticSegmenter`.

    Raises:
        CheckpointError: As in `PanopticSegmenter`.
        ConfigError: There is no scale, or one is outside its range; or as in `PanopticSegmenter`.
    """

    def __init__(
        self,
        checkpoint: str | Path | EfficientPS,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        **settings: Any,
    ) -> None:
        if not scales or not all(0 < scale <= _MAX_SCALE for scale in scales):
            expected = f"one or more numbers above 0, at most {_MAX_SCALE}"
            raise ConfigError(f"scales is {quoted(scales)}; expected {expected}.")
        super().__init__(checkpoint, **settings)
        self._views = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]

    @override
    def _predict(
        self, images: list[NDArray[np.uint8]], test: TestConfig, with_confidence: bool
    ) -> list[PanopticPrediction]:
        return [self._merged(image, test, with_confidence) for image in images]

    @torch.inference_mode()
    def _merged(self, image: NDArray[np.uint8], test: TestConfig, with_confidence: bool) -> PanopticPrediction:
        height, width = image.shape[:2]
        base = fitted_size(height, width, self.inference_size, test)
        total: Tensor | None = None
        found: list[Detections] = []
        for scale, mirrored in self._views:
            size = (max(1, round(base[0] * scale)), max(1, round(base[1] * scale)))
            view = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
            logits, detections = self._heads_at(view, size, test)
            logits = resampled_logits(logits.float(), size, base, mirrored=mirrored)
            total = logits if total is None else total + logits
            found.append(detections_in(base, detections, size, mirrored=mirrored))
        assert total is not None  # noqa: S101 - there is at least one view
        fused = self._network.fusion(
            total / len(self._views),
            merged_detections(found, test),
            test,
            stride=self._network.semantic_head.stride,
            size=base,
            with_confidence=with_confidence,
        )
        return to_prediction(fused, self.config.classes, (height, width))

    def _heads_at(self, image: NDArray[np.uint8], size: tuple[int, int], test: TestConfig) -> tuple[Tensor, Detections]:
        """Return the semantic logits at the stride 4 and the detections in px of `size`, for the image at this size."""
        with self._exactness():
            dense = self._dense_part(self._input_of([image], size))
            return dense.semantic_logits[0], self._network.detect(dense, size, test)[0]


def resampled_logits(logits: Tensor, size: tuple[int, int], base: tuple[int, int], *, mirrored: bool) -> Tensor:
    """Resample the semantic logits of a view at the cells of the view of scale 1.

    Args:
        logits: `(classes, h, w)` float32 at the stride 4, which cover `size` and more.
        size: Height and width of the view in px.
        base: Height and width of the view of scale 1 in px.
        mirrored: Whether the view is mirrored.

    Returns:
        `(classes, ceil(base height / 4), ceil(base width / 4))` float32.
    """
    axes = []
    for length, base_length, cells, flips in zip(size, base, logits.shape[1:], (False, mirrored), strict=True):
        centre_px = (torch.arange(-(-base_length // _STRIDE), device=logits.device) + 0.5) * _STRIDE
        view_px = centre_px * (length / base_length)
        view_px = length - view_px if flips else view_px
        axes.append(2 * view_px / (_STRIDE * cells) - 1)  # -1 and 1 are the edges of the first and last cell
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((columns, rows), dim=-1)[None]
    sampled = F.grid_sample(logits[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0]


def detections_in(
    base: tuple[int, int], detections: Detections, size: tuple[int, int], *, mirrored: bool
) -> Detections:
    """Convert the detections of a view to px of the view of scale 1.

    Args:
        base: Height and width of the view of scale 1 in px.
        detections: Detections in px of the view; x2 and y2 are the last column and row inside.
        size: Height and width of the view in px.
        mirrored: Whether the view is mirrored.

    Returns:
        The detections.
    """
    x1, y1, x2, y2 = detections.boxes.unbind(dim=1)
    masks = detections.mask_logits
    if mirrored:
        x1, x2 = size[1] - 1 - x2, size[1] - 1 - x1
        masks = masks.flip(-1)
    factor_y, factor_x = base[0] / size[0], base[1] / size[1]
    boxes = torch.stack((x1 * factor_x, y1 * factor_y, (x2 + 1) * factor_x - 1, (y2 + 1) * factor_y - 1), dim=1)
    return detections._replace(boxes=boxes, mask_logits=masks)


def merged_detections(views: Sequence[Detections], test: TestConfig) -> Detections:
    """Merge the detections of several views by NMS within each class.

    Args:
        views: Detections of each view, in px of one view.
        test: Settings with the largest IoU of two detections of a class, and the largest number of detections.

    Returns:
        The remaining detections by descending score.
    """
    boxes, scores, labels, masks = (torch.cat(values) for values in zip(*views, strict=True))
    if len(boxes) == 0:
        return Detections(boxes, scores, labels, masks)
    offsets = labels.to(boxes) * (boxes.max() + 2)
    keep = nms(boxes + offsets[:, None], scores, test.box_nms_threshold)
    keep = keep[scores[keep].sort(descending=True, stable=True).indices[: test.max_detections]]
    return Detections(boxes[keep], scores[keep], labels[keep], masks[keep])
