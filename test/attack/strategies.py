# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Inputs that several attacks share: predictions, values of any type, and valid files that are damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction

numbers = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([0, 1, -1, 255, 256, 65535, 2**31 - 1, 2**31, 2**63, 10**400])
)
"""Numbers of any size."""
texts = st.text(max_size=50) | st.sampled_from(
    [
        "",
        "\0",
        "../x",
        "/etc/passwd",
        "a" * 5000,
        "\ud800",
        "\u202e",
        "[red]",
        "1e-4",
        "NaN",
        "~",
        "~nosuchuser",
        "%s{}",
    ]
)
"""Texts that something may take for a path, a number or a mark-up."""
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts | st.integers(), inner, max_size=5),
    max_leaves=12,
)
"""Values of any type, nested, as JSON and YAML hold them."""


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A strategy whose values are good nine times out of ten, so that several of them are good together."""
    return st.integers(0, 9).flatmap(lambda number: good if number else bad)


@st.composite
def predictions(draw: st.DrawFn, *, max_side_px: int = 24, with_confidence: bool = True) -> PanopticPrediction:
    """A prediction with segments of any classes, areas of one pixel included."""
    height, width = draw(st.integers(1, max_side_px)), draw(st.integers(1, max_side_px))
    count = draw(st.integers(0, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    segment_map = rng.integers(0, count + 1, (height, width)).astype(np.int32)
    if draw(st.booleans()):  # coherent regions instead of noise
        segment_map = np.sort(segment_map, axis=draw(st.integers(0, 1)))
    ids = draw(st.lists(st.integers(1, 60000), min_size=count, max_size=count, unique=True))
    table = np.array([0, *ids], np.int32)
    stuff: set[int] = set()
    class_ids = {}
    for segment_id in ids:
        class_id = int(rng.integers(0, len(CITYSCAPES)))
        if not CITYSCAPES.is_thing(class_id) and class_id in stuff:
            class_id = CITYSCAPES.num_stuff
        stuff.add(class_id)
        class_ids[segment_id] = class_id
    measured = PanopticAnnotation.from_map(table[segment_map], class_ids, CITYSCAPES)
    confidence = rng.integers(0, 256, (height, width)).astype(np.uint8) if with_confidence else None
    return PanopticPrediction(measured.segment_map, measured.segments, CITYSCAPES, stuff_probability=confidence)


def check_prediction(prediction: PanopticPrediction) -> None:
    """Check what holds for every prediction: each segment has its pixels, its area and the box around them."""
    ids = [segment.id for segment in prediction.segments]
    assert len(set(ids)) == len(ids)
    found, areas_px = np.unique(prediction.segment_map, return_counts=True)
    areas = dict(zip(found.tolist(), areas_px.tolist(), strict=True))
    areas.pop(0, None)
    assert areas == {segment.id: segment.area_px for segment in prediction.segments}
    for segment in prediction.segments:
        rows, columns = np.nonzero(prediction.segment_map == segment.id)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert segment.box_xyxy_px == box
        assert prediction.classes.names[prediction.classes.position(segment.class_id)] == segment.label
        assert prediction.classes.is_thing(segment.class_id) == segment.is_thing


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file in which bytes are changed, removed, repeated or cut off; sometimes it is whole."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 5))):
        if not data:
            break
        place = draw(st.integers(0, len(data) - 1))
        kind = draw(st.integers(0, 5))
        length = draw(st.integers(1, 40))
        if kind == 0:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            data[place : place + length] = draw(st.binary(max_size=40))
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            start = draw(st.integers(0, len(data) - 1))
            data[place:place] = data[start : start + length]
        elif kind == 4:
            data[place : place + 4] = draw(
                st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f" + b"\xff" * 3, b"\xff\xff\xff\x7f"])
            )
        else:
            del data[place:]
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A value of JSON in which parts are replaced, removed or repeated; `whole` is not modified."""
    import copy

    result = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 3))):
        place = result
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 9)):
                place = place[key]
                continue
            kind = draw(st.integers(0, 3))
            if kind == 0:
                del place[key]
            elif kind == 1 and isinstance(place, list):
                place.append(place[key])
            else:
                place[key] = draw(values)
            break
    return result
