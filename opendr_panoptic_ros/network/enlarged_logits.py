# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Semantic logits at the size of the image, computed where they are needed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from opendr_panoptic_ros.network.windows import Window

_GROUP_PIXELS = {"cpu": 2**14, "cuda": 2**18}


class EnlargedLogits:
    """Logits of one image at a stride, enlarged bilinearly as `SemanticHead.enlarge` does, but never as a whole.

    Args:
        logits: `(classes, h, w)` float.
        stride: Side of the pixels of `logits` in px of the image: 1 or even.
        size: Height and width of the image in px, at most `h * stride` and `w * stride`.
    """

    def __init__(self, logits: Tensor, stride: int, size: tuple[int, int]) -> None:
        self.logits = logits.float().contiguous()
        self.stride = stride
        self.size = size

    def channel(self, channel: int, window: Window) -> Tensor:
        """Enlarge one class in a window.

        Args:
            channel: The class.
            window: Pixels of the image.

        Returns:
            `(rows, columns)` float32.
        """
        return self._enlarged(self.logits[channel, None], window)[0]

    def row_groups(self) -> Iterator[tuple[slice, Tensor]]:
        """Enlarge all classes, group by group of rows, so that the groups stay in the cache.

        Yields:
            The rows of the group and their logits, `(classes, rows, width)` float32.
        """
        height, width = self.size
        rows = max(1, _group_pixels(self.logits) // width)
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            yield slice(start, stop), self._enlarged(self.logits, Window(start, stop, 0, width))

    def best(self, num_stuff: int) -> tuple[Tensor, Tensor]:
        """Compute the class of the largest logit, and the largest logit of a stuff class.

        Args:
            num_stuff: Number of stuff classes, which are the first.

        Returns:
            Classes `(height, width)` uint8 and logits `(height, width)` float32.
        """
        height, width = self.size
        if self.stride == 1:
            return _first_argmax(self.logits[None], self.logits.amax(dim=0)[None])[0], self.logits[:num_stuff].amax(0)

        # A cell is the square between the centres of four neighbours. Those at the border lie between a logit and its
        # copy. Every logit is a product of the four with the same matrix, whose rows are the pixels of the cell.
        stride, half = self.stride, self.stride // 2
        padded = F.pad(self.logits[None], (1, 1, 1, 1), mode="replicate")[0]
        rows, columns = padded.shape[1] - 1, padded.shape[2] - 1
        steps = (torch.arange(stride, device=padded.device) + 0.5) / stride
        sides = torch.stack((1 - steps, steps), dim=1)
        weights = (sides[:, None, :, None] * sides[None, :, None, :]).reshape(stride**2, 4)
        classes = torch.empty((rows, stride, columns, stride), dtype=torch.uint8, device=padded.device)
        stuff = torch.empty((rows, stride, columns, stride), device=padded.device)
        group = max(1, _group_pixels(padded) // (columns * stride**2))
        for start in range(0, rows, group):
            stop = min(start + group, rows)
            upper, lower = padded[:, start:stop], padded[:, start + 1 : stop + 1]
            corners = torch.stack((upper[..., :-1], upper[..., 1:], lower[..., :-1], lower[..., 1:]))
            logits = (weights @ corners.flatten(1)).view(stride, stride, *corners.shape[1:])
            classes[start:stop] = _first_argmax(logits, logits.amax(dim=2), dim=2).permute(2, 0, 3, 1)
            stuff[start:stop] = logits[:, :, :num_stuff].amax(dim=2).permute(2, 0, 3, 1)
        inner = Window(half, half + height, half, half + width)
        return inner.of(classes.flatten(2).flatten(0, 1)), inner.of(stuff.flatten(2).flatten(0, 1))

    def _enlarged(self, logits: Tensor, window: Window) -> Tensor:
        """Enlarge `(N, h, w)` in a window."""
        if self.stride == 1:
            return window.of(logits)
        # One more row and column on each side, whose values reach into the window.
        outer = Window(
            max(window.y0 // self.stride - 1, 0),
            min(-(-window.y1 // self.stride) + 1, logits.shape[1]),
            max(window.x0 // self.stride - 1, 0),
            min(-(-window.x1 // self.stride) + 1, logits.shape[2]),
        )
        x = F.interpolate(outer.of(logits)[None], scale_factor=self.stride, mode="bilinear", align_corners=False)
        return window.relative_to(outer.scaled(self.stride)).of(x[0])


def _first_argmax(logits: Tensor, largest: Tensor, dim: int = 1) -> Tensor:
    """Return the first index along `dim` at which `logits` is `largest`, as uint8; the reductions are vectorised."""
    count = logits.shape[dim]
    shape = [count if axis == dim else 1 for axis in range(logits.ndim)]
    from_end = torch.arange(count, 0, -1, dtype=torch.uint8, device=logits.device).view(shape)
    return count - ((logits == largest.unsqueeze(dim)).view(torch.uint8) * from_end).amax(dim=dim)


def _group_pixels(like: Tensor) -> int:
    return _GROUP_PIXELS["cpu" if like.device.type == "cpu" else "cuda"]
