# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion of fused maps on the device to predictions in main memory."""

from __future__ import annotations

import torch
from torch import Tensor

from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network.fusion import FusedMap
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


def to_prediction(
    fused: FusedMap, classes: ClassTable, output_size: tuple[int, int] | None = None
) -> PanopticPrediction:
    """Convert a fused map to a prediction in main memory.

    Args:
        fused: The fused map.
        classes: Classes of the network.
        output_size: Height and width of the prediction in px; None keeps the size. The map is resized by taking the
            pixel at the same relative position; a segment without a pixel is left out. The probability follows it.

    Returns:
        The prediction.
    """
    segment_map, probability = fused.segment_map, fused.probability
    if output_size is not None:
        segment_map = resized(segment_map, output_size)
        probability = None if probability is None else resized(probability, output_size)

    height, width = segment_map.shape
    ids = segment_map.long()
    area_px = torch.bincount(ids.flatten(), minlength=len(fused.class_ids) + 1).tolist()
    on_row = torch.zeros(height, len(area_px), dtype=torch.bool, device=ids.device).scatter_(1, ids, True)
    on_column = torch.zeros(len(area_px), width, dtype=torch.bool, device=ids.device).scatter_(0, ids, True)
    y, x = _spans(on_row.T), _spans(on_column)

    segments = tuple(
        Segment(
            id=segment_id,
            class_id=class_id,
            label=classes.names[class_id],
            is_thing=classes.is_thing(class_id),
            score=score,
            area_px=area_px[segment_id],
            box_xyxy_px=(x[segment_id][0], y[segment_id][0], x[segment_id][1], y[segment_id][1]),
        )
        for segment_id, (class_id, score) in enumerate(zip(fused.class_ids, fused.scores, strict=True), start=1)
        if area_px[segment_id] > 0
    )
    stuff_probability = None if probability is None else probability.cpu().numpy()
    return PanopticPrediction(segment_map.cpu().numpy(), segments, classes, stuff_probability=stuff_probability)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map of labels by taking the pixel at the same relative position.

    Args:
        image: `(H, W)`.
        size: New height and width in px.

    Returns:
        `(height, width)` of the same dtype; `image` itself if it has this size.
    """
    if tuple(image.shape) == size:
        return image
    rows, columns = (
        torch.arange(new, device=image.device).mul(2).add(1).mul(old).div(2 * new, rounding_mode="floor")
        for new, old in zip(size, image.shape, strict=True)
    )
    return image[rows[:, None], columns]


def _spans(present: Tensor) -> list[list[int]]:
    """Return the first True and one past the last of each row of `(N, L)`; undefined for a row without any."""
    length = present.shape[1]
    first = present.byte().argmax(dim=1)
    last = length - present.flip(1).byte().argmax(dim=1)
    return torch.stack((first, last), dim=1).tolist()
