# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""COCO panoptic, and any other data in its format, with their own classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import crowd_id
from opendr_panoptic_ros.datasets.panoptic import ConvertibleDataset
from opendr_panoptic_ros.datasets.raw_dataset import SPLITS, RawDataset, RawImage
from opendr_panoptic_ros.errors import ConfigError, DatasetError, plain, quoted
from opendr_panoptic_ros.files import read_json, stays_inside
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
    categories: dict[str, _Categories] = {}
    for split in splits:
        try:
            listed = _list_split(root, split, problems[split])
        except DatasetError as error:
            problems[split].append(str(error))
            continue
        images[split], categories[split] = listed
    if not categories:
        found = "\n  ".join(problem for split in splits for problem in problems[split])
        raise DatasetError(f"{root} is not a COCO panoptic dataset:\n  {found}")
    (first, reference), *others = categories.items()
    for split, found_there in others:
        differing = set(found_there) ^ set(reference)
        if differing:
            named = ", ".join(sorted({f"{c.name!r} (id {c.id}, isthing {int(c.is_thing)})" for c in differing})[:4])
            problems[split].append(
                f"{root / 'annotations'}: the categories of {first} and {split} differ: {named}; give both JSON files "
                "the same ids, names and isthing"
            )
    classes = _class_table(reference, root)
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


class _Category(NamedTuple):
    """A category of the JSON without its colour, which may differ between splits."""

    id: int
    name: str
    is_thing: bool


_Categories: TypeAlias = dict[_Category, Any]
"""The colour, or None, of each category."""


def _list_split(root: Path, split: str, problems: list[str]) -> tuple[list[RawImage], _Categories]:
    """Return the images of a split and its categories, by id; DatasetError when its JSON or folders are missing."""
    found = sorted((root / "annotations").glob(f"panoptic_{split}*.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DatasetError(f"{root / 'annotations'}: expected one file panoptic_{split}*.json, got {names}")
    try:
        content = read_json(found[0])
        file_names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        listed = list(content["categories"])
        entries = [(a["image_id"], str(a["file_name"]), tuple(a["segments_info"])) for a in content["annotations"]]
        named = [image_id in file_names for image_id, _, _ in entries]  # TypeError where an id is a list
    except OSError as error:
        raise DatasetError(f"{found[0]}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{found[0]}: is not COCO's panoptic JSON: {plain(repr(error), 100)}") from error
    categories = _checked_categories(listed, found[0])
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
        outside = [name for name in (file_names[coco_id], labels_name) if not stays_inside(name)]
        if outside:
            problems.append(f"{found[0]}: file_name {quoted(outside[0])} leads out of the folder of the images")
            continue
        image_id = Path(file_names[coco_id]).stem
        if image_id in images:
            problems.append(f"{image_folder}: there are two images with the name {image_id}")
        images[image_id] = RawImage(
            image_id, image_folder / file_names[coco_id], labels_folder / labels_name, segments, truth_id=coco_id
        )
    return [images[image_id] for image_id in sorted(images)], categories


def _checked_categories(categories: list[Any], path: Path) -> _Categories:
    """Return the categories with their colours, stuff first, then things, each by id; DatasetError names all faults."""
    problems: list[str] = []
    checked: _Categories = {}
    for category in categories:
        values: dict[str, Any] = category if isinstance(category, dict) else {}
        number: Any
        name: Any
        number, name, is_thing = values.get("id"), values.get("name"), values.get("isthing")
        fault = ""
        if not isinstance(name, str) or not name:
            fault = f"name is {name!r}; expected a word"
        elif isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1000:
            fault = (
                f"id is {number!r}; expected an integer from 1 to 999: 0 is void, and panoptic ids leave room for "
                "three digits; renumber the categories"
            )
        elif "isthing" not in values:
            fault = "isthing is missing; add 1 for a thing or 0 for stuff"
        elif is_thing not in (0, 1):  # true and false are equal to these
            fault = f"isthing is {is_thing!r}; expected 1 for a thing or 0 for stuff"
        elif any(c.id == number for c in checked) or any(c.name == name for c in checked):
            fault = "its id or name is that of another category; give each its own"
        if fault:
            problems.append(f"{path}: category {name!r} (id {number!r}): {fault}")
        else:
            checked[_Category(number, name, bool(is_thing))] = values.get("color")
    kinds = {category.is_thing for category in checked}
    if not problems and len(kinds) < 2:
        named = ", ".join(f"{c.name!r} (id {c.id})" for c in list(checked)[:5])
        kind = "thing" if True in kinds else "stuff" if kinds else "missing"
        problems.append(
            f"{path}: every category is {kind}: {named}; the network needs at least one category with isthing 0 and "
            "one with isthing 1"
        )
    if problems:
        more = f"\n  and {len(problems) - 5} more like these" if len(problems) > 5 else ""
        raise DatasetError("\n  ".join(problems[:5]) + more)
    return dict(sorted(checked.items(), key=lambda item: (item[0].is_thing, item[0].id)))


def _class_table(categories: _Categories, root: Path) -> ClassTable:
    colors = list(categories.values())
    try:
        return ClassTable.from_dict(
            {
                "names": [category.name for category in categories],
                "num_stuff": sum(not category.is_thing for category in categories),
                "colors": colors if all(colors) else None,
                "dataset_ids": [category.id for category in categories],
            }
        )
    except ConfigError as error:
        raise DatasetError(f"{root}: the categories do not make classes: {error}") from error


def _read_ids(raw: RawImage, *, classes: ClassTable) -> NDArray[np.int32]:
    pixels = read_pixels(raw.labels_path)
    if pixels.ndim != 3:
        raise DatasetError(f"{raw.labels_path}: has shape {pixels.shape}; expected an RGB image")
    new_ids = {0: 0}
    count: dict[int, int] = {}
    crowds: dict[int, int] = {}
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
        elif is_thing:
            number = crowds.get(category_id, 0)
            crowds[category_id] = number + 1
            new_ids[segment["id"]] = crowd_id(category_id, number)
        else:
            new_ids[segment["id"]] = category_id
    present, places = np.unique(rgb_to_ids(pixels), return_inverse=True)
    unknown = [int(i) for i in present if int(i) not in new_ids]
    if unknown:
        raise DatasetError(f"{raw.labels_path}: holds segments that its JSON does not name: {unknown[:5]}")
    return np.array([new_ids[int(i)] for i in present], np.int32)[places].reshape(pixels.shape[:2])
