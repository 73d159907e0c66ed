# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writing labelled frames as datasets that training, CVAT and FiftyOne read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from opendr_panoptic_ros.errors import ConfigError, PanopticError
from opendr_panoptic_ros.export.dataset_format import DatasetFormat
from opendr_panoptic_ros.files import WorkFolder, write_json, write_png
from opendr_panoptic_ros.formats.panoptic import categories, ids_to_rgb, instance_annotations, segments_info
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.visualize import overlay, semantic_color


class DatasetFolder(ABC):
    """A new dataset, as a context. Until the context ends without an error, it lies in `FOLDER.partial`.

    Args:
        folder: The folder to make.
        classes: The classes of the frames.
        split: Name of the split, such as train.

    Attributes:
        count: Number of frames written.

    Raises:
        PanopticError: The folder exists, another process writes it, or it cannot be made.
    """

    def __init__(self, folder: Path, classes: ClassTable, split: str) -> None:
        if folder.exists() or folder.is_symlink():
            raise PanopticError(f"{folder} exists; choose another folder, or remove it.")
        self._path, self._classes, self._split = folder, classes, split
        self._partial = folder.with_name(f"{folder.name}.partial")
        try:
            self._work = WorkFolder(self._partial)
        except OSError as error:
            raise PanopticError(f"{self._partial} cannot be made: {error.strerror}.") from error
        self._folder = self._partial / folder.name
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_details: object) -> None:
        if error is None and self.count:
            self._complete()
            self._folder.rename(self._path)
        self._work.remove()

    def add(
        self, bag: str, camera: str, number: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction
    ) -> None:
        """Write one frame with its labels.

        Args:
            bag: Name of the bag.
            camera: Name of the camera: its image topic.
            number: Number of the frame of this camera, from 0.
            pixels: `(H, W, 3)` uint8 RGB.
            prediction: The labels, of the same height and width.
        """
        self._write(slug(bag), slug(camera.removesuffix("/compressed")), number, pixels, prediction)
        self.count += 1

    @abstractmethod
    def _write(
        self, bag: str, camera: str, number: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction
    ) -> None: ...

    def _complete(self) -> None:  # noqa: B027 - a format may have no such files
        """Write the files that describe all frames."""


class CocoPanopticFolder(DatasetFolder):
    """COCO's panoptic format, and COCO's instances.

    `SPLIT/*.png` are the images, `annotations/panoptic_SPLIT.json` with a folder of PNGs are what `opendr-panoptic
    prepare coco` reads, and `annotations/instances_SPLIT.json` is what CVAT and FiftyOne read.

    Args:
        folder: As in `DatasetFolder`.
        classes: As in `DatasetFolder`.
        split: As in `DatasetFolder`.

    Raises:
        PanopticError: As in `DatasetFolder`.
    """

    def __init__(self, folder: Path, classes: ClassTable, split: str) -> None:
        super().__init__(folder, classes, split)
        self._images: list[dict[str, Any]] = []
        self._panoptic: list[dict[str, Any]] = []
        self._instances: list[dict[str, Any]] = []

    @override
    def _write(
        self, bag: str, camera: str, number: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction
    ) -> None:
        name, image_id = f"{bag}_{camera}_{number:06d}.png", self.count + 1
        height, width = prediction.shape
        write_png(self._folder / self._split / name, pixels)
        ids = prediction.panoptic_ids
        write_png(self._folder / "annotations" / f"panoptic_{self._split}" / name, ids_to_rgb(ids))
        self._images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        self._panoptic.append(
            {"image_id": image_id, "file_name": name, "segments_info": segments_info(ids, self._classes)}
        )
        for annotation in instance_annotations(ids, self._classes):
            category_id = self._classes.dataset_ids[annotation["category_id"]]
            self._instances.append(
                {**annotation, "id": len(self._instances) + 1, "image_id": image_id, "category_id": category_id}
            )

    @override
    def _complete(self) -> None:
        every = categories(self._classes)
        for name, entries, kinds in (
            ("panoptic", self._panoptic, every),
            ("instances", self._instances, [c for c in every if c["isthing"]]),
        ):
            content = {"images": self._images, "annotations": entries, "categories": kinds}
            write_json(self._folder / "annotations" / f"{name}_{self._split}.json", content)


