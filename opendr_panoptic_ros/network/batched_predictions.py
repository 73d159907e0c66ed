# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The predictions of a batch with one copy from the device to main memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network.enlarged_logits import EnlargedLogits
from opendr_panoptic_ros.network.fusion import class_probability
from opendr_panoptic_ros.network.predictions import resized
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

_COLUMNS = 8  # id, area, x1, y1, x2, y2, class, bits of the score


class Packed(NamedTuple):
    """The result of one image on the device.

    Attributes:
        table: `(codes, 8)` int32: id of the segment or 0, area, x1, y1, x2, y2, class and bits of the score.
        segment_map: `(H, W)` int16 ids of segments.
        probability: `(H, W)` uint8, or None.
        is_exact: `()` bool, whether the result is that of `PanopticFusion`.
    """

    table: Tensor
    segment_map: Tensor
    probability: Tensor | None
    is_exact: Tensor


def pack(
    code: Tensor,
    semantic: EnlargedLogits,
    labels: Tensor,
    scores: Tensor,
    is_exact: Tensor,
    *,
    num_stuff: int,
    min_stuff_area: int,
    output_size: tuple[int, int],
    with_confidence: bool,
) -> Packed:
    """Number the segments and measure them, as `PanopticFusion` and `to_prediction` do.

    Args:
        code: `(H, W)` int16, as of `batched_visit`.
        semantic: Semantic logits of the same size.
        labels: `(N,)` int64 classes of the instances, 0-based among the things.
        scores: `(N,)` float32 scores of the instances.
        is_exact: `()` bool.
        num_stuff: Number of stuff classes.
        min_stuff_area: Smallest area of a stuff segment in px of `code`.
        output_size: Height and width of the prediction in px.
        with_confidence: Whether to compute the probability.

    Returns:
        The result.
    """
    count = num_stuff + 1 + len(labels)
    area, _, _ = _measured(code, count)
    is_stuff = torch.arange(count, device=code.device) < num_stuff
    is_segment = (area > 0) & (~is_stuff | (area >= min_stuff_area))
    is_segment &= torch.arange(count, device=code.device) != num_stuff  # void
    # Instances come first, then stuff.
    in_order = is_segment.roll(-num_stuff - 1)
    ids = (in_order.cumsum(dim=0) * in_order).roll(num_stuff + 1).int()
    classes = torch.cat((torch.arange(num_stuff + 1, device=code.device), labels + num_stuff))
    scores = F.pad(scores, (num_stuff + 1, 0))

    segment_map = ids.to(torch.int16)[code.long()]
    probability = None
    if with_confidence:
        probability = class_probability(semantic, classes[code.long()], segment_map != 0)
        probability = resized(probability, output_size)
    if tuple(code.shape) != output_size:
        code, segment_map = resized(code, output_size), resized(segment_map, output_size)
    area, y, x = _measured(code, count)
    columns = (ids, area, x[:, 0], y[:, 0], x[:, 1], y[:, 1], classes.int(), scores.view(torch.int32))
    return Packed(torch.stack([column.int() for column in columns], dim=1), segment_map, probability, is_exact)


def unpack(results: list[Packed], classes: ClassTable) -> list[PanopticPrediction | None]:
    """Copy results to main memory, all of them at once.

    Args:
        results: Results of images of equal size.
        classes: Classes of the network.

    Returns:
        The predictions; None for a result that is not exact.
    """
    parts = []
    for table, segment_map, probability, is_exact in results:
        parts += [table.flatten().view(torch.uint8), segment_map.flatten().view(torch.uint8)]
        parts += [] if probability is None else [probability.flatten()]
        parts += [is_exact.view(torch.uint8)[None]]
    buffer = torch.cat(parts)
    on_host = buffer.to("cpu", non_blocking=True)
    if buffer.is_cuda:
        torch.cuda.current_stream(buffer.device).synchronize()  # the only one
    images = on_host.numpy().reshape(len(results), -1)
    return [_unpacked(image, result, classes) for image, result in zip(images, results, strict=True)]


def _unpacked(data: NDArray[np.uint8], result: Packed, classes: ClassTable) -> PanopticPrediction | None:
    if not data[-1]:
        return None
    shape = tuple(result.segment_map.shape)
    pixels = shape[0] * shape[1]
    table_end = result.table.numel() * 4
    table = data[:table_end].copy().view(np.int32).reshape(-1, _COLUMNS)
    segment_map = data[table_end : table_end + 2 * pixels].copy().view(np.int16).reshape(shape).astype(np.int32)
    probability = None
    if result.probability is not None:
        probability = data[table_end + 2 * pixels : -1].reshape(shape).copy()
    scores = table[:, 7].copy().view(np.float32)
    segments = []
    for row in sorted(np.flatnonzero((table[:, 0] > 0) & (table[:, 1] > 0)), key=lambda row: int(table[row, 0])):
        segment_id, area_px, x1, y1, x2, y2, class_id, _ = table[row].tolist()
        is_thing = classes.is_thing(class_id)
        segments.append(
            Segment(
                id=segment_id,
                class_id=class_id,
                label=classes.names[class_id],
                is_thing=is_thing,
                score=float(scores[row]) if is_thing else float("nan"),
                area_px=area_px,
                box_xyxy_px=(x1, y1, x2, y2),
            )
        )
    return PanopticPrediction(segment_map, tuple(segments), classes, stuff_probability=probability)


def _measured(code: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return of each code the area, `(count,)` int64, and the spans of its rows and of its columns, `(count, 2)`."""
    index = code.long()
    in_row = torch.zeros((code.shape[0], count), dtype=torch.int32, device=code.device)
    in_row.scatter_add_(1, index, torch.ones_like(index, dtype=torch.int32))
    on_column = torch.zeros((count, code.shape[1]), dtype=torch.bool, device=code.device)
    on_column.scatter_(0, index, True)
    return in_row.sum(dim=0), _spans(in_row.T > 0), _spans(on_column)


def _spans(present: Tensor) -> Tensor:
    """Return the first True and one past the last of each row of `(N, L)`; undefined for a row without any."""
    first = present.byte().argmax(dim=1)
    last = present.shape[1] - present.flip(1).byte().argmax(dim=1)
    return torch.stack((first, last), dim=1)
