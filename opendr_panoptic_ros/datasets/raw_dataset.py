# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Datasets as they are downloaded: which image belongs to which labels, and how the labels are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import ClassTable

SPLITS = ("train", "val")


@dataclass(frozen=True)
class RawImage:
    """One image and its labels. segments: what COCO's JSON says about the labels; empty for the others."""

    image_id: str
    image_path: Path
    labels_path: Path
    segments: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class RawDataset:
    """A downloaded dataset.

    images: by split, sorted by id. problems: by split, what was found wrong while listing them.
    read_ids: the labels of an image as `evaluation.panoptic_format` defines ids, `(H, W)` int32; raises DatasetError.
    panoptic_truth: the panoptic PNG `(H, W, 3)` uint8 and its segments_info, made from such ids.
    size_px: width and height to which images and labels are resized; None leaves them.
    """

    name: str
    classes: ClassTable
    images: dict[str, list[RawImage]]
    problems: dict[str, list[str]]
    read_ids: Callable[[RawImage], NDArray[np.int32]]
    panoptic_truth: Callable[[NDArray[np.int32]], tuple[NDArray[np.uint8], list[dict[str, Any]]]]
    size_px: tuple[int, int] | None = field(default=None, kw_only=True)


def read_pixels(path: Path) -> NDArray[Any]:
    """The pixels of a file, upright, as `Image.open` sees them: `(H, W)` or `(H, W, C)`.

    Raises DatasetError when the file is missing, is no image, or ends too early (OpenCV would fill the rest up).
    """
    try:
        with PilImage.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three for broken files
        raise DatasetError(f"{path}: cannot be read: {error}") from error


def list_files(folder: Path, pattern: str, suffixes: tuple[str, ...], problems: list[str]) -> dict[str, Path]:
    """The files in `folder` that match the glob `pattern`, by name without the one of `suffixes` they end with.

    A missing folder, or one without such files, is a line in `problems`.
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
    """The images that have labels, sorted by id. What has no partner is a line in `problems`.

    Where one side is empty the folder's own problem says so, and its partners are not listed one by one.
    """
    if images and labels:
        problems += [f"{images[i]}: has no labels" for i in sorted(images.keys() - labels.keys())]
        problems += [f"{labels[i]}: has no image" for i in sorted(labels.keys() - images.keys())]
    return [RawImage(i, images[i], labels[i]) for i in sorted(images.keys() & labels.keys())]


def require_classes(ids: NDArray[Any], class_ids: Iterable[int], path: Path) -> None:
    """Nothing, if every id of `ids` (class, or class · 1000 + instance) has its class among `class_ids`.

    Raises DatasetError, which names `path` and the unknown ids.
    """
    present = np.unique(ids)
    unknown = present[~np.isin(np.where(present >= 1000, present // 1000, present), list(class_ids))]
    if len(unknown):
        listed = ", ".join(str(i) for i in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise DatasetError(f"{path}: holds ids that are not in Cityscapes' scheme: {listed}")
