# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The panoptic fusion: semantic logits and instances become one map without overlaps (paper section 3.5)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

_NO_INSTANCE = -1


class Window(NamedTuple):
    """A half-open rectangle of pixels."""

    y0: int
    y1: int
    x0: int
    x1: int

    def of(self, image: Tensor) -> Tensor:
        """The view of `(..., H, W)` inside this window."""
        return image[..., self.y0 : self.y1, self.x0 : self.x1]

    def contains(self, y: Tensor, x: Tensor) -> Tensor:
        """Whether each pixel lies inside."""
        return (y >= self.y0) & (y < self.y1) & (x >= self.x0) & (x < self.x1)


class Visit(NamedTuple):
    """How the instances compete. All tensors stay on the device of the logits.

    winner: `(H, W)` int16, the place in the visiting order of the instance that got the pixel, -1 for stuff.
    order: `(N,)` int64 indices of the detections by descending score. area, intersection: `(N,)` int64 px, each visited
    mask and its overlap with the masks kept before. kept: `(N,)` bool.
    """

    winner: Tensor
    order: Tensor
    area: Tensor
    intersection: Tensor
    kept: Tensor


class FusedMap(NamedTuple):
    """The fused map on the device of the logits, and what its ids mean.

    segment_map: `(H, W)` int32, 0 = void. class_ids, scores: of the segments 1, 2, …; instances first, by descending
    score, then stuff (score NaN) by ascending class.
    """

    segment_map: Tensor
    class_ids: list[int]
    scores: list[float]


class PanopticFusion(nn.Module):
    """The panoptic map of one image. Has no weights.

    Deviations from the published program, in cases it gets wrong: a box without width or height is dropped instead of
    taking all other instances with it, and where stuff wins no pixel at all the first instance still gets an id.
    """

    def __init__(self, num_stuff: int) -> None:
        super().__init__()
        self.num_stuff = num_stuff

    def forward(self, semantic_logits: Tensor, detections: Detections, test: TestConfig) -> FusedMap:
        """semantic_logits: `(classes, H, W)` float. detections: boxes in px of the same image."""
        boxes = detections.boxes
        drawable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        detections = Detections(*(field[drawable] for field in detections))
        visit = visit_instances(semantic_logits, detections, num_stuff=self.num_stuff, test=test)

        # One code per pixel: stuff classes first, then void, then the instances in visiting order.
        void = self.num_stuff
        pixel_class = semantic_logits.argmax(dim=0).clamp(max=void)
        code = torch.where(visit.winner == _NO_INSTANCE, pixel_class, visit.winner.long() + void + 1)
        area_px = torch.bincount(code.flatten(), minlength=void + 1 + len(visit.order)).tolist()

        labels, scores = detections.labels[visit.order].tolist(), detections.scores[visit.order].tolist()
        instances = [i for i in range(len(labels)) if area_px[void + 1 + i] > 0]
        stuff = [c for c in range(void) if area_px[c] > 0 and area_px[c] >= test.min_stuff_area]
        codes = [void + 1 + i for i in instances] + stuff
        segment_of_code = torch.zeros(len(area_px), dtype=torch.int32)
        segment_of_code[codes] = torch.arange(1, len(codes) + 1, dtype=torch.int32)
        return FusedMap(
            segment_map=segment_of_code.to(code.device)[code],
            class_ids=[void + labels[i] for i in instances] + stuff,
            scores=[scores[i] for i in instances] + [math.nan] * len(stuff),
        )


def visit_instances(semantic_logits: Tensor, detections: Detections, *, num_stuff: int, test: TestConfig) -> Visit:
    """Which instance gets which pixel. Detections are visited by descending score; all boxes have an area.

    Each instance is worked on inside a window around its box only, and nothing waits for the device inside the loop.
    """
    height, width = semantic_logits.shape[1:]
    order = detections.scores.sort(descending=True, stable=True).indices
    boxes = detections.boxes[order].tolist()
    labels = detections.labels[order].tolist()

    best = semantic_logits[:num_stuff].amax(dim=0)
    winner = torch.full_like(best, _NO_INSTANCE, dtype=torch.int16)
    taken = torch.zeros_like(best, dtype=torch.bool)
    windows, areas, intersections, kept = [], [], [], []
    for i, box in enumerate(boxes):
        window = (_box_window if test.contain_instances else _mask_window)(box, height, width)
        mask_logits = sample_mask_logits(detections.mask_logits[order[i]], box, window)
        mask = mask_logits.sigmoid() > test.mask_threshold
        already = window.of(taken)
        area, intersection = mask.sum(), (mask & already).sum()
        # 0 / 0 is NaN and keeps an empty mask, as published: it may still win pixels by its semantic logits.
        keep = ~(intersection / area > test.overlap_threshold)
        already |= mask & keep

        semantic = torch.zeros_like(mask_logits)
        inner = _semantic_window(box, height, width)
        Window(inner.y0 - window.y0, inner.y1 - window.y0, inner.x0 - window.x0, inner.x1 - window.x0).of(
            semantic
        ).copy_(inner.of(semantic_logits[num_stuff + labels[i]]))
        mask_logits = 4 * mask_logits
        fused = (mask_logits.sigmoid() + semantic.sigmoid()) * (mask_logits + semantic)
        best_here = window.of(best)
        better = keep & (fused > best_here)
        best_here.copy_(torch.where(better, fused, best_here))
        window.of(winner).masked_fill_(better, i)
        windows.append(window)
        areas.append(area)
        intersections.append(intersection)
        kept.append(keep)

    visit = Visit(winner, order, _stack(areas, order), _stack(intersections, order), _stack(kept, order).bool())
    if not test.contain_instances:
        _give_negative_pixels(visit, best, windows)
    return visit


