# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The files of an evaluation: figures, figures by image, confusion matrix, and pictures of the worst images."""

from __future__ import annotations

import csv
import dataclasses
import functools
import heapq
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, ImageFigures
from opendr_panoptic_ros.evaluation.run import EvaluatedImage
from opendr_panoptic_ros.files import check_writable_folder, write_json, write_png, write_whole
from opendr_panoptic_ros.visualize import contact_sheet, overlay, text_picture

_COLUMNS = [field.name for field in dataclasses.fields(ImageFigures)]
_CELL_PX = 34


class ReportFolder:
    """Collects an evaluation and writes it into a folder.

    `figures.json` holds the figures of `EvaluationResult`; `images.csv` those of each image, the lowest PQ first;
    `confusion.csv` the pixels by true class (rows) and predicted class (columns), `confusion.png` the same as shares
    of the true class; `worst_01_NAME.jpg` and so on show the images with the lowest PQ: image, truth, prediction.

    Args:
        folder: The folder; it is made if it does not exist. Files of an earlier report are replaced.
        worst: Number of images that are drawn.

    Raises:
        DatasetError: The folder cannot be written.
    """

    def __init__(self, folder: Path, *, worst: int = 10) -> None:
        try:
            check_writable_folder(folder)
        except OSError as error:
            raise DatasetError(f"{folder} cannot be used for the report: {error.strerror}.") from error
        self._folder, self._worst = folder, worst
        self._rows: list[tuple[str, ImageFigures]] = []
        self._pictures: list[tuple[float, int, str, NDArray[np.uint8]]] = []  # a heap; the best of the worst is first

    def add(self, image: EvaluatedImage) -> None:
        """Add one image.

        Args:
            image: The image with its figures.
        """
        self._rows.append((image.name, image.figures))
        pq = image.figures.pq
        if self._worst == 0 or math.isnan(pq):
            return
        if len(self._pictures) < self._worst:
            heapq.heappush(self._pictures, (-pq, -image.index, image.name, _picture(image)))
        elif (-pq, -image.index) > self._pictures[0][:2]:
            heapq.heapreplace(self._pictures, (-pq, -image.index, image.name, _picture(image)))

    def write(self, result: EvaluationResult) -> None:
        """Write all files.

        Args:
            result: The figures over all images.
        """
        for old in self._folder.glob("worst_*.jpg"):
            old.unlink()
        write_json(self._folder / "figures.json", result.to_dict())
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = sorted(self._rows, key=lambda row: (math.isnan(row[1].pq), row[1].pq))
        values = ([name, *(_cell(getattr(figures, key)) for key in _COLUMNS)] for name, figures in rows)
        _write_csv(self._folder / "images.csv", ["name", *_COLUMNS], values)
        names = list(result.iou)
        confusion = ([name, *map(int, row)] for name, row in zip(names, result.confusion, strict=True))
        _write_csv(self._folder / "confusion.csv", ["truth", *names, "void"], confusion)
        write_png(self._folder / "confusion.png", confusion_picture(result.confusion, names))
        for place, (_, _, name, picture) in enumerate(sorted(self._pictures, reverse=True), start=1):
            _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            path = self._folder / f"worst_{place:02d}_{name.replace('/', '_')}.jpg"
            write_whole(path, functools.partial(Path.write_bytes, data=data.tobytes()))


def confusion_picture(confusion: NDArray[np.int64], names: list[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix: each cell in percent of the pixels of its true class, darker for more.

    Args:
        confusion: `(classes, classes + 1)` pixels by true and predicted class; the last column is void.
        names: Names of the classes.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    columns = [*names, "void"]
    left = max(text_picture(name).shape[1] for name in columns) + 12
    height, width = left + _CELL_PX * len(names) + 8, left + _CELL_PX * len(columns) + 8
    picture = np.full((height, width, 3), 255, np.uint8)
    for column, name in enumerate(columns):
        text = np.rot90(text_picture(name))
        x = left + _CELL_PX * column + (_CELL_PX - text.shape[1]) // 2
        picture[left - 6 - text.shape[0] : left - 6, x : x + text.shape[1]] = text
    totals = confusion.sum(axis=1)
    for row, name in enumerate(names):
        text = text_picture(name)
        y = left + _CELL_PX * row
        picture[y + (_CELL_PX - text.shape[0]) // 2 :, left - 6 - text.shape[1] : left - 6][: text.shape[0]] = text
        for column in range(len(columns)):
            share = confusion[row, column] / totals[row] if totals[row] else math.nan
            cell = picture[y : y + _CELL_PX - 1, left + _CELL_PX * column : left + _CELL_PX * (column + 1) - 1]
            _draw_cell(cell, share, is_hit=row == column)
    return picture


def _draw_cell(cell: NDArray[np.uint8], share: float, *, is_hit: bool) -> None:
    if math.isnan(share):
        cell[:] = 236
        return
    full = np.array([33, 102, 172] if is_hit else [178, 24, 43])  # blue, red: distinct to all eyes
    background = np.rint(255 + math.sqrt(share) * (full - 255.0)).astype(np.uint8)
    cell[:] = background
    if share >= 0.005:
        text = text_picture(f"{100 * share:.0f}", ink=255 if share > 0.3 else 0, paper=background)
        top, left = (cell.shape[0] - text.shape[0]) // 2, (cell.shape[1] - text.shape[1]) // 2
        cell[top : top + text.shape[0], left : left + text.shape[1]] = text


def _picture(image: EvaluatedImage) -> NDArray[np.uint8]:
    panels = [
        image.pixels,
        overlay(image.pixels, image.truth, labels=True),
        overlay(image.pixels, image.prediction, labels=True),
    ]
    return contact_sheet(
        panels,
        columns=1 if image.pixels.shape[1] > 2 * image.pixels.shape[0] else 3,
        tile_width_px=640,
        titles=[image.name, "truth", f"prediction, PQ {100 * image.figures.pq:.1f}"],
    )


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.6f}"


def _write_csv(path: Path, head: list[str], rows: Iterable[Sequence[object]]) -> None:
    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *rows])

    write_whole(path, write)
