# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The panoptic fusion: semantic logits and detections to one map without overlaps (paper section 3.5)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import to_mask_cells
from opendr_panoptic_ros.network.enlarged_logits import EnlargedLogits
from opendr_panoptic_ros.network.roi_heads import Detections
from opendr_panoptic_ros.network.windows import Window

_NO_INSTANCE = -1


class Visit(NamedTuple):
    """The competition of the instances for pixels. All tensors are on the device of the logits.

    Attributes:
        winner: `(H, W)` int16, the place in the visiting order of the instance that won the pixel, -1 where none did.
        order: `(N,)` int64 indices of the detections by descending score, the visiting order.
        area: `(N,)` int64 px, the area of each visited mask.
        intersection: `(N,)` int64 px, the overlap of each visited mask with the masks kept before it.
        kept: `(N,)` bool, whether the overlap is small enough.
    """

    winner: Tensor
    order: Tensor
    area: Tensor
    intersection: Tensor
    kept: Tensor


class FusedMap(NamedTuple):
    """The fused map of one image.

    Attributes:
        segment_map: `(H, W)` int32 on the device of the logits; 0 is void, else the segment's number.
        class_ids: Train ids of the segments 1, 2, …: instances by descending score, then stuff by ascending class.
        scores: Scores of the same segments; NaN for stuff.
        probability: `(H, W)` uint8 on the device of the logits, 255 times the semantic softmax of the class of each
            pixel's segment, 0 for void; None if it was not requested.
    """

    segment_map: Tensor
    class_ids: list[int]
    scores: list[float]
    probability: Tensor | None = None


class PanopticFusion(nn.Module):
    """The fusion of the two heads' outputs for one image. It has no weights.

    Deviations from the published program:
    - An instance gets no pixel outside its box, unless `contain_instances` is false.
    - A box without width or height is dropped; published, all instances of the image are lost.
    - If stuff wins no pixel of the image, the first instance gets an id nevertheless.

    Args:
        num_stuff: Number of stuff classes.
    """

    def __init__(self, num_stuff: int) -> None:
        super().__init__()
        self.num_stuff = num_stuff

    def forward(
        self,
        semantic_logits: Tensor,
        detections: Detections,
        test: TestConfig,
        *,
        stride: int = 1,
        size: tuple[int, int] | None = None,
        with_confidence: bool = False,
    ) -> FusedMap:
        """Fuse the outputs of the heads.

        Args:
            semantic_logits: `(classes, h, w)` float.
            detections: Detections with boxes in px of the same image.
            test: Settings of the fusion.
            stride: Stride of the semantic logits in px; they are enlarged where they are needed.
            size: Height H and width W of the map in px, at most `(h * stride, w * stride)`, which None stands for.
            with_confidence: Whether to compute `FusedMap.probability`.

        Returns:
            The fused map.
        """
        size = size or (semantic_logits.shape[1] * stride, semantic_logits.shape[2] * stride)
        semantic = EnlargedLogits(semantic_logits, stride, size)
        boxes = detections.boxes
        drawable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        detections = Detections(*(field[drawable] for field in detections))
        pixel_class, best_stuff = semantic.best(self.num_stuff)
        visit = _visit(semantic, best_stuff, detections, self.num_stuff, test)

        # One code per pixel: stuff classes first, then void, then the instances in visiting order.
        void = self.num_stuff
        code = torch.where(visit.winner == _NO_INSTANCE, pixel_class.clamp(max=void), visit.winner + (void + 1)).int()
        area_px = torch.bincount(code.flatten(), minlength=void + 1 + len(visit.order)).tolist()

        labels, scores = detections.labels[visit.order].tolist(), detections.scores[visit.order].tolist()
        instances = [i for i in range(len(labels)) if area_px[void + 1 + i] > 0]
        stuff = [c for c in range(void) if area_px[c] > 0 and area_px[c] >= test.min_stuff_area]
        codes = [void + 1 + i for i in instances] + stuff
        segment_of_code = torch.zeros(len(area_px), dtype=torch.int32)
        segment_of_code[codes] = torch.arange(1, len(codes) + 1, dtype=torch.int32)
        segment_map = segment_of_code.to(code.device).index_select(0, code.flatten()).view(code.shape)
        class_ids = [void + labels[i] for i in instances] + stuff
        return FusedMap(
            segment_map=segment_map,
            class_ids=class_ids,
            scores=[scores[i] for i in instances] + [math.nan] * len(stuff),
            probability=_probability(semantic, segment_map, class_ids) if with_confidence else None,
        )


