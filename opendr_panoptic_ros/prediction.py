# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticPrediction: the class and the instance of each pixel of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable


@dataclass(frozen=True)
class Segment:
    """One stuff region or one instance of a thing.

    Attributes:
        id: Value in `PanopticPrediction.segment_map`, 1 or more.
        class_id: Train id of the class.
        label: Name of the class.
        is_thing: Whether the class is a thing, whose instances are separate segments.
        score: Detection score of a thing, 0 to 1; NaN for stuff.
        area_px: Number of pixels.
        box_xyxy_px: Bounding box x1, y1, x2, y2 of the pixels, half-open: x2 and y2 are the first pixel outside.
        instance_number: Number of a thing among those of its class, 1 to 999, which is kept over the frames of a video;
            set for all things of a prediction or for none.
    """

    id: int
    class_id: int
    label: str
    is_thing: bool
    score: float
    area_px: int
    box_xyxy_px: tuple[int, int, int, int]
    instance_number: int | None = None


@dataclass(frozen=True, eq=False)
class PanopticPrediction:
    """The panoptic segmentation of one image.

    The derived maps are computed at the first access and then kept.

    Attributes:
        segment_map: `(H, W)` int32, the `id` of the pixel's segment, 0 for void.
        segments: The segments of the map.
        classes: Classes of the train ids.

    Raises:
        ValueError: `segment_map` has another shape or dtype.
    """

    segment_map: NDArray[np.int32]
    segments: tuple[Segment, ...]
    classes: ClassTable = CITYSCAPES

    def __post_init__(self) -> None:
        segment_map = np.asarray(self.segment_map)
        if segment_map.ndim != 2 or segment_map.dtype != np.int32:
            raise ValueError(
                f"segment_map is {segment_map.dtype} of shape {segment_map.shape}; expected int32 of shape (H, W)."
            )
        object.__setattr__(self, "segments", tuple(self.segments))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        height, width = self.segment_map.shape
        return height, width

    @cached_property
    def semantic_map(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8: the train id of each pixel's segment, 255 for void."""
        return self._by_segment({s.id: s.class_id for s in self.segments}, VOID, np.uint8)

    @cached_property
    def instance_map(self) -> NDArray[np.uint16]:
        """`(H, W)` uint16: the id of each pixel's segment if that is a thing, else 0."""
        return self._by_segment({s.id: s.id for s in self.segments if s.is_thing}, 0, np.uint16)

    @cached_property
    def panoptic_ids(self) -> NDArray[np.int32]:
        """`(H, W)` int32 in the scheme of the dataset: stuff class id, things class id · 1000 + k, void 0.

        k is the `instance_number`, or the position among the segments of the class, from 1, if there is none.
        """
        ids: dict[int, int] = {}
        count: dict[int, int] = {}
        for segment in self.segments:
            dataset_id = self.classes.dataset_ids[segment.class_id]
            if segment.is_thing:
                count[segment.class_id] = count.get(segment.class_id, 0) + 1
                dataset_id = dataset_id * 1000 + (segment.instance_number or count[segment.class_id])
            ids[segment.id] = dataset_id
        return self._by_segment(ids, 0, np.int32)

    def _by_segment(self, values: dict[int, int], default: int, dtype: DTypeLike) -> NDArray[Any]:
        """Map each pixel's segment id to a value; `default` where `values` has none."""
        table: NDArray[Any] = np.full(max((s.id for s in self.segments), default=0) + 1, default, dtype)
        table[list(values)] = list(values.values())
        return table[self.segment_map]
