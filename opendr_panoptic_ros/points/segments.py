# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""SegmentMaps: labels, instances and colours of the pixels of a panoptic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.label_map import LABEL_MAPS, LabelMap
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable

_LARGEST_TABLE = 1 << 20


class SegmentRow(Protocol):
    """A row of the list of segments: that of a message, or a `Segment`."""

    @property
    def id(self) -> int:
        """Value in the segment map, 1 or more."""

    @property
    def class_id(self) -> int:
        """Id of the class, 0 to 254."""

    @property
    def label(self) -> str:
        """Name of the class."""

    @property
    def is_thing(self) -> bool:
        """Whether instances of the class are separate segments."""


@dataclass(frozen=True)
class SegmentMaps:
    """A panoptic segmentation as maps.

    Attributes:
        labels: `(H, W)` uint8 class ids; 255 where void.
        instances: `(H, W)` uint32 ids of the segments of things; 0 elsewhere.
        palette: `(256, 3)` uint8 RGB, the colour of each class id; black for void.
    """

    labels: NDArray[np.uint8]
    instances: NDArray[np.uint32]
    palette: NDArray[np.uint8]

    @classmethod
    def of(cls, segment_map: NDArray[np.int32], segments: Sequence[SegmentRow]) -> SegmentMaps:
        """Make the maps.

        Args:
            segment_map: `(H, W)` int32 segment ids; ids without an entry in `segments` are void.
            segments: The segments. A class id outside 0 to 254 is void.

        Returns:
            The maps. Classes named as in Cityscapes or in a label map of the package have its colours, others have
            distinct ones by class id.
        """
        known = [segment for segment in segments if 0 <= segment.class_id < VOID and segment.id > 0]
        known.sort(key=lambda segment: segment.id)
        # Row 0 is void. Ids are small numbers, unless another program chose them.
        ids = np.array([0, *(segment.id for segment in known)], np.int64)
        if ids[-1] < _LARGEST_TABLE:
            row_of = np.zeros(ids[-1] + 2, np.intp)
            row_of[ids] = np.arange(len(ids))
            beyond = len(row_of) - 1
            rows = row_of[np.minimum(segment_map.view(np.uint32), np.uint32(beyond))]
        else:
            rows = np.minimum(np.searchsorted(ids, segment_map), len(ids) - 1)
            rows[ids[rows] != segment_map] = 0
        labels = np.array([VOID, *(segment.class_id for segment in known)], np.uint8)
        instances = np.array([0, *(segment.id if segment.is_thing else 0 for segment in known)], np.uint32)
        palette = _distinct_palette().copy()
        for segment in known:
            if segment.label in _colors_by_name():
                palette[segment.class_id] = _colors_by_name()[segment.label]
        return cls(labels[rows], instances[rows], palette)


@cache
def _colors_by_name() -> dict[str, tuple[int, int, int]]:
    tables = [*(LabelMap.load(name, CITYSCAPES).classes for name in LABEL_MAPS), CITYSCAPES]
    return {name: color for table in tables for name, color in zip(table.names, table.colors, strict=True)}


@cache
def _distinct_palette() -> NDArray[np.uint8]:
    return ClassTable.unnamed(0, VOID - 1).palette
