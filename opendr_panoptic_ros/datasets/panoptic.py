# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticDataset: images and their truth in a folder that `prepare_data` made."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.datasets.preparation import WORK_FOLDER, prepare
from opendr_panoptic_ros.datasets.raw_dataset import SPLITS, RawDataset
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.panoptic_quality import panoptic_quality_of_files
from opendr_panoptic_ros.formats.panoptic import decode_mask
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable

_OTHER_NAMES = {"training": "train", "validation": "val"}
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


class PanopticDataset(ABC):
    """One split of a prepared dataset: `len`, and `[i]` → `(Image, PanopticAnnotation or None)`.

    path: the folder of the split, with `images`, `stuffthingmaps` and `annotations.json`; `~` is expanded, and
    `…/training` finds `…/train`. A folder with `images` alone (a test split) has None for annotations.
    classes: what the train ids mean. image_ids: the images' names without suffix, in order.
    Raises DatasetError when the folder is missing, is no prepared split, or its preparation was not finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _find_split(Path(path).expanduser())
        self.classes: ClassTable = CITYSCAPES
        self._annotations: list[list[dict[str, Any]]] | None = None
        if (self.path / "annotations.json").exists():
            content = _read_json(self.path / "annotations.json")
            self._images: list[dict[str, Any]] = content["images"]
            self.classes = _class_table(content["categories"])
            self._annotations = [[] for _ in self._images]
            place = {image["id"]: index for index, image in enumerate(self._images)}
            for annotation in content["annotations"]:
                self._annotations[place[annotation["image_id"]]].append(annotation)
        else:
            names = sorted(p.name for p in (self.path / "images").iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
            self._images = [{"file_name": name} for name in names]
        self.image_ids = [Path(image["file_name"]).stem for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Image, PanopticAnnotation | None]:
        image = Image.open(self.image_path(index))
        return image, None if self._annotations is None else self.annotation(index)

    def __iter__(self) -> Iterator[tuple[Image, PanopticAnnotation | None]]:
        return (self[index] for index in range(len(self)))

    def image_path(self, index: int) -> Path:
        """The file of an image."""
        return self.path / "images" / self._images[index]["file_name"]

    def annotation(self, index: int) -> PanopticAnnotation:
        """The truth about an image, without reading the image.

        Raises DatasetError when the dataset has no annotations, or the image's stuffthingmap is missing or misfits.
        """
        if self._annotations is None:
            raise DatasetError(f"{self.path} has no annotations.json, only images.")
        image = self._images[index]
        path = self.path / "stuffthingmaps" / f"{self.image_ids[index]}.png"
        semantic = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None
        if semantic is None or semantic.shape != (image["height"], image["width"]):
            raise DatasetError(
                f"{path} is not a grey image of {image['width']}x{image['height']} pixels; prepare the dataset again."
            )
        class_ids = {train_id + 1: train_id for train_id in range(self.classes.num_stuff)}
        table = np.zeros(VOID + 1, np.int32)
        table[: self.classes.num_stuff] = list(class_ids)
        segment_map = table[semantic]
        crowd_ids = set()
        for segment_id, thing in enumerate(self._annotations[index], start=self.classes.num_stuff + 1):
            segment_map[decode_mask(thing["segmentation"])] = segment_id
            class_ids[segment_id] = thing["category_id"]
            if thing["iscrowd"]:
                crowd_ids.add(segment_id)
        return PanopticAnnotation.from_map(segment_map, class_ids, self.classes, crowd_ids=frozenset(crowd_ids))

    def evaluate(self, prediction_path: str | Path, prediction_json_folder: str | Path) -> dict[str, Any]:
        """Panoptic quality by cityscapesscripts: `{"All"|"Things"|"Stuff": {"pq", "sq", "rq", "n"}, "per_class":
        {name: {"pq", "sq", "rq"}}}`, values 0-1, n the number of classes that occur.

        prediction_path: folder of the predicted panoptic PNGs. prediction_json_folder: folder of JSON files in COCO's
        panoptic result format, one for all images or one for each; or one such file.
        Raises DatasetError when the dataset has no `panoptic_gt`, or a prediction is missing or does not fit.
        """  # fmt: skip
        if not (self.path / "panoptic_gt.json").exists():
            raise DatasetError(
                f"{self.path} has no panoptic_gt.json. Prepare the dataset again with "
                "generate_train_evaluation=True and resume=True to evaluate on its train split."
            )
        return panoptic_quality_of_files(
            self.path / "panoptic_gt.json",
            Path(prediction_path).expanduser(),
            Path(prediction_json_folder).expanduser(),
        ).to_dict()

    @classmethod
    def prepare_data(
        cls,
        input_path: str | Path,
        output_path: str | Path,
        generate_train_evaluation: bool = False,
        num_workers: int | None = None,
        *,
        resume: bool = False,
        link_images: bool = False,
    ) -> None:
        """`output_path` holds `{train,val}/{images, stuffthingmaps, annotations.json, panoptic_gt, panoptic_gt.json}`.

        input_path: the dataset as downloaded and unpacked, see the class. `~` is expanded in both paths.
        generate_train_evaluation: make panoptic_gt for the train split too. num_workers: images at a time; None means
        one for each processor. resume: go on with an earlier preparation in `output_path`. link_images: symbolic links
        to the images instead of copies, where they need no resizing.
        Raises DatasetError when `output_path` is not empty (and `resume` false), and, at the end, with a list of every
        missing folder and unreadable or mis-sized file; what could be prepared is kept for `resume`.
        """
        prepare(
            cls._read_raw(Path(input_path).expanduser()),
            Path(output_path).expanduser(),
            truth_splits=SPLITS if generate_train_evaluation else ("val",),
            num_workers=(os.cpu_count() or 1) if num_workers is None else num_workers,
            resume=resume,
            link_images=link_images,
        )

    @staticmethod
    @abstractmethod
    def _read_raw(root: Path) -> RawDataset:
        """What is in the folder that was downloaded."""


def _find_split(path: Path) -> Path:
    if not path.exists() and path.name in _OTHER_NAMES:
        path = path.with_name(_OTHER_NAMES[path.name])
    if (path / WORK_FOLDER).exists():
        raise DatasetError(f"The preparation of {path} was not finished; call prepare_data again with resume=True.")
    if not (path / "images").is_dir():
        inside = [split for split in SPLITS if (path / split / "images").is_dir()]
        hint = f"did you mean {path / inside[0]}?" if inside else "make it with prepare_data."
        raise DatasetError(f"{path} is not a split of a prepared dataset (it has no folder images): {hint}")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}; prepare the dataset again.") from error
    if not {"images", "annotations", "categories"} <= content.keys():
        raise DatasetError(f"{path} lacks images, annotations or categories; prepare the dataset again.")
    return content


def _class_table(categories: list[dict[str, Any]]) -> ClassTable:
    ordered = sorted(categories, key=lambda category: category["id"])
    return ClassTable.from_dict(
        {
            "names": [category["name"] for category in ordered],
            "num_stuff": sum(not category["isthing"] for category in ordered),
            "colors": [category["color"] for category in ordered],
            "dataset_ids": [category["dataset_id"] for category in ordered],
        }
    )
