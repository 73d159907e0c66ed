# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticPrediction: the class and the instance of each pixel of an image."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable


@dataclass(frozen=True)
class Segment:
    """One stuff region or one instance of a thing.

    Segments of equal attributes are equal, those of stuff as well, although NaN is not equal to itself.

    Attributes:
        id: Value in `PanopticPrediction.segment_map`, 1 or more.
        class_id: Id of the class in the table of the prediction: its train id, unless a label map was applied.
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

    def __eq__(self, other: object) -> bool:
        return self._comparable() == other._comparable() if isinstance(other, Segment) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._comparable())

    def _comparable(self) -> tuple[object, ...]:
        # Since Python 3.13 a generated __eq__ compares values and not identities.
        return tuple((vars(self) | {"score": None if math.isnan(self.score) else self.score}).values())


@dataclass(frozen=True, eq=False)
class PanopticPrediction:
    """The panoptic segmentation of one image.

    The derived maps are computed at the first access and then kept.

    Attributes:
        segment_map: `(H, W)` int32, the `id` of the pixel's segment, 0 for void.
        segments: The segments of the map.
        classes: The classes, with the ids that the segments refer to.
        stuff_probability: `(H, W)` uint8, 255 times the softmax probability of the pixel's class in the semantic head,
            rounded; only pixels of stuff segments count. None if it was not computed.

    Raises:
        ValueError: A map has another shape or dtype.
    """

    segment_map: NDArray[np.int32]
    segments: tuple[Segment, ...]
    classes: ClassTable = CITYSCAPES
    stuff_probability: NDArray[np.uint8] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        segment_map = np.asarray(self.segment_map)
        if segment_map.ndim != 2 or segment_map.dtype != np.int32:
            raise ValueError(
                f"segment_map is {segment_map.dtype} of shape {segment_map.shape}; expected int32 of shape (H, W)."
            )
        probability = self.stuff_probability
        if probability is not None and (probability.shape != segment_map.shape or probability.dtype != np.uint8):
            raise ValueError(
                f"stuff_probability is {probability.dtype} of shape {probability.shape}; expected uint8 of shape "
                f"{segment_map.shape}."
            )
        object.__setattr__(self, "segments", tuple(self.segments))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        height, width = self.segment_map.shape
        return height, width

    @cached_property
    def semantic_map(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8: the class id of each pixel's segment, 255 for void."""
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
            dataset_id = self.classes.dataset_ids[self.classes.position(segment.class_id)]
            if segment.is_thing:
                count[segment.class_id] = count.get(segment.class_id, 0) + 1
                dataset_id = dataset_id * 1000 + (segment.instance_number or count[segment.class_id])
            ids[segment.id] = dataset_id
        return self._by_segment(ids, 0, np.int32)

    @cached_property
    def packed_map(self) -> NDArray[np.int32]:
        """`(H, W)` int32: class id · 65536 + instance id; the instance id of stuff is 0; void is -1."""
        ids = {s.id: (s.class_id << 16) + (s.id if s.is_thing else 0) for s in self.segments}
        return self._by_segment(ids, -1, np.int32)

    @cached_property
    def confidence_map(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8: 255 times the confidence in the class of each pixel's segment, rounded; 0 for void.

        It is the detection score of things, and `stuff_probability` for stuff.

        Raises:
            PanopticError: `stuff_probability` was not computed.
        """
        if self.stuff_probability is None:
            raise PanopticError(
                "The prediction has no confidence; request it from the segmenter: with_confidence=True."
            )
        scores = {s.id: round(255 * min(max(s.score, 0.0), 1.0)) for s in self.segments if s.is_thing}
        confidence: NDArray[np.uint8] = self._by_segment(scores, 0, np.uint8)
        is_stuff = self._by_segment({s.id: True for s in self.segments if not s.is_thing}, False, np.bool_)
        np.copyto(confidence, self.stuff_probability, where=is_stuff)
        return confidence

    def class_mask(self, names: Collection[str]) -> NDArray[np.uint8]:
        """Return a mask of classes.

        Args:
            names: Names of classes.

        Returns:
            `(H, W)` uint8: 255 for pixels of these classes, else 0.
        """
        return self._by_segment({s.id: 255 for s in self.segments if s.label in names}, 0, np.uint8)

    def _by_segment(self, values: dict[int, int], default: int, dtype: DTypeLike) -> NDArray[Any]:
        """Map each pixel's segment id to a value; `default` where `values` has none."""
        table: NDArray[Any] = np.full(max((s.id for s in self.segments), default=0) + 1, default, dtype)
        table[list(values)] = list(values.values())
        return table[self.segment_map]
