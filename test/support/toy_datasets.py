# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Tiny random datasets in the raw on-disk formats of Cityscapes, KITTI panoptic and COCO panoptic.

For tests and for trying commands: files are named and encoded as the real ones, and hold what makes them difficult:
crowd regions, void, ignored classes, 16-bit instance ids, instances cut by the border or in several pieces.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cityscapesscripts.helpers.labels import id2label
from numpy.typing import NDArray

from opendr_panoptic_ros.files import write_png
from opendr_panoptic_ros.formats.panoptic import ids_to_rgb
from opendr_panoptic_ros.labels import CITYSCAPES

_STUFF_IDS = CITYSCAPES.dataset_ids[: CITYSCAPES.num_stuff]
_THING_IDS = CITYSCAPES.dataset_ids[CITYSCAPES.num_stuff :]
_EGO_VEHICLE, _PARKING, _POLE, _CARAVAN = 1, 9, 17, 29

_COCO_CATEGORIES = (  # id, name, thing, colour: things and stuff mixed, ids with gaps, as in COCO
    (1, "person", True, (220, 20, 60)),
    (2, "bicycle", True, (119, 11, 32)),
    (3, "car", True, (0, 0, 142)),
    (149, "road", False, (128, 64, 128)),
    (184, "tree-merged", False, (107, 142, 35)),
    (187, "sky-other-merged", False, (70, 130, 180)),
    (197, "building-other-merged", False, (70, 70, 70)),
)
_COCO_BY_CITYSCAPES = {
    **dict.fromkeys((7, 8), 149),
    **dict.fromkeys((21, 22), 184),
    23: 187,
    **dict.fromkeys((11, 12, 13, 17, 19, 20), 197),
    **dict.fromkeys((24, 25), 1),
    **dict.fromkeys((32, 33), 2),
    **dict.fromkeys((26, 27, 28, 31), 3),
}


