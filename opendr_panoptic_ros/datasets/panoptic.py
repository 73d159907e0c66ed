# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Images and their ground truth in a prepared folder, whatever data it was made from."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.datasets.preparation import WORK_FOLDER, prepare_dataset
from opendr_panoptic_ros.datasets.raw_dataset import SPLITS, RawDataset
from opendr_panoptic_ros.errors import DatasetError, plain, quoted
from opendr_panoptic_ros.files import read_json, stays_inside
from opendr_panoptic_ros.formats.panoptic import decode_mask
from opendr_panoptic_ros.formats.panoptic_quality import panoptic_quality_of_files
from opendr_panoptic_ros.image_header import read_image_file, refusal
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable
from opendr_panoptic_ros.media import read_image

_OTHER_NAMES = {"training": "train", "validation": "val"}
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


class PanopticDataset:
    """One split of a prepared dataset: `len(dataset)`, `dataset.sample(i)`, and `dataset[i]` with OpenDR's Image.

    Args:
        path: Folder of the split, with `images`, `stuffthingmaps` and `annotations.json`. `~` is expanded, and
            `…/training` finds `…/train`. A folder with `images` alone (a test split) has no annotations.

    Attributes:
        path: The folder.
        classes: What the train ids mean.
        image_ids: Names of the images without suffix, in order.
        truth_ids: Ids of the images in the dataset's own files, which result files use: COCO's integers; the names in
            other datasets.

    Raises:
        DatasetError: The folder is missing, is not a prepared split, or its preparation was not finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _find_split(Path(path).expanduser())
        self.classes: ClassTable = CITYSCAPES
        self._annotations: list[list[dict[str, Any]]] | None = None
        if (self.path / "annotations.json").exists():
            content = _read_annotations(self.path / "annotations.json")
            self._images: list[dict[str, Any]] = content.images
            self.classes = content.classes
            self._annotations = content.annotations
        else:
            names = sorted(p.name for p in (self.path / "images").iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
            self._images = [{"file_name": name} for name in names]
        self.image_ids = [Path(image["file_name"]).stem for image in self._images]
        self.truth_ids: list[int | str] = [
            image.get("truth_id", name) for image, name in zip(self._images, self.image_ids, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Image, PanopticAnnotation | None]:
        pixels, annotation = self.sample(index)
        return Image(pixels.transpose(2, 0, 1), guess_format=False), annotation

    def __iter__(self) -> Iterator[tuple[Image, PanopticAnnotation | None]]:
        return (self[index] for index in range(len(self)))

    def sample(self, index: int, /) -> tuple[NDArray[np.uint8], PanopticAnnotation | None]:
        """Read one image as an array, and its ground truth.

        Args:
            index: Place of the image in `image_ids`.

        Returns:
            The image, `(H, W, 3)` uint8 RGB, and its ground truth; None in a split without annotations.

        Raises:
            DatasetError: A file is missing or unreadable, or does not fit `annotations.json`.
        """
        pixels = read_image(self.image_path(index))
        return pixels, None if self._annotations is None else self.annotation(index)

    def image_path(self, index: int) -> Path:
        """Return the file of an image.

        Args:
            index: Place of the image in `image_ids`.

        Returns:
            The path.
        """
        return self.path / "images" / self._images[index]["file_name"]

    def annotation(self, index: int) -> PanopticAnnotation:
        """Read the ground truth of an image, without the image.

        Args:
            index: Place of the image in `image_ids`.

        Returns:
            The annotation.

        Raises:
            DatasetError: The split has no annotations, or the image's stuffthingmap is missing or of another size.
        """
        if self._annotations is None:
            raise DatasetError(f"{self.path} has no annotations.json, only images.")
        image = self._images[index]
        path = self.path / "stuffthingmaps" / f"{self.image_ids[index]}.png"
        semantic = None
        with contextlib.suppress(OSError, cv2.error):
            data = read_image_file(path)
            semantic = None if refusal(data) else cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
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
            try:
                segment_map[decode_mask(thing["segmentation"])] = segment_id
            except (ValueError, IndexError, TypeError) as error:
                file = self.path / "annotations.json"
                raise DatasetError(f"{file}: a mask of {path.stem} is damaged; prepare the dataset again.") from error
            class_ids[segment_id] = thing["category_id"]
            if thing["iscrowd"]:
                crowd_ids.add(segment_id)
        return PanopticAnnotation.from_map(segment_map, class_ids, self.classes, crowd_ids=frozenset(crowd_ids))

    def evaluate(self, prediction_path: str | Path, prediction_json_folder: str | Path) -> dict[str, Any]:
        """Compute the panoptic quality of predictions on disk, by cityscapesscripts.

        Args:
            prediction_path: Folder of the predicted panoptic PNGs.
            prediction_json_folder: Folder of JSON files in COCO's panoptic result format, one for all images or one
                for each; or one such file.

        Returns:
            `{"All"|"Things"|"Stuff": {"pq", "sq", "rq", "n"}, "per_class": {name: {"pq", "sq", "rq"}}}`; values 0-1,
            n the number of classes that occur.

        Raises:
            DatasetError: The split has no `panoptic_gt`, or a prediction is missing or does not fit.
        """
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


class ConvertibleDataset(PanopticDataset, ABC):
    """A PanopticDataset with `prepare_data` for one kind of downloaded data. Subclasses name the kind's reader.

    Args:
        path: As in `PanopticDataset`.
    """

    @classmethod
    def prepare_data(
        cls,
        input_path: str | Path,
        output_path: str | Path,
        generate_train_evaluation: bool = False,
        num_workers: int | None = None,
        *,
        splits: Sequence[str] = SPLITS,
        resume: bool = False,
        link_images: bool = False,
    ) -> None:
        """Convert the downloaded dataset into folders that `PanopticDataset` reads.

        Writes `{train,val}/{images, stuffthingmaps, annotations.json, panoptic_gt, panoptic_gt.json}`.

        Args:
            input_path: The dataset as downloaded and unpacked; `~` is expanded.
            output_path: Folder to write to, empty unless `resume`; `~` is expanded.
            generate_train_evaluation: Whether to make panoptic_gt for the train split too.
            num_workers: Images that are prepared at a time; None = one for each processor.
            splits: The splits to prepare.
            resume: Whether to continue an earlier preparation in `output_path`.
            link_images: Whether to make symbolic links to the images instead of copies, where they keep their size.

        Raises:
            DatasetError: `output_path` is not empty and `resume` is false; or, at the end, with a list of every
                missing folder and unusable file. What could be prepared is kept for `resume`.
            ValueError: `num_workers` is below 1.
        """
        prepare_dataset(
            cls._read_raw,
            Path(input_path).expanduser(),
            Path(output_path).expanduser(),
            train_truth=generate_train_evaluation,
            num_workers=num_workers,
            splits=splits,
            resume=resume,
            link_images=link_images,
        )

    @staticmethod
    @abstractmethod
    def _read_raw(root: Path, splits: Sequence[str]) -> RawDataset:
        """List the downloaded files; a `Reader`."""


def _find_split(path: Path) -> Path:
    """Return the folder of a finished split; DatasetError with advice when it is not one."""
    if not path.exists() and path.name in _OTHER_NAMES:
        path = path.with_name(_OTHER_NAMES[path.name])
    if (path / WORK_FOLDER).exists():
        raise DatasetError(f"The preparation of {path} was not finished; call prepare_data again with resume=True.")
    if not (path / "images").is_dir():
        inside = [split for split in SPLITS if (path / split / "images").is_dir()]
        hint = f"did you mean {path / inside[0]}?" if inside else "make it with prepare_data."
        raise DatasetError(f"{path} is not a split of a prepared dataset (it has no folder images): {hint}")
    return path


class _Annotations(NamedTuple):
    """The content of `annotations.json`: its images, the things of each of them, and the classes."""

    images: list[dict[str, Any]]
    annotations: list[list[dict[str, Any]]]
    classes: ClassTable


def _read_annotations(path: Path) -> _Annotations:
    try:
        content = read_json(path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {plain(str(error), 100)}; prepare the dataset again.") from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise DatasetError(f"{path} lacks images, annotations or categories; prepare the dataset again.")
    try:
        classes = _class_table(content["categories"])
        images: list[dict[str, Any]] = content["images"]
        for image in images:
            _check_image(image)
        annotations: list[list[dict[str, Any]]] = [[] for _ in images]
        place = {image["id"]: index for index, image in enumerate(images)}
        for thing in content["annotations"]:
            index = place[thing["image_id"]]
            _check_thing(thing, images[index], classes)
            annotations[index].append(thing)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"lacks {plain(str(error))}" if isinstance(error, LookupError) else plain(str(error), 100)
        raise DatasetError(f"{path} is damaged ({reason}); prepare the dataset again.") from error
    if len(place) < len(images):
        raise DatasetError(f"{path} is damaged (two images have one id); prepare the dataset again.")
    return _Annotations(images, annotations, classes)


def _check_image(image: dict[str, Any]) -> None:
    """Check an image of `annotations.json`; ValueError, KeyError or TypeError when it is malformed."""
    name = image["file_name"]
    if not isinstance(name, str) or PurePath(name).name != name or not stays_inside(name):
        raise ValueError(f"file_name is {quoted(name)}; expected the name of a file in the folder images")
    for key in ("id", "width", "height"):
        if type(image[key]) is not int or image[key] < 1:
            raise ValueError(f"{key} of an image is {quoted(image[key])}; expected an integer above 0")
    if type(image.get("truth_id", 0)) not in (int, str):
        raise TypeError(f"truth_id is {quoted(image['truth_id'])}; expected a number or a name")


def _check_thing(thing: dict[str, Any], image: dict[str, Any], classes: ClassTable) -> None:
    """Check an annotation of `annotations.json`; ValueError, KeyError or TypeError when it is malformed."""
    category = thing["category_id"]
    if type(category) is not int or not classes.num_stuff <= category < len(classes):
        raise ValueError(f"category_id of an annotation is {quoted(category)}; expected the train id of a thing")
    if thing["iscrowd"] not in (0, 1):
        raise ValueError(f"iscrowd is {quoted(thing['iscrowd'])}; expected 0 or 1")
    mask = thing["segmentation"]
    if mask["size"] != [image["height"], image["width"]] or not isinstance(mask["counts"], str):
        raise ValueError(f"a segmentation of {quoted(image['file_name'])} does not have the size of the image")


def _class_table(categories: list[dict[str, Any]]) -> ClassTable:
    ordered = sorted(categories, key=lambda category: category["id"])
    if [category["id"] for category in ordered] != list(range(len(ordered))):
        raise ValueError("the ids of the categories are not train ids from 0")
    is_thing = [bool(category["isthing"]) for category in ordered]
    if is_thing != sorted(is_thing):
        raise ValueError("the categories are not stuff first, then things")
    return ClassTable.from_dict(
        {
            "names": [category["name"] for category in ordered],
            "num_stuff": is_thing.count(False),
            "colors": [category["color"] for category in ordered],
            "dataset_ids": [category["dataset_id"] for category in ordered],
        }
    )