def sample_mask_logits(mask_logits: Tensor, box: list[float], window: Window) -> Tensor:
    """Mask logits `(28, 28)` of a box, sampled bilinearly at the pixel centres of a window: `(h, w)`, zero outside.

    The sampling is separable: a matrix of tent weights for the rows, and one for the columns.
    """
    x1, y1, x2, y2 = box
    rows = _tent_weights(window.y0, window.y1, y1, y2, mask_logits)
    columns = _tent_weights(window.x0, window.x1, x1, x2, mask_logits)
    return rows @ mask_logits @ columns.T


def _tent_weights(start: int, stop: int, low: float, high: float, like: Tensor) -> Tensor:
    """`(stop - start, 28)`: how much each mask cell counts at each pixel centre of one axis."""
    cells = like.shape[-1]
    centres = torch.arange(start, stop, device=like.device, dtype=torch.float32) + 0.5
    position = cells * (centres - low) / (high - low) - 0.5
    distance = position[:, None] - torch.arange(cells, device=like.device, dtype=torch.float32)
    return (1 - distance.abs()).clamp(min=0).to(like.dtype)


def _box_window(box: list[float], height: int, width: int) -> Window:
    """Return the pixels of a box, rounded outward; a box clipped at the last row or column includes it."""
    x1, y1, x2, y2 = box
    x2, y2 = (width if x2 >= width - 1 else x2), (height if y2 >= height - 1 else y2)
    return _clip(y1, y2, x1, x2, height, width)


def _mask_window(box: list[float], height: int, width: int) -> Window:
    """Every pixel where the mask, half a cell wider than its box, or the semantic logits of the box can be non-zero."""
    x1, y1, x2, y2 = box
    margin_x, margin_y = (x2 - x1) / 56 + 1, (y2 - y1) / 56 + 1
    return _clip(y1 - margin_y, y2 + margin_y + 1, x1 - margin_x, x2 + margin_x + 1, height, width)


def _semantic_window(box: list[float], height: int, width: int) -> Window:
    """The pixels of a box whose semantic logits count: half a pixel is rounded to the even side, as published."""
    x1, y1, x2, y2 = box
    return _clip(int(y1 + 1), round(y2 - 1) + 1, int(x1 + 1), round(x2 - 1) + 1, height, width)


def _clip(y0: float, y1: float, x0: float, x1: float, height: int, width: int) -> Window:
    top, left = min(max(math.floor(y0), 0), height), min(max(math.floor(x0), 0), width)
    return Window(top, max(min(math.ceil(y1), height), top), left, max(min(math.ceil(x1), width), left))


def _give_negative_pixels(visit: Visit, best: Tensor, windows: list[Window]) -> None:
    """Pixels where no candidate is above zero go to the first kept instance that lies elsewhere, in place.

    Outside its window an instance's fused logit is exactly 0, which beats negative ones: a property of the published
    fusion. Such pixels are rare, so they are looked at by themselves instead of in every window of the image.
    """
    kept = visit.kept.nonzero().squeeze(1).tolist()
    if not kept:
        return
    y, x = (best <= 0).nonzero(as_tuple=True)
    first = torch.full_like(visit.winner[y, x], len(windows))  # len(windows): none lies elsewhere
    for i in kept:
        undecided = first == len(windows)
        if not undecided.any():
            break
        first[undecided & ~windows[i].contains(y, x)] = i
    winner, value = visit.winner[y, x], best[y, x]
    # At exactly zero the earlier candidate wins: stuff before all instances, then the visiting order.
    wins = (first < len(windows)) & ((value < 0) | ((winner != _NO_INSTANCE) & (first < winner)))
    visit.winner[y[wins], x[wins]] = first[wins]


def _stack(values: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(values) if values else torch.zeros_like(like)


def to_prediction(
    fused: FusedMap, classes: ClassTable, output_size: tuple[int, int] | None = None
) -> PanopticPrediction:
    """The fused map as a PanopticPrediction in main memory, at `output_size` (height, width) if that is given.

    The map is resized by taking the pixel at the same relative position; a segment that has no pixel left is left out.
    """
    segment_map = fused.segment_map
    if output_size is not None and output_size != tuple(segment_map.shape):
        rows, columns = (
            torch.arange(new, device=segment_map.device).mul(2).add(1).mul(old).div(2 * new, rounding_mode="floor")
            for new, old in zip(output_size, segment_map.shape, strict=True)
        )
        segment_map = segment_map[rows[:, None], columns]

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
    return PanopticPrediction(segment_map.cpu().numpy(), segments, classes)


def _spans(present: Tensor) -> list[list[int]]:
    """First and one past the last True of each row of `(N, L)`; meaningless for a row without any."""
    length = present.shape[1]
    first = present.byte().argmax(dim=1)
    last = length - present.flip(1).byte().argmax(dim=1)
    return torch.stack((first, last), dim=1).tolist()
