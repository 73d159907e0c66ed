# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The COCO and Cityscapes formats of panoptic ground truth and predictions, converted from and to arrays.

All functions use one map, `ids`: `(H, W)` int32 with void 0, the class's dataset id for a stuff region and for a crowd
region of things, and dataset id · 1000 + k for an instance. Further crowd regions of one class in an image are dataset
id + j · 1,000,000, j from 1 (`annotation.crowd_id`). Cityscapes calls it instance ids; it is also what
`PanopticPrediction.panoptic_ids` holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy import ndimage

from opendr_panoptic_ros.annotation import CROWD_ID_STEP
from opendr_panoptic_ros.errors import quoted
from opendr_panoptic_ros.image_header import MAX_IMAGE_PIXELS
from opendr_panoptic_ros.labels import VOID, ClassTable

MAX_IDS = CROWD_ID_STEP
"""One more than the largest id of an instance: dataset ids end at 999, instance numbers too."""
_MAX_DIGITS = 6  # of a run length, which is at most an image of 100 megapixels


def ids_to_rgb(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Encode ids as colours, R + 256 · G + 65536 · B = id.

    Args:
        ids: `(H, W)` integers from 0 to 2²⁴ - 1.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    little_endian = np.ascontiguousarray(ids, dtype="<u4").view(np.uint8)
    return np.ascontiguousarray(little_endian.reshape(*ids.shape, 4)[:, :, :3])


def rgb_to_ids(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Decode ids from colours, id = R + 256 · G + 65536 · B.

    Args:
        rgb: `(H, W, 3)` uint8 RGB; further channels are ignored.

    Returns:
        `(H, W)` int32.
    """
    channels = rgb.astype(np.int32)
    return channels[:, :, 0] + 256 * channels[:, :, 1] + 65536 * channels[:, :, 2]


def known_ids(ids: NDArray[Any], classes: ClassTable) -> NDArray[np.int32]:
    """Set ids of other classes to void, and remove instance numbers from stuff.

    Args:
        ids: `(H, W)` integers from 0 to `MAX_IDS - 1`.
        classes: The classes to keep.

    Returns:
        `(H, W)` int32.
    """
    table = np.zeros(MAX_IDS, np.int32)
    for train_id, dataset_id in enumerate(classes.dataset_ids):
        instances = slice(dataset_id * 1000, (dataset_id + 1) * 1000)
        table[dataset_id] = dataset_id
        table[instances] = np.arange(instances.start, instances.stop) if classes.is_thing(train_id) else dataset_id
    return table[ids]


def semantic_map(ids: NDArray[np.int32], classes: ClassTable) -> NDArray[np.uint8]:
    """Return the train id of each pixel; crowd regions have one too.

    Args:
        ids: `(H, W)` int32 ids of `classes`.
        classes: What the dataset ids mean.

    Returns:
        `(H, W)` uint8, 255 = void.
    """
    table = np.full(1000, VOID, np.uint8)
    table[list(classes.dataset_ids)] = np.arange(len(classes))
    if ids.max(initial=0) >= MAX_IDS:
        ids = ids % MAX_IDS
    return table[np.where(ids >= 1000, ids // 1000, ids)]


def segments_info(ids: NDArray[np.int32], classes: ClassTable) -> list[dict[str, Any]]:
    """Describe the segments as COCO's panoptic JSON does.

    Args:
        ids: `(H, W)` int32 ids of `classes`.
        classes: What the dataset ids mean.

    Returns:
        One entry for each segment, by id: id, category_id (dataset id), area in px, bbox (x, y, width, height in px)
        and iscrowd, which is 1 for a region of things without an instance number.
    """
    infos = []
    for segment_id, area_px, rows, columns in _regions(ids):
        category_id, is_instance = _class_of(segment_id)
        is_thing = classes.is_thing(classes.dataset_ids.index(category_id))
        infos.append(
            {
                "id": segment_id,
                "category_id": category_id,
                "area": area_px,
                "bbox": _coco_box(rows, columns),
                "iscrowd": int(is_thing and not is_instance),
            }
        )
    return infos


def instance_annotations(ids: NDArray[np.int32], classes: ClassTable) -> list[dict[str, Any]]:
    """Describe the things as COCO's instance JSON does.

    Args:
        ids: `(H, W)` int32 ids of `classes`.
        classes: What the dataset ids mean.

    Returns:
        One entry for each instance and each crowd region, by id: category_id (train id), area in px, bbox (x, y,
        width, height in px), iscrowd, and the exact mask as compressed RLE.
    """
    annotations = []
    columns_first = np.asfortranarray(ids)  # the order of the run lengths; transposed once, not for each mask
    for info in segments_info(ids, classes):
        train_id = classes.dataset_ids.index(info["category_id"])
        if classes.is_thing(train_id):
            annotations.append(
                {
                    "category_id": train_id,
                    "area": info["area"],
                    "bbox": info["bbox"],
                    "iscrowd": info["iscrowd"],
                    "segmentation": encode_mask(columns_first == info["id"]),
                }
            )
    return annotations


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask as COCO's compressed run lengths.

    Args:
        mask: `(H, W)` bool.

    Returns:
        size and counts, as JSON can hold them.
    """
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Decode a mask that `encode_mask` encoded. The JSON may be foreign, on which pycocotools' decoder can crash.

    Args:
        rle: size and counts.

    Returns:
        `(H, W)` bool.

    Raises:
        ValueError: The counts are damaged or do not fill the size.
    """
    height, width = rle["size"]
    runs = _run_lengths(rle["counts"])
    if not 0 <= height * width <= MAX_IMAGE_PIXELS or min(height, width) < 0 or sum(runs) != height * width:
        raise ValueError(f"the run lengths do not fill {quoted(height)} x {quoted(width)} pixels")
    is_inside = np.arange(len(runs)) % 2 == 1  # runs outside and inside of the mask alternate
    return np.repeat(is_inside, runs).reshape(width, height).T


def _run_lengths(counts: str) -> list[int]:
    """Return the lengths of COCO's compressed runs; ValueError if the text is damaged.

    A character holds 5 bits, the lowest first, and whether more follow; the highest bit of a number is its sign. From
    the fourth on, a number is the difference to the length before the previous one.
    """
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.r_[0, ends[:-1] + 1]
    if len(digits) and (digits.min() < 0 or digits.max() > 63 or not len(ends) or ends[-1] != len(digits) - 1):
        raise ValueError("the counts of a mask are damaged")
    if not len(digits):
        return []
    lengths = ends - starts + 1
    if lengths.max() > _MAX_DIGITS:
        raise ValueError("a count of a mask is too large")
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & 31) << (5 * place), starts)
    numbers -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    if numbers.min() < 0 or numbers.max() > MAX_IMAGE_PIXELS:
        raise ValueError("a run length of a mask is outside of the image")
    return numbers.tolist()


def categories(classes: ClassTable) -> list[dict[str, Any]]:
    """Return the categories of COCO's panoptic JSON.

    Args:
        classes: The classes.

    Returns:
        One entry for each class, by train id: id (dataset id), name, color (RGB), isthing.
    """
    return [
        {"id": dataset_id, "name": name, "color": list(color), "isthing": int(classes.is_thing(train_id))}
        for train_id, (dataset_id, name, color) in enumerate(
            zip(classes.dataset_ids, classes.names, classes.colors, strict=True)
        )
    ]


def _regions(ids: NDArray[np.int32]) -> list[tuple[int, int, slice, slice]]:
    """Return id, area in px, rows and columns of every id but void, by id."""
    present, numbers = _numbered(ids)
    areas_px = np.bincount(numbers.ravel(), minlength=len(present) + 1)[1:]
    boxes = ndimage.find_objects(numbers)
    return [
        (int(i), int(area_px), rows, columns)
        for i, area_px, (rows, columns) in zip(present, areas_px, boxes, strict=True)
    ]


def _numbered(ids: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the ids that occur, ascending without void, and the map of their places among these from 1."""
    if ids.max(initial=0) < MAX_IDS:  # a table is faster than sorting the pixels
        present = np.flatnonzero(np.bincount(ids.ravel()))
        present = present[present > 0]
        table = np.zeros(MAX_IDS, np.int32)
        table[present] = np.arange(1, len(present) + 1)
        return present, table[ids]
    present = np.unique(ids)
    present = present[present > 0]
    return present, np.searchsorted(present, ids, side="right").astype(np.int32)


def _class_of(segment_id: int) -> tuple[int, bool]:
    """Return the dataset id of an id's class, and whether the id has an instance number."""
    segment_id %= MAX_IDS
    return (segment_id // 1000, True) if segment_id >= 1000 else (segment_id, False)


def _coco_box(rows: slice, columns: slice) -> list[int]:
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