def tiny_scene(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """An image `(H, W, 3)` uint8 RGB, and its Cityscapes ids `(H, W)` int32, as its instanceIds files hold them.

    Bands of stuff; a crowd region; things as ellipses, one cut by the left border, one cut in two by a pole; an ignored
    caravan, an ignored parking area, and void below. height, width: at least 32 pixels.
    """
    ids = np.zeros((height, width), np.int32)
    bands = rng.choice([i for i in _STUFF_IDS if i != _POLE], 5, replace=False)
    for row, class_id in zip(range(0, height, -(-height // 5)), bands, strict=True):
        ids[row : row + -(-height // 5)] = class_id
    ids[: height // 8, width - width // 6 :] = _PARKING
    ids[height // 2 : height * 2 // 3, width * 3 // 4 :] = rng.choice(_THING_IDS)  # a crowd

    def ellipse(value: int, x: int, y: int) -> None:
        axes = (int(rng.integers(width // 16, width // 8)), int(rng.integers(height // 12, height // 6)))
        cv2.ellipse(ids, (x, y), axes, 0, 0, 360, value, -1)

    numbers = rng.choice(1000, 7, replace=False)
    ellipse(_CARAVAN * 1000 + int(numbers[0]), int(width * 0.9), height * 3 // 4)
    columns = [*rng.integers(width // 8, width * 3 // 4, 4), 0, width // 2]
    for x, number in zip(columns, numbers[1:], strict=True):
        class_id = int(rng.choice(_THING_IDS))
        ellipse(class_id * 1000 + int(number), int(x), int(rng.integers(height // 4, height * 3 // 4)))
    ids[height // 8 :, width // 2 - 1 : width // 2 + 1] = _POLE
    ids[-height // 16 :] = _EGO_VEHICLE
    return _picture(ids, rng), ids


def write_tiny_cityscapes(
    root: Path, *, num_train: int = 4, num_val: int = 4, height: int = 64, width: int = 128, seed: int = 0
) -> None:
    """`root` holds `leftImg8bit` and `gtFine` (instanceIds, labelIds, color) with train and val cities.

    The val images are `lindau_000000_000019` and so on; the train images are divided between two cities.
    """
    rng = np.random.default_rng(seed)
    names = [("train", ("aachen", "bochum")[i % 2], i // 2) for i in range(num_train)]
    names += [("val", "lindau", i) for i in range(num_val)]
    for split, city, sequence in names:
        rgb, ids = tiny_scene(rng, height, width)
        name = f"{city}_{sequence:06d}_000019"
        fine = root / "gtFine" / split / city
        label_ids = _class_ids(ids)
        color = np.array([id2label[i].color if i in id2label else (0, 0, 0) for i in range(256)], np.uint8)
        write_png(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", rgb)
        write_png(fine / f"{name}_gtFine_instanceIds.png", ids.astype(np.uint16))
        write_png(fine / f"{name}_gtFine_labelIds.png", label_ids.astype(np.uint8))
        write_png(fine / f"{name}_gtFine_color.png", color[label_ids])


def write_tiny_kitti(
    root: Path, *, num_train: int = 2, num_val: int = 2, height: int = 62, width: int = 207, seed: int = 0
) -> None:
    """`root` holds `{training,validation}/{images,annotations}/NUMBER.png`."""
    rng = np.random.default_rng(seed)
    for split, count in (("training", num_train), ("validation", num_val)):
        for number in range(count):
            rgb, ids = tiny_scene(rng, height, width)
            write_png(root / split / "images" / f"{number:06d}_10.png", rgb)
            write_png(root / split / "annotations" / f"{number:06d}_10.png", ids_to_rgb(ids))


def write_tiny_coco(
    root: Path, *, num_train: int = 4, num_val: int = 4, height: int = 60, width: int = 80, seed: int = 0
) -> None:
    """`root` holds `annotations/panoptic_{train,val}2017.json`, the PNG folders of that name, and JPEG images.

    Segment ids are random 24-bit numbers, and a stuff class may have several segments in an image.
    """
    rng = np.random.default_rng(seed)
    for split, count in (("train2017", num_train), ("val2017", num_val)):
        images, annotations = [], []
        for image_id in range(1, count + 1):
            rgb, ids = tiny_scene(rng, height, width)
            name = f"{image_id:012d}"
            segment_map, segments = _coco_segments(ids, rng)
            write_png(root / "annotations" / f"panoptic_{split}" / f"{name}.png", ids_to_rgb(segment_map))
            _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 95])
            (root / split).mkdir(parents=True, exist_ok=True)
            (root / split / f"{name}.jpg").write_bytes(jpeg.tobytes())
            images.append({"id": image_id, "file_name": f"{name}.jpg", "width": width, "height": height})
            annotations.append({"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments})
        categories = [
            {"id": i, "name": name, "supercategory": name, "isthing": int(thing), "color": list(color)}
            for i, name, thing, color in _COCO_CATEGORIES
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"panoptic_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _coco_segments(ids: NDArray[np.int32], rng: np.random.Generator) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """The scene in COCO's terms: a map of 24-bit segment ids, 0 void, and what its segments are."""
    segment_map = np.zeros_like(ids)
    segments = []
    for scene_id in np.unique(ids):
        class_id = int(_class_ids(scene_id))
        if class_id not in _COCO_BY_CITYSCAPES:
            continue
        mask = ids == scene_id
        segment_id = int(rng.integers(1, 2**24))
        segment_map[mask] = segment_id
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        segments.append(
            {
                "id": segment_id,
                "category_id": _COCO_BY_CITYSCAPES[class_id],
                "area": int(mask.sum()),
                "bbox": [x, y, width, height],
                "iscrowd": int(scene_id in _THING_IDS),
            }
        )
    return segment_map, segments


def _class_ids(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(ids >= 1000, ids // 1000, ids)


def _picture(ids: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each class in its colour, each instance in a shade of its own, with noise: something a network can learn."""
    colors = np.array([id2label[i].color if i in id2label else (0, 0, 0) for i in range(256)], np.float32)
    shade = 0.7 + 0.6 * (ids % 1000 * 0.618034 % 1.0)
    picture = colors[_class_ids(ids)] * np.where(ids >= 1000, shade, 1.0)[:, :, None]
    return np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
