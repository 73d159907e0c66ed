# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The panoptic fusion in tensors of fixed shapes, for GPUs: all instances at once, tile by tile of the image.

Each tile of 32 × 32 pixels has a fixed number of places for the instances whose windows meet it, in visiting order. The
work is that of the places, whatever the number of instances, and nothing waits for the device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from opendr_panoptic_ros.config import TestConfig
from opendr_panoptic_ros.network.boxes import to_mask_cells
from opendr_panoptic_ros.network.enlarged_logits import EnlargedLogits
from opendr_panoptic_ros.network.roi_heads import Detections

_TILE = 32
_MAX_PLACES = 16
_ROUNDS = 12
_GROUP_PAIRS = 8192


class Windows(NamedTuple):
    """Half-open rectangles of pixels.

    Attributes:
        y0: `(N,)` int64, first rows.
        y1: `(N,)` int64, first rows below.
        x0: `(N,)` int64, first columns.
        x1: `(N,)` int64, first columns to the right.
    """

    y0: Tensor
    y1: Tensor
    x0: Tensor
    x1: Tensor

    def rows(self, y: Tensor) -> Tensor:
        """Test which rows lie inside.

        Args:
            y: `(L,)` rows.

        Returns:
            `(N, L)` bool.
        """
        return (y >= self.y0[:, None]) & (y < self.y1[:, None])

    def columns(self, x: Tensor) -> Tensor:
        """Test which columns lie inside.

        Args:
            x: `(L,)` columns.

        Returns:
            `(N, L)` bool.
        """
        return (x >= self.x0[:, None]) & (x < self.x1[:, None])


class BatchedVisit(NamedTuple):
    """The competition of N instances for the pixels of an image.

    Attributes:
        code: `(H, W)` int16: the class of stuff, the number of stuff classes for void, or that plus one plus the place
            of the instance that won the pixel.
        is_exact: `()` bool, whether the result is that of `PanopticFusion`.
    """

    code: Tensor
    is_exact: Tensor


def batched_visit(
    semantic_logits: Tensor,
    detections: Detections,
    is_valid: Tensor,
    *,
    stride: int,
    size: tuple[int, int],
    num_stuff: int,
    test: TestConfig,
) -> BatchedVisit:
    """Let stuff and instances compete for each pixel, as `PanopticFusion` does.

    Args:
        semantic_logits: `(classes, h, w)` float; h and w are multiples of 32 / stride.
        detections: Detections by descending score.
        is_valid: `(N,)` bool, which of them count.
        stride: Stride of the semantic logits in px.
        size: Height and width of the image in px.
        num_stuff: Number of stuff classes.
        test: Settings of the fusion.

    Returns:
        The winner of each pixel.
    """
    padded_size = semantic_logits.shape[1] * stride, semantic_logits.shape[2] * stride
    semantic = EnlargedLogits(semantic_logits, stride, padded_size)
    pixel_class, best_stuff = semantic.best(num_stuff)
    tiles = _Tiles(semantic, detections, is_valid, size, num_stuff, test)
    kept, is_settled = tiles.decide()
    winner = tiles.compete(kept, best_stuff)
    stuff_code = pixel_class.clamp(max=num_stuff).to(torch.int16)
    code = torch.where(winner < 0, stuff_code, winner + (num_stuff + 1))
    return BatchedVisit(code[: size[0], : size[1]], is_settled & ~tiles.is_overfull)


