# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Datasets as they are downloaded: which image belongs to which labels, and how the labels are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import ClassTable

SPLITS = ("train", "val")
"""The splits of a prepared dataset."""


@dataclass(frozen=True)
class RawImage:
    """One image and its labels.

    Attributes:
        image_id: Name of the prepared image, without suffix.
        image_path: The image file.
        labels_path: The label file.
        segments: COCO's `segments_info` of the labels; empty for other formats.
        truth_id: The image's id in the panoptic ground truth that is written; None = `image_id`.
    """

    image_id: str
    image_path: Path
    labels_path: Path
    segments: tuple[dict[str, Any], ...] = ()
    truth_id: int | str | None = None


@dataclass(frozen=True)
class RawDataset:
    """A downloaded dataset.

    Attributes:
        name: The dataset's name, for messages.
        classes: The classes of the labels.
        images: The images of each split, sorted by id.
        problems: What was found wrong in each split while listing its files, one line each.
        read_ids: Reads the labels of an image, `(H, W)` int32 ids as `formats.panoptic` defines them; raises
            DatasetError.
        panoptic_truth: Makes the panoptic PNG, `(H, W, 3)` uint8, and its `segments_info` of such ids.
        size_px: Width and height to which images and labels are resized; None keeps their sizes.
    """

    name: str
    classes: ClassTable
    images: dict[str, list[RawImage]]
    problems: dict[str, list[str]]
    read_ids: Callable[[RawImage], NDArray[np.int32]]
    panoptic_truth: Callable[[NDArray[np.int32]], tuple[NDArray[np.uint8], list[dict[str, Any]]]]
    size_px: tuple[int, int] | None = field(default=None, kw_only=True)


Reader: TypeAlias = Callable[[Path, Sequence[str]], RawDataset]
"""Lists a downloaded dataset: its folder, and the splits to look for."""


def list_files(folder: Path, pattern: str, suffixes: tuple[str, ...], problems: list[str]) -> dict[str, Path]:
    """List the files of a folder by their names without suffix.

    Args:
        folder: Where to look. A missing folder, or one without such files, is a problem.
        pattern: Glob pattern, relative to the folder.
        suffixes: Endings of the file names to list; they are cut off from the names.
        problems: Receives one line for each problem.

    Returns:
        Path by name without suffix.
    """
    if not folder.is_dir():
        problems.append(f"{folder}: there is no such folder")
        return {}
    files = {}
    for path in folder.glob(pattern):
        suffix = next((s for s in suffixes if path.name.endswith(s)), None)
        if suffix is not None:
            files[path.name[: -len(suffix)]] = path
    if not files:
        problems.append(f"{folder}: holds no file {pattern} whose name ends with {' or '.join(suffixes)}")
    return files


def pair_files(images: dict[str, Path], labels: dict[str, Path], problems: list[str]) -> list[RawImage]:
    """Pair images with the labels of the same name.

    Args:
        images: Image files by name.
        labels: Label files by name.
        problems: Receives one line for each file without a partner, unless one of the two sides is empty: then the
            problem of its folder is listed already.

    Returns:
        The images that have labels, sorted by name.
    """
    if images and labels:
        problems += [f"{images[i]}: has no labels" for i in sorted(images.keys() - labels.keys())]
        problems += [f"{labels[i]}: has no image" for i in sorted(labels.keys() - images.keys())]
    return [RawImage(i, images[i], labels[i]) for i in sorted(images.keys() & labels.keys())]


def require_classes(ids: NDArray[Any], class_ids: Iterable[int], path: Path) -> None:
    """Check that every id has a known class.

    Args:
        ids: Integers, each a class id or class id · 1000 + instance number.
        class_ids: The known class ids.
        path: The file of the ids, for the message.

    Raises:
        DatasetError: Some ids have another class.
    """
    present = np.unique(ids)
    unknown = present[~np.isin(np.where(present >= 1000, present // 1000, present), list(class_ids))]
    if len(unknown):
        listed = ", ".join(str(i) for i in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise DatasetError(f"{path}: holds ids that are not in Cityscapes' scheme: {listed}")
