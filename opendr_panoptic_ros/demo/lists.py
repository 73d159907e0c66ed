# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The lists of instances that belong to a segmentation message, where the node cannot publish them itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from opendr_panoptic_ros.bags.recorded import segments_of
from opendr_panoptic_ros.bags.results import SEGMENTATION_TYPE
from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.codec.values import decode_values
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.outputs import LISTS
from opendr_panoptic_ros.points import SegmentMaps
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


def serialized_lists(data: bytes) -> dict[str, memoryview]:
    """Make the lists of a segmentation message, as `opendr-panoptic bag` writes them.

    Args:
        data: A `opendr_panoptic_ros/PanopticSegmentation` in CDR.

    Returns:
        The message in CDR by topic below `panoptic/`, for each topic of `outputs.LISTS`.
    """
    message: Any = typestore().deserialize_cdr(data, SEGMENTATION_TYPE)
    segment_map = decode_values(message.segment_map, "32SC1").astype(np.int32, copy=False)
    segments = segments_of(message.segments)
    palette = SegmentMaps.of(segment_map, segments).palette
    prediction = PanopticPrediction(segment_map, segments, _classes_of(segments, palette))
    return {
        topic: typestore().serialize_cdr(row.make(prediction, message.header, _type_of), row.type_name)
        for topic, row in LISTS.items()
    }


def _classes_of(segments: Sequence[Segment], palette: Any) -> ClassTable:
    """Return the classes that occur, as a message does not hold the others."""
    by_id = {segment.class_id: segment for segment in segments}
    rows = sorted(by_id.values(), key=lambda segment: (segment.is_thing, segment.class_id))
    if not rows:
        return CITYSCAPES
    return ClassTable(
        names=tuple(row.label for row in rows),
        num_stuff=sum(not row.is_thing for row in rows),
        colors=tuple(tuple(palette[row.class_id].tolist()) for row in rows),
        dataset_ids=tuple(range(1, len(rows) + 1)),
        ids=tuple(row.class_id for row in rows),
    )


def _type_of(type_name: str) -> Any:
    return typestore().types[type_name]