def segment_probability(semantic_logits: Tensor, segment_map: Tensor, class_ids: list[int]) -> Tensor:
    """Compute the semantic softmax probability of the class of each pixel's segment.

    Args:
        semantic_logits: `(classes, H, W)` float.
        segment_map: `(H, W)` int32 numbers of segments, 0 for void.
        class_ids: Train ids of the segments 1, 2, ….

    Returns:
        `(H, W)` uint8, 255 times the probability, rounded; 0 for void.
    """
    height, width = segment_map.shape
    return _probability(EnlargedLogits(semantic_logits, 1, (height, width)), segment_map, class_ids)


def _probability(semantic: EnlargedLogits, segment_map: Tensor, class_ids: list[int]) -> Tensor:
    """Return what `segment_probability` does."""
    class_of_segment = torch.tensor([0, *class_ids], device=segment_map.device)
    return class_probability(semantic, class_of_segment[segment_map.long()], segment_map != 0)


def class_probability(semantic: EnlargedLogits, classes: Tensor, counts: Tensor) -> Tensor:
    """Compute the softmax probability of a class of each pixel. The rows are processed in groups.

    Args:
        semantic: Semantic logits.
        classes: `(H, W)` int64, the class of each pixel.
        counts: `(H, W)` bool, the pixels that count.

    Returns:
        `(H, W)` uint8, 255 times the probability, rounded; 0 where the pixel does not count.
    """
    groups = []
    for rows, logits in semantic.row_groups():
        own = logits.gather(0, classes[rows][None])[0]
        probability = (own - logits.logsumexp(dim=0)).exp()
        groups.append((255 * probability).round().masked_fill(~counts[rows], 0).byte())
    return torch.cat(groups)


def visit_instances(semantic_logits: Tensor, detections: Detections, *, num_stuff: int, test: TestConfig) -> Visit:
    """Let stuff and instances compete for each pixel.

    Args:
        semantic_logits: `(classes, H, W)` float.
        detections: Detections whose boxes have a width and a height.
        num_stuff: Number of stuff classes.
        test: Settings of the fusion.

    Returns:
        The instance that wins each pixel, and what was decided about each instance.
    """
    semantic = EnlargedLogits(semantic_logits, 1, (semantic_logits.shape[1], semantic_logits.shape[2]))
    return _visit(semantic, semantic.best(num_stuff)[1], detections, num_stuff, test)


def _visit(semantic: EnlargedLogits, best: Tensor, detections: Detections, num_stuff: int, test: TestConfig) -> Visit:
    """Return what `visit_instances` does.

    The detections are visited by descending score, each inside a window around its box.

    Args:
        semantic: Semantic logits.
        best: `(H, W)` float32, the largest logit of a stuff class, which is overwritten.
        detections: Detections whose boxes have a width and a height.
        num_stuff: Number of stuff classes.
        test: Settings of the fusion.
    """
    height, width = semantic.size
    order = detections.scores.sort(descending=True, stable=True).indices
    boxes = detections.boxes[order].tolist()
    labels = detections.labels[order].tolist()
    mask_logit = float(torch.logit(torch.tensor(test.mask_threshold, dtype=torch.float64)))

    winner = torch.full_like(best, _NO_INSTANCE, dtype=torch.int16)
    taken = torch.zeros_like(best, dtype=torch.bool)
    windows, areas, intersections, kept = [], [], [], []
    for i, box in enumerate(boxes):
        window = (_box_window if test.contain_instances else _mask_window)(box, height, width)
        fused = sample_mask_logits(detections.mask_logits[order[i]], box, window)
        mask = fused > mask_logit
        already = window.of(taken)
        area, intersection = int(mask.sum()), int((mask & already).sum())
        # An empty mask is kept, as published, where 0 / 0 is NaN: its semantic logits may still win pixels.
        keep = area == 0 or intersection / area <= test.overlap_threshold
        windows.append(window)
        areas.append(area)
        intersections.append(intersection)
        kept.append(keep)
        if not keep:
            continue
        already |= mask
        inner = _semantic_window(box, height, width)
        _fuse_logits_(fused, inner.relative_to(window), semantic.channel(num_stuff + labels[i], inner))
        best_here = window.of(best)
        window.of(winner).masked_fill_(fused > best_here, i)
        torch.maximum(best_here, fused, out=best_here)

    visit = Visit(
        winner,
        order,
        area=order.new_tensor(areas),
        intersection=order.new_tensor(intersections),
        kept=torch.tensor(kept, dtype=torch.bool, device=order.device),
    )
    if not test.contain_instances:
        give_negative_pixels(visit, best, windows)
    return visit


