# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticPrediction: which thing is each pixel, and which one of them."""

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

    id: the value in `PanopticPrediction.segment_map`, from 1. class_id: train id. score: the detection score of a
    thing, 0-1; NaN for stuff. area_px: number of pixels. box_xyxy_px: x1, y1, x2, y2, half-open: x2 and y2 are the
    first pixel outside. instance_number: which one of its class a thing is, 1-999, if its number is to stay over the
    frames of a video; given for all things of a prediction or for none.
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

    segment_map: `(H, W)` int32, 0 where nothing was recognised, else the `id` of one of `segments`.
    classes: what the train ids mean.
    The maps derived from these two are computed when first asked for, and then kept.
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
        """Height and width in pixels."""
        height, width = self.segment_map.shape
        return height, width

    @cached_property
    def semantic_map(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8: the train id of each pixel's segment, 255 where there is none."""
        return self._by_segment({s.id: s.class_id for s in self.segments}, VOID, np.uint8)

    @cached_property
    def instance_map(self) -> NDArray[np.uint16]:
        """`(H, W)` uint16: the segment id where the segment is a thing, else 0."""
        return self._by_segment({s.id: s.id for s in self.segments if s.is_thing}, 0, np.uint16)

    @cached_property
    def panoptic_ids(self) -> NDArray[np.int32]:
        """`(H, W)` int32 in the dataset's scheme: stuff its class id, things class id · 1000 + k (k from 1), void 0.

        k is the `instance_number`, where there is none the place among the segments of the class.
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
        """Each pixel's value by its segment id; `default` where the segment has none."""
        table: NDArray[Any] = np.full(max((s.id for s in self.segments), default=0) + 1, default, dtype)
        table[list(values)] = list(values.values())
        return table[self.segment_map]
