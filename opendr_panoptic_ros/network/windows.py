# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Window: a rectangle of pixels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Window(NamedTuple):
    """A half-open rectangle of pixels.

    Attributes:
        y0: First row.
        y1: First row below.
        x0: First column.
        x1: First column to the right.
    """

    y0: int
    y1: int
    x0: int
    x1: int

    def of(self, image: Tensor) -> Tensor:
        """Return the part of an image inside this window.

        Args:
            image: `(..., H, W)`.

        Returns:
            A view of `image`.
        """
        return image[..., self.y0 : self.y1, self.x0 : self.x1]

    def relative_to(self, outer: Window) -> Window:
        """Return this window in the coordinates of another window.

        Args:
            outer: A window that contains this one.

        Returns:
            The same pixels, counted from the first row and column of `outer`.
        """
        return Window(self.y0 - outer.y0, self.y1 - outer.y0, self.x0 - outer.x0, self.x1 - outer.x0)

    def scaled(self, factor: int) -> Window:
        """Return the same rectangle in an image that is enlarged.

        Args:
            factor: Factor of the height and of the width.
        """
        return Window(*(factor * side for side in self))

    def contains(self, y: Tensor, x: Tensor) -> Tensor:
        """Test which pixels lie inside this window.

        Args:
            y: `(N,)` rows.
            x: `(N,)` columns.

        Returns:
            `(N,)` bool.
        """
        return (y >= self.y0) & (y < self.y1) & (x >= self.x0) & (x < self.x1)
