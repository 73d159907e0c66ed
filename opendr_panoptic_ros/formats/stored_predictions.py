# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Predictions read back from the files that `opendr-panoptic infer` and result writers of COCO and Cityscapes make."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.errors import DatasetError, plain, quoted
from opendr_panoptic_ros.files import read_json, stays_inside
from opendr_panoptic_ros.formats.image_files import read_pixels
from opendr_panoptic_ros.formats.panoptic import rgb_to_ids
from opendr_panoptic_ros.labels import VOID, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

_EXPECTED = (
    "expected NAME_semantic.png and NAME_instance.png (infer --format labels), or a JSON file in COCO's panoptic "
    "result format beside the folder of its PNGs (infer --format cityscapes)"
)


class StoredPredictions:
    """The predictions in a folder, in one of two layouts.

    - `NAME_semantic.png` (train ids, 255 = void) and `NAME_instance.png` (0 = none). Where `NAME.json` of
      `infer --format json` is there too, things have its scores.
    - `FILE.json` in COCO's panoptic result format, and the PNGs in the folder `FILE`. It has no scores.

    Args:
        folder: The folder, or the JSON file of the second layout.

    Raises:
        DatasetError: There is no such folder, it has neither layout, or the JSON file is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        self._entries: dict[str, dict[str, Any]] | None = None
        if self._folder.is_file():
            self._read_list(self._folder)
        elif not self._folder.is_dir():
            raise DatasetError(f"There is no folder {self._folder}; {_EXPECTED}.")
        elif not any(self._folder.glob("*_semantic.png")):
            lists = [path for path in sorted(self._folder.glob("*.json")) if path.with_suffix("").is_dir()]
            if len(lists) != 1:
                raise DatasetError(
                    f"{self._folder} has no NAME_semantic.png and {len(lists)} JSON files with a folder of PNGs; "
                    f"{_EXPECTED}."
                )
            self._read_list(lists[0])

    def read(self, name: str, size: tuple[int, int], classes: ClassTable) -> PanopticPrediction:
        """Read the prediction for one image.

        Args:
            name: The image's name, without suffix.
            size: Height and width of the image in px.
            classes: The classes of the dataset.

        Returns:
            The prediction. The score of things is NaN where the files have none.

        Raises:
            DatasetError: There is none for this image, or it is damaged, of another size or of other classes.
        """
        if self._entries is None:
            prediction = self._of_labels(name, classes)
        elif name in self._entries:
            prediction = self._of_entry(name, self._entries[name], classes)
        else:
            raise DatasetError(f"{self._folder}.json has no prediction for {name}.")
        if prediction.shape != tuple(size):
            raise DatasetError(
                f"The prediction for {name} in {self._folder} is {prediction.shape} pixels (H, W), the image "
                f"{tuple(size)}; write predictions at the size of the images."
            )
        return prediction

    def _read_list(self, path: Path) -> None:
        try:
            entries = read_json(path)["annotations"]
            self._entries = {}
            for entry in entries:
                if not isinstance(entry["file_name"], str) or not stays_inside(entry["file_name"]):
                    raise ValueError(f"file_name {quoted(entry['file_name'])} is no path inside the folder")
                self._entries[str(entry["image_id"])] = self._entries[Path(entry["file_name"]).stem] = entry
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DatasetError(
                f"{path} is not in COCO's panoptic result format (annotations with image_id, file_name, "
                f"segments_info): {plain(str(error), 100)}."
            ) from error
        self._folder = path.with_suffix("")

    def _of_labels(self, name: str, classes: ClassTable) -> PanopticPrediction:
        semantic = read_pixels(self._folder / f"{name}_semantic.png")
        instance = read_pixels(self._folder / f"{name}_instance.png")
        if semantic.ndim != 2 or semantic.shape != instance.shape:
            raise DatasetError(
                f"{self._folder / name}: the semantic image has the shape {semantic.shape}, the instance image "
                f"{instance.shape}; expected two grey images of one size."
            )
        ids = np.unique(semantic)
        if (wrong := ids[(ids >= len(classes)) & (ids != VOID)]).size:
            raise DatasetError(
                f"{self._folder / name}_semantic.png has the value {wrong[0]}; expected train ids 0 to "
                f"{len(classes) - 1} and 255."
            )
        segment_map = instance.astype(np.int32)
        first_free = int(segment_map.max(initial=0)) + 1
        stuff = (instance == 0) & (semantic != VOID)
        segment_map[stuff] = semantic[stuff].astype(np.int32) + first_free
        class_ids = {first_free + int(i): int(i) for i in np.unique(semantic[stuff])}
        present, places = np.unique(instance, return_index=True)
        class_ids |= {int(i): int(semantic.flat[place]) for i, place in zip(present, places, strict=True) if i}
        for segment_id, class_id in class_ids.items():
            is_thing = segment_id < first_free
            if class_id == VOID or classes.is_thing(class_id) != is_thing:
                raise DatasetError(
                    f"{self._folder / name}: {'an instance' if is_thing else 'a region without instance'} has the "
                    f"train id {class_id}; expected that of a {'thing' if is_thing else 'stuff class'}."
                )
        return _with_scores(PanopticAnnotation.from_map(segment_map, class_ids, classes), self._scores(name))

    def _scores(self, name: str) -> dict[int, float]:
        """Return the scores in NAME.json by segment id; none without that file."""
        path = self._folder / f"{name}.json"
        if not path.exists():
            return {}
        try:
            return {int(s["id"]): float(s["score"]) for s in read_json(path)["segments"] if s["is_thing"]}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DatasetError(f"{path} is not a list of segments: {plain(str(error), 100)}.") from error

    def _of_entry(self, name: str, entry: dict[str, Any], classes: ClassTable) -> PanopticPrediction:
        path = self._folder / entry["file_name"]
        rgb = read_pixels(path)
        if rgb.ndim != 3 or rgb.dtype != np.uint8:
            raise DatasetError(f"{path} is not an RGB image; expected ids encoded as R + 256 · G + 65536 · B.")
        ids = rgb_to_ids(rgb)
        train_ids = {dataset_id: train_id for train_id, dataset_id in enumerate(classes.dataset_ids)}
        try:
            categories = {int(s["id"]): train_ids[int(s["category_id"])] for s in entry["segments_info"]}
        except (LookupError, ValueError, TypeError) as error:
            raise DatasetError(
                f"{self._folder}.json: the segments of {name} have unknown categories: {plain(str(error), 100)}."
            ) from error
        present = np.unique(ids)
        unknown = [int(i) for i in present if i and int(i) not in categories]
        if unknown:
            raise DatasetError(f"{path} has the id {unknown[0]}, which is not in its segments_info.")
        numbers = np.arange(len(present), dtype=np.int32) + (0 if present[0] == 0 else 1)
        segment_map = numbers[np.searchsorted(present, ids)]
        class_ids = {int(n): categories[int(i)] for n, i in zip(numbers, present, strict=True) if i}
        return _with_scores(PanopticAnnotation.from_map(segment_map, class_ids, classes), {})


def _with_scores(annotation: PanopticAnnotation, scores: dict[int, float]) -> PanopticPrediction:
    segments = tuple(
        dataclasses.replace(s, score=scores.get(s.id, math.nan)) if s.is_thing else s for s in annotation.segments
    )
    return PanopticPrediction(annotation.segment_map, segments, annotation.classes)