class _Tiles:
    """The pairs of tiles and instances of one image, and what is sampled in them; arguments as of `batched_visit`."""

    def __init__(
        self,
        semantic: EnlargedLogits,
        detections: Detections,
        is_valid: Tensor,
        size: tuple[int, int],
        num_stuff: int,
        test: TestConfig,
    ) -> None:
        self.semantic = semantic
        self.test = test
        self.num_stuff = num_stuff
        device = is_valid.device
        boxes = detections.boxes.double()
        is_valid = is_valid & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        # One more instance, without pixels, stands in the places that are empty.
        self.count = len(boxes)
        self.is_valid = F.pad(is_valid, (0, 1))
        boxes = F.pad(torch.where(is_valid[:, None], boxes, 0.0), (0, 0, 0, 1))
        self.masks = F.pad(detections.mask_logits.float(), (0, 0, 0, 0, 0, 1))
        self.labels = F.pad(detections.labels, (0, 1))
        self.windows = _windows(boxes, size, self.is_valid, contain=test.contain_instances)
        self.semantic_windows = _semantic_windows(boxes, size, self.is_valid)

        self.rows, self.columns = (side // _TILE for side in semantic.size)
        y, x = (torch.arange(side, device=device) for side in semantic.size)
        row_inside = self.windows.rows(y).unflatten(1, (self.rows, _TILE))
        column_inside = self.windows.columns(x).unflatten(1, (self.columns, _TILE))
        meets = row_inside.any(dim=2)[:, :, None] & column_inside.any(dim=2)[:, None, :]
        meets = meets[:-1].flatten(1).T
        place = meets.cumsum(dim=1)
        self.places = min(_MAX_PLACES, self.count)
        self.is_overfull = (place > self.places).any()
        table = torch.full((len(meets), self.places + 1), self.count, device=device)
        target = torch.where(meets & (place <= self.places), place - 1, self.places)
        numbers = torch.arange(self.count, device=device).expand_as(target)
        self.table = table.scatter(1, target, numbers)[:, :-1]  # (tiles, places): instances in visiting order

        self._row_inside, self._column_inside = row_inside, column_inside
        self._semantic_rows = self.semantic_windows.rows(y).unflatten(1, (self.rows, _TILE))
        self._semantic_columns = self.semantic_windows.columns(x).unflatten(1, (self.columns, _TILE))
        low, high = boxes.float()[:, :2], boxes.float()[:, 2:]
        cells = self.masks.shape[-1]
        sampled_rows = _tents(y, low[:, 1], high[:, 1], cells) @ self.masks
        self._sampled_rows = sampled_rows.unflatten(1, (self.rows, _TILE))
        self._column_tents = _tents(x, low[:, 0], high[:, 0], cells).unflatten(1, (self.columns, _TILE))

        # Of the semantic logits, each tile with one more row and column on each side.
        self._side = _TILE // semantic.stride
        padded = F.pad(semantic.logits[None], (1, 1, 1, 1), mode="replicate")[0]
        self._blocks = padded.unfold(1, self._side + 2, self._side).unfold(2, self._side + 2, self._side)
        position = (torch.arange(_TILE, device=device) + 0.5) / semantic.stride + 0.5
        nodes = torch.arange(self._side + 2, device=device)
        self._enlarging = (1 - (position[:, None] - nodes).abs()).clamp(min=0)

    def decide(self) -> tuple[Tensor, Tensor]:
        """Decide which instances are kept: those that are not mostly covered by kept ones before them.

        The decisions are made together and repeated until none changes.

        Returns:
            `(N + 1,)` bool, and whether the rounds were enough, `()` bool.
        """
        threshold = float(torch.logit(torch.tensor(self.test.mask_threshold, dtype=torch.float64)))
        inside = [(self._mask_logits(group) > threshold) & self._inside(group) for group in self._groups()]
        mask = torch.cat(inside)  # (tiles, places, 32, 32)
        area = self._per_instance(mask.sum(dim=(2, 3)))
        numbers = torch.arange(self.places, device=mask.device, dtype=torch.int8)[:, None, None]
        kept, previous = self.is_valid, self.is_valid
        for _ in range(_ROUNDS):
            previous = kept
            covers = mask & kept[self.table][:, :, None, None]
            first = torch.where(covers, numbers, self.places).amin(dim=1, keepdim=True)
            intersection = self._per_instance((mask & (first < numbers)).sum(dim=(2, 3)))
            kept = self.is_valid & ~(intersection.double() / area > self.test.overlap_threshold)
        return kept, (kept == previous).all()

    def compete(self, kept: Tensor, best_stuff: Tensor) -> Tensor:
        """Give each pixel to stuff or to an instance.

        Args:
            kept: `(N + 1,)` bool, the instances that are kept.
            best_stuff: `(H, W)` float32, the largest logit of a stuff class.

        Returns:
            `(H, W)` int16, the instance that won the pixel, -1 where none did.
        """
        best_stuff = _to_tiles(best_stuff)
        winners = []
        for group in self._groups():
            table, stuff = self.table[group], best_stuff[group]
            inside = self._inside(group) & kept[table][:, :, None, None]
            mask_logits = 4 * self._mask_logits(group)
            semantic = self._semantic_logits(group)
            fused = (mask_logits.sigmoid() + semantic.sigmoid()) * (mask_logits + semantic)
            fused = fused.masked_fill_(~inside, -math.inf)
            best = fused.amax(dim=1)
            from_end = torch.arange(self.places, 0, -1, dtype=torch.uint8, device=fused.device)[:, None, None]
            place = self.places - ((fused == best[:, None]).view(torch.uint8) * from_end).amax(dim=1)
            winner = table.gather(1, place.flatten(1).long()).view_as(place)
            winner = torch.where(best > stuff, winner, -1)
            if not self.test.contain_instances:
                winner = self._with_negative_pixels(winner, torch.maximum(best, stuff), inside, table, kept)
            winners.append(winner.to(torch.int16))
        tiled = torch.cat(winners).unflatten(0, (self.rows, self.columns))
        return tiled.transpose(1, 2).flatten(2).flatten(0, 1)

    def _with_negative_pixels(
        self, winner: Tensor, best: Tensor, inside: Tensor, table: Tensor, kept: Tensor
    ) -> Tensor:
        """Return the winners after the published rule of `fusion.give_negative_pixels`."""
        rank = kept.cumsum(dim=0) - 1
        # The first kept instance that lies elsewhere has the smallest rank that no instance at the pixel has.
        first = torch.zeros_like(winner)
        for place in range(self.places):
            first += inside[:, place] & (rank[table[:, place]][:, None, None] == first)
        kept_in_order = (~kept).sort(stable=True).indices
        is_there = first < kept.sum()
        elsewhere = kept_in_order[first.clamp(max=self.count)]
        wins = is_there & ((best < 0) | ((best == 0) & (winner >= 0) & (elsewhere < winner)))
        return torch.where(wins, elsewhere, winner)

    def _groups(self) -> list[slice]:
        """Return groups of tiles whose pairs fit into a moderate amount of memory."""
        tiles = max(1, _GROUP_PAIRS // self.places)
        return [slice(start, start + tiles) for start in range(0, len(self.table), tiles)]

    def _tile_indices(self, group: slice) -> tuple[Tensor, Tensor]:
        """Return row and column of each tile of a group, `(tiles, 1)`."""
        tile = torch.arange(self.rows * self.columns, device=self.table.device)[group, None]
        row = tile.div(self.columns, rounding_mode="floor")
        return row, tile - row * self.columns

    def _inside(self, group: slice) -> Tensor:
        """Return which pixels lie in the windows, `(tiles, places, 32, 32)` bool."""
        row, column = self._tile_indices(group)
        table = self.table[group]
        return self._row_inside[table, row][..., :, None] & self._column_inside[table, column][..., None, :]

    def _mask_logits(self, group: slice) -> Tensor:
        """Return the sampled masks, `(tiles, places, 32, 32)`."""
        row, column = self._tile_indices(group)
        table = self.table[group]
        return self._sampled_rows[table, row] @ self._column_tents[table, column].transpose(2, 3)

    def _semantic_logits(self, group: slice) -> Tensor:
        """Return the semantic logits of each instance's class, 0 outside its semantic window."""
        row, column = self._tile_indices(group)
        table = self.table[group]
        blocks = self._blocks[self.num_stuff + self.labels[table], row, column]
        enlarged = self._enlarging @ blocks @ self._enlarging.T
        counts = self._semantic_rows[table, row][..., :, None] & self._semantic_columns[table, column][..., None, :]
        return enlarged * counts

    def _per_instance(self, per_pair: Tensor) -> Tensor:
        """Add up `(tiles, places)` int64 for each instance, `(N + 1,)`."""
        zeros = torch.zeros(self.count + 1, dtype=per_pair.dtype, device=per_pair.device)
        return zeros.scatter_add(0, self.table.flatten(), per_pair.flatten())


def _windows(boxes: Tensor, size: tuple[int, int], is_valid: Tensor, *, contain: bool) -> Windows:
    """Return the windows of `fusion._box_window` or `fusion._mask_window`."""
    sides = []
    for axis, length in ((1, size[0]), (0, size[1])):
        low, high = boxes[:, axis], boxes[:, axis + 2]
        if contain:
            high = torch.where(high >= length - 1, float(length), high)
        else:
            margin = (high - low) / 56 + 1
            low, high = low - margin, high + margin + 1
        sides.append(_clipped(low.floor(), high.ceil(), length, is_valid))
    (y0, y1), (x0, x1) = sides
    return Windows(y0, y1, x0, x1)


def _semantic_windows(boxes: Tensor, size: tuple[int, int], is_valid: Tensor) -> Windows:
    """Return the windows of `fusion._semantic_window`."""
    (y0, y1), (x0, x1) = (
        _clipped((boxes[:, axis] + 1).trunc(), (boxes[:, axis + 2] - 1).round() + 1, length, is_valid)
        for axis, length in ((1, size[0]), (0, size[1]))
    )
    return Windows(y0, y1, x0, x1)


def _clipped(low: Tensor, high: Tensor, length: int, is_valid: Tensor) -> tuple[Tensor, Tensor]:
    start = low.clamp(0, length).long()
    stop = torch.maximum(high.clamp(max=length).long(), start)
    return start, torch.where(is_valid, stop, start)


def _tents(pixels: Tensor, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Return `(N, L, cells)`: the weight of each mask cell at each pixel centre of one axis; `low`, `high` `(N,)`."""
    extent_end = torch.where(high > low, high, low + 1)  # of the instance without pixels
    position = to_mask_cells(pixels + 0.5, low[:, None], extent_end[:, None], cells) - 0.5
    return (1 - (position[..., None] - torch.arange(cells, device=pixels.device)).abs()).clamp(min=0)


def _to_tiles(image: Tensor) -> Tensor:
    """`(H, W)` → `(tiles, 32, 32)`, by rows of tiles."""
    return image.unflatten(1, (-1, _TILE)).unflatten(0, (-1, _TILE)).transpose(1, 2).flatten(0, 1)