class CityscapesFolder(DatasetFolder):
    """The layout of Cityscapes, with the bag as the city and the camera as the sequence.

    `leftImg8bit/SPLIT/BAG/BAG_CAMERA_NUMBER_leftImg8bit.png`, and in `gtFine/SPLIT/BAG` the PNGs `_gtFine_instanceIds`,
    `_gtFine_labelIds` and `_gtFine_color`.

    Args:
        folder: As in `DatasetFolder`.
        classes: Classes of Cityscapes.
        split: As in `DatasetFolder`.

    Raises:
        ConfigError: A class is not one of Cityscapes.
        PanopticError: As in `DatasetFolder`.
    """

    def __init__(self, folder: Path, classes: ClassTable, split: str) -> None:
        wanted = set(zip(CITYSCAPES.dataset_ids, CITYSCAPES.names, strict=True))
        foreign = [i for i in zip(classes.dataset_ids, classes.names, strict=True) if i not in wanted]
        if foreign:
            names = ", ".join(name for _, name in foreign)
            raise ConfigError(f"--format cityscapes takes the classes of Cityscapes, not {names}; use coco-panoptic.")
        super().__init__(folder, classes, split)

    @override
    def _write(
        self, bag: str, camera: str, number: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction
    ) -> None:
        # The names of Cityscapes have three parts, separated by underscores.
        city = bag.replace("_", "-")
        name = f"{city}_{camera.replace('_', '-')}_{number:06d}"
        ids = prediction.panoptic_ids
        labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
        write_png(self._folder / "leftImg8bit" / self._split / city / f"{name}_leftImg8bit.png", pixels)
        fine = self._folder / "gtFine" / self._split / city
        write_png(fine / f"{name}_gtFine_instanceIds.png", ids.astype(np.uint16))
        write_png(fine / f"{name}_gtFine_labelIds.png", labels)
        write_png(fine / f"{name}_gtFine_color.png", semantic_color(prediction))


class ImagesFolder(DatasetFolder):
    """Images and masks of equal names in folders: `data`, `labels`, `instances` and `overlays`, with `classes.json`.

    `labels` holds the class ids (255 void) and `instances` the ids of the things as 16 bit (0 none). `data` and
    `labels` are what FiftyOne's ImageSegmentationDirectory reads.

    Args:
        folder: As in `DatasetFolder`.
        classes: As in `DatasetFolder`.
        split: Not used.

    Raises:
        PanopticError: As in `DatasetFolder`.
    """

    @override
    def _write(
        self, bag: str, camera: str, number: int, pixels: NDArray[np.uint8], prediction: PanopticPrediction
    ) -> None:
        name = f"{bag}_{camera}_{number:06d}.png"
        write_png(self._folder / "data" / name, pixels)
        write_png(self._folder / "labels" / name, prediction.semantic_map)
        write_png(self._folder / "instances" / name, prediction.instance_map)
        write_png(self._folder / "overlays" / name, overlay(pixels, prediction, labels=True))

    @override
    def _complete(self) -> None:
        rows = zip(self._classes.ids, self._classes.names, self._classes.colors, strict=True)
        content = [{"id": i, "name": name, "color": list(color)} for i, name, color in rows]
        write_json(self._folder / "classes.json", content)


DATASET_FOLDERS: dict[DatasetFormat, type[DatasetFolder]] = {
    DatasetFormat.COCO_PANOPTIC: CocoPanopticFolder,
    DatasetFormat.CITYSCAPES: CityscapesFolder,
    DatasetFormat.IMAGES: ImagesFolder,
}
"""The writer of each format."""


def slug(name: str) -> str:
    """Return a name with letters, digits, `-` and `.` alone, for the names of files.

    Args:
        name: Any text, such as a topic.
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "unnamed"