def _fuse_logits_(mask_logits: Tensor, inner: Window, semantic: Tensor) -> None:
    """Fuse the two logits of an instance, in place: `(σ(A) + σ(B)) · (A + B)` of A = 4 · mask and B = semantic.

    Args:
        mask_logits: `(h, w)`, overwritten by the result.
        inner: Part of `mask_logits` that `semantic` covers; elsewhere B is 0.
        semantic: Semantic logits in `inner`.
    """
    mask_logits *= 4
    total = mask_logits.clone()
    weight = mask_logits.sigmoid_()
    inner.of(total).add_(semantic)
    semantic_weight = torch.full_like(weight, 0.5)
    torch.sigmoid(semantic, out=inner.of(semantic_weight))
    weight.add_(semantic_weight).mul_(total)


def sample_mask_logits(mask_logits: Tensor, box: list[float], window: Window) -> Tensor:
    """Sample the mask of a box bilinearly at the pixel centres of a window.

    The sampling is separable: one matrix of tent weights for the rows, and one for the columns.

    Args:
        mask_logits: `(28, 28)`.
        box: x1, y1, x2, y2 in px, with a width and a height.
        window: The pixels, `h` rows and `w` columns.

    Returns:
        `(h, w)`; zero more than half a cell outside the box.
    """
    x1, y1, x2, y2 = box
    rows = _tent_weights(window.y0, window.y1, y1, y2, mask_logits)
    columns = _tent_weights(window.x0, window.x1, x1, x2, mask_logits)
    return rows @ mask_logits @ columns.T


def _tent_weights(start: int, stop: int, low: float, high: float, like: Tensor) -> Tensor:
    """Return `(stop - start, 28)`: the weight of each mask cell at each pixel centre of one axis."""
    cells = like.shape[-1]
    centres = torch.arange(start, stop, device=like.device, dtype=torch.float32) + 0.5
    position = to_mask_cells(centres, low, high, cells) - 0.5
    distance = position[:, None] - torch.arange(cells, device=like.device, dtype=torch.float32)
    return (1 - distance.abs()).clamp(min=0).to(like.dtype)


def _box_window(box: list[float], height: int, width: int) -> Window:
    """Return the pixels of a box, rounded outward; a box clipped at the last row or column includes it."""
    x1, y1, x2, y2 = box
    x2, y2 = (width if x2 >= width - 1 else x2), (height if y2 >= height - 1 else y2)
    return _clip(y1, y2, x1, x2, height, width)


def _mask_window(box: list[float], height: int, width: int) -> Window:
    """Return the pixels where the sampled mask, half a cell wider than its box, or the semantics may be non-zero."""
    x1, y1, x2, y2 = box
    margin_x, margin_y = (x2 - x1) / 56 + 1, (y2 - y1) / 56 + 1
    return _clip(y1 - margin_y, y2 + margin_y + 1, x1 - margin_x, x2 + margin_x + 1, height, width)


def _semantic_window(box: list[float], height: int, width: int) -> Window:
    """Return the pixels of a box whose semantic logits count; half pixels are rounded to even, as published."""
    x1, y1, x2, y2 = box
    return _clip(int(y1 + 1), round(y2 - 1) + 1, int(x1 + 1), round(x2 - 1) + 1, height, width)


def _clip(y0: float, y1: float, x0: float, x1: float, height: int, width: int) -> Window:
    top, left = min(max(math.floor(y0), 0), height), min(max(math.floor(x0), 0), width)
    return Window(top, max(min(math.ceil(y1), height), top), left, max(min(math.ceil(x1), width), left))


def give_negative_pixels(visit: Visit, best: Tensor, windows: list[Window]) -> None:
    """Give the pixels whose logits are all negative to the first kept instance that lies elsewhere, in place.

    This is part of the published rule: outside its window the fused logit of an instance is exactly 0, which beats
    negative ones. The pixels are handled together here, so that the windows can stay small.

    Args:
        visit: The visit, whose winners are changed.
        best: `(H, W)` float32, the largest logit of each pixel.
        windows: Window of each visited instance.
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
