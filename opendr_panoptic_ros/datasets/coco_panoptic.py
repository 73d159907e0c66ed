# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""COCO panoptic, and any other data in its format, with their own classes."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.datasets.panoptic import ConvertibleDataset
from opendr_panoptic_ros.datasets.raw_dataset import SPLITS, RawDataset, RawImage
from opendr_panoptic_ros.errors import ConfigError, DatasetError
from opendr_panoptic_ros.formats.image_files import read_pixels
from opendr_panoptic_ros.formats.panoptic import ids_to_rgb, rgb_to_ids, segments_info
from opendr_panoptic_ros.labels import ClassTable


def read_coco_panoptic(root: Path, splits: Sequence[str] = SPLITS) -> RawDataset:
    """List a dataset in COCO's panoptic format.

    Args:
        root: Folder with, for each split and with any ending such as `2017`, `annotations/panoptic_train2017.json`,
            `annotations/panoptic_train2017/*.png`, and the images in `train2017/` or `images/train2017/`.
        splits: The splits to list.

    Returns:
        The dataset. Its classes are the categories of the JSON: stuff first, then things, each by id. All regions of
        one stuff class in an image become one segment, as in the network's output.

    Raises:
        DatasetError: No split can be listed, or the categories cannot be used as classes.
    """
    images: dict[str, list[RawImage]] = {split: [] for split in splits}
    problems: dict[str, list[str]] = {split: [] for split in splits}
    categories: list[dict[str, Any]] = []
    for split in splits:
        try:
            images[split], split_categories = _list_split(root, split, problems[split])
        except DatasetError as error:
            problems[split].append(str(error))
            continue
        if categories and categories != split_categories:
            problems[split].append(f"{root / 'annotations'}: the categories of train and val differ")
        categories = categories or split_categories
    if not categories:
        found = "\n  ".join(problem for split in splits for problem in problems[split])
        raise DatasetError(f"{root} is no COCO panoptic dataset:\n  {found}")
    classes = _class_table(categories, root)
    return RawDataset(
        "COCO panoptic",
        classes,
        images,
        problems,
        functools.partial(_read_ids, classes=classes),
        lambda ids: (ids_to_rgb(ids), segments_info(ids, classes)),
    )


class CocoPanopticDataset(ConvertibleDataset):
    """A prepared split of COCO panoptic, or of own data in its format with its own classes; see `PanopticDataset`.

    `prepare_data` reads what `read_coco_panoptic` lists.

    Args:
        path: As in `PanopticDataset`.
    """

    _read_raw = staticmethod(read_coco_panoptic)


def _list_split(root: Path, split: str, problems: list[str]) -> tuple[list[RawImage], list[dict[str, Any]]]:
    """Return the images of a split and its categories, by id; DatasetError when its JSON or folders are missing."""
    found = sorted((root / "annotations").glob(f"panoptic_{split}*.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DatasetError(f"{root / 'annotations'}: expected one file panoptic_{split}*.json, got {names}")
    try:
        content = json.loads(found[0].read_text(encoding="utf-8"))
        file_names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        categories = sorted(content["categories"], key=lambda category: category["id"])
        entries = [(a["image_id"], str(a["file_name"]), tuple(a["segments_info"])) for a in content["annotations"]]
        named = [image_id in file_names for image_id, _, _ in entries]  # a list for an id shows here
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{found[0]}: is not COCO's panoptic JSON: {error!r}") from error
    labels_folder = found[0].with_suffix("")
    image_folder = root / found[0].stem.removeprefix("panoptic_")
    if not image_folder.is_dir():
        image_folder = root / "images" / image_folder.name
    missing = [f"{folder}: there is no such folder" for folder in (image_folder, labels_folder) if not folder.is_dir()]
    if missing:
        raise DatasetError("\n  ".join(missing))

    images: dict[str, RawImage] = {}
    for (coco_id, labels_name, segments), is_named in zip(entries, named, strict=True):
        if not is_named:
            problems.append(f"{found[0]}: image_id {coco_id} is not among the images")
            continue
        image_id = Path(file_names[coco_id]).stem
        if image_id in images:
            problems.append(f"{image_folder}: there are two images with the name {image_id}")
        images[image_id] = RawImage(image_id, image_folder / file_names[coco_id], labels_folder / labels_name, segments)
    return [images[image_id] for image_id in sorted(images)], categories


def _class_table(categories: list[dict[str, Any]], root: Path) -> ClassTable:
    ordered = sorted(categories, key=lambda category: bool(category.get("isthing")))
    colors = [category.get("color") for category in ordered]
    try:
        return ClassTable.from_dict(
            {
                "names": [category["name"] for category in ordered],
                "num_stuff": sum(not category.get("isthing") for category in ordered),
                "colors": colors if all(colors) else None,
                "dataset_ids": [category["id"] for category in ordered],
            }
        )
    except (ConfigError, KeyError, TypeError) as error:
        raise DatasetError(f"{root}: its categories do not make classes: {error}") from error


def _read_ids(raw: RawImage, *, classes: ClassTable) -> NDArray[np.int32]:
    pixels = read_pixels(raw.labels_path)
    if pixels.ndim != 3:
        raise DatasetError(f"{raw.labels_path}: has shape {pixels.shape}; expected an RGB image")
    new_ids = {0: 0}
    count: dict[int, int] = {}
    for segment in raw.segments:
        category_id = segment["category_id"]
        if category_id not in classes.dataset_ids:
            raise DatasetError(f"{raw.labels_path}: segment {segment['id']} has the unknown category {category_id}")
        is_thing = classes.is_thing(classes.dataset_ids.index(category_id))
        if is_thing and not segment.get("iscrowd"):
            number = count.get(category_id, 0)
            if number == 1000:
                raise DatasetError(f"{raw.labels_path}: has more than 1000 instances of category {category_id}")
            count[category_id] = number + 1
            new_ids[segment["id"]] = category_id * 1000 + number
        else:
            new_ids[segment["id"]] = category_id
    present, places = np.unique(rgb_to_ids(pixels), return_inverse=True)
    unknown = [int(i) for i in present if int(i) not in new_ids]
    if unknown:
        raise DatasetError(f"{raw.labels_path}: holds segments that its JSON does not name: {unknown[:5]}")
    return np.array([new_ids[int(i)] for i in present], np.int32)[places].reshape(pixels.shape[:2])
