# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Panoptic quality (PQ = SQ · RQ, https://arxiv.org/abs/1801.00868), counted by cityscapesscripts."""

from __future__ import annotations

import dataclasses
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import PQStat, pq_compute_single_core
from PIL import Image as PilImage

from opendr_panoptic_ros.errors import DatasetError, plain, quoted
from opendr_panoptic_ros.files import read_json, stays_inside, write_png
from opendr_panoptic_ros.formats.panoptic import categories, ids_to_rgb, segments_info
from opendr_panoptic_ros.formats.silence import without_prints
from opendr_panoptic_ros.image_header import read_image_file, refusal
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

_count = without_prints(pq_compute_single_core)

_MAX_SEGMENT_ID = 2**24  # ids are stored as colours


@dataclass(frozen=True)
class ClassQuality:
    """Panoptic quality of one class.

    Attributes:
        pq: Panoptic quality, 0-1.
        sq: Segmentation quality, 0-1.
        rq: Recognition quality, 0-1.
        tp: Matched segments.
        fp: Predicted segments without a match.
        fn: True segments without a match.
    """

    pq: float
    sq: float
    rq: float
    tp: int
    fp: int
    fn: int

    @property
    def occurs(self) -> bool:
        """Whether the class is in the truth or the predictions; the means leave other classes out."""
        return self.tp + self.fp + self.fn > 0


@dataclass(frozen=True)
class MeanQuality:
    """Means over the classes of a group that occur; all 0 where none does.

    Attributes:
        pq: Panoptic quality, 0-1.
        sq: Segmentation quality, 0-1.
        rq: Recognition quality, 0-1.
        n: Number of classes that occur.
    """

    pq: float
    sq: float
    rq: float
    n: int


@dataclass(frozen=True)
class PanopticQuality:
    """Panoptic quality of a set of images.

    Attributes:
        all: Mean over all classes.
        things: Mean over the things.
        stuff: Mean over the stuff.
        per_class: Quality of each class by name.
    """

    all: MeanQuality
    things: MeanQuality
    stuff: MeanQuality
    per_class: dict[str, ClassQuality]

    def to_dict(self) -> dict[str, Any]:
        """Return the values as OpenDR and cityscapesscripts do.

        Returns:
            `{"All"|"Things"|"Stuff": {"pq", "sq", "rq", "n"}, "per_class": {name: {"pq", "sq", "rq"}}}`.
        """
        return {
            "All": dataclasses.asdict(self.all),
            "Things": dataclasses.asdict(self.things),
            "Stuff": dataclasses.asdict(self.stuff),
            "per_class": {name: {"pq": q.pq, "sq": q.sq, "rq": q.rq} for name, q in self.per_class.items()},
        }


class PanopticQualityCounter:
    """Counts segments image by image; `result` is the quality of all images so far.

    Args:
        classes: The classes of ground truth and predictions.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._classes = classes
        self._categories = {category["id"]: category for category in categories(classes)}
        self._stat = PQStat()

    def add(self, truth: PanopticPrediction, prediction: PanopticPrediction) -> PanopticQuality:
        """Count one image. The script reads files, so both maps are written to a temporary folder.

        Args:
            truth: The ground truth, with the counter's classes.
            prediction: The prediction, of the same size and classes.

        Returns:
            The quality of this image alone.
        """
        with tempfile.TemporaryDirectory() as folder:
            annotations = []
            for name, panoptic in (("truth.png", truth), ("prediction.png", prediction)):
                ids = panoptic.panoptic_ids
                write_png(Path(folder) / name, ids_to_rgb(ids))
                segments = segments_info(ids, self._classes)
                annotations.append({"image_id": "image", "file_name": name, "segments_info": segments})
            stat = _count(0, [tuple(annotations)], folder, folder, self._categories)
        self._stat += stat
        return _average(stat, self._categories)

    def merge(self, other: PanopticQualityCounter) -> None:
        """Add the images that another counter has counted.

        Args:
            other: A counter with the same classes.
        """
        self._stat += other._stat

    def result(self) -> PanopticQuality:
        """Return the quality of the images counted so far."""
        return _average(self._stat, self._categories)


def panoptic_quality_of_files(truth_json: Path, prediction_folder: Path, prediction_json: Path) -> PanopticQuality:
    """Score predictions on disk in COCO's panoptic result format, as cityscapesscripts' command does.

    Args:
        truth_json: COCO panoptic JSON; its PNGs are in the folder of the same name.
        prediction_folder: Folder of the predicted PNGs.
        prediction_json: The JSON file, or a folder of JSON files, each with the entry of one image or of many.

    Returns:
        The quality over all images of `truth_json`.

    Raises:
        DatasetError: A prediction is missing, unreadable, of another size, or names unknown classes.
    """
    try:
        truth = read_json(truth_json)
        class_by_id = {category["id"]: category for category in truth["categories"]}
        if not all(isinstance(category["name"], str) and "isthing" in category for category in class_by_id.values()):
            raise ValueError("a category lacks its name or isthing")
        for annotation in truth["annotations"]:
            _check_entry(annotation)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{truth_json} is damaged: {plain(str(error), 100)}; prepare the dataset again.") from error
    truth_folder = truth_json.with_suffix("")
    predicted = _read_annotations(prediction_json)
    # Results for COCO's images have its integer ids, or the names of the files.
    keys = [a["image_id"] if a["image_id"] in predicted else Path(a["file_name"]).stem for a in truth["annotations"]]
    missing = [a["image_id"] for a, key in zip(truth["annotations"], keys, strict=True) if key not in predicted]
    if missing:
        raise DatasetError(
            f"{prediction_json} has no prediction for {len(missing)} of {len(truth['annotations'])} images: "
            f"{', '.join(map(str, missing[:10]))}{' …' if len(missing) > 10 else ''}"
        )

    def count(annotation: dict[str, Any], key: int | str) -> PQStat:
        prediction = predicted[key]
        _require_equal_size(truth_folder / annotation["file_name"], prediction_folder / prediction["file_name"])
        try:
            return _count(0, [(annotation, prediction)], str(truth_folder), str(prediction_folder), class_by_id)
        except (KeyError, OSError) as error:  # the script checks JSON against PNG with KeyErrors
            raise DatasetError(f"{prediction_folder / prediction['file_name']}: {error.args[0]}") from error
        except (TypeError, ValueError, ArithmeticError) as error:
            raise DatasetError(
                f"{prediction_folder / prediction['file_name']}: its entry, or that of {truth_json}, is damaged: "
                f"{plain(str(error), 100)}"
            ) from error

    stat = PQStat()
    with ThreadPoolExecutor() as executor:
        for image_stat in executor.map(count, truth["annotations"], keys):
            stat += image_stat
    return _average(stat, class_by_id)


def _read_annotations(path: Path) -> dict[Any, dict[str, Any]]:
    """Return the entry of each image, by image id, of a JSON file or of all JSON files of a folder."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise DatasetError(f"{path} is neither a JSON file of predictions nor a folder of such files.")
    return {entry["image_id"]: entry for file in files for entry in _read_entries(file)}


def _read_entries(file: Path) -> list[dict[str, Any]]:
    try:
        content = read_json(file)
        entries = content.get("annotations", [content])
        for entry in entries:
            _check_entry(entry)
        return [{key: entry[key] for key in ("image_id", "file_name", "segments_info")} for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{file} is not in COCO's panoptic result format (image_id, file_name, segments_info): "
            f"{plain(repr(error), 100)}"
        ) from error


def _check_entry(entry: dict[str, Any]) -> None:
    """Check an entry of a panoptic JSON; ValueError, KeyError or TypeError when it is malformed."""
    if not isinstance(entry["file_name"], str) or not stays_inside(entry["file_name"]):
        raise ValueError(f"file_name {quoted(entry['file_name'])} is no path inside the folder")
    if not isinstance(entry["image_id"], str | int):
        raise TypeError(f"image_id is {quoted(entry['image_id'])}; expected a number or a name")
    for segment in entry["segments_info"]:
        numbers = segment["id"], segment["category_id"]
        if not all(isinstance(number, int) and 0 <= number < _MAX_SEGMENT_ID for number in numbers):
            raise ValueError(f"a segment has id and category_id {quoted(numbers)}; expected integers below 2^24")


def _require_equal_size(truth: Path, prediction: Path) -> None:
    sizes = []
    for path in (truth, prediction):
        try:
            data = read_image_file(path)
            if problem := refusal(data, formats=("PNG", "JPEG")):
                raise DatasetError(f"{path}: cannot be read: {problem}")
            with PilImage.open(BytesIO(data.tobytes())) as image:
                sizes.append(image.size)
                is_rgb = image.mode == "RGB"
        except DatasetError:
            raise
        except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
            raise DatasetError(f"{path}: cannot be read: {error}") from error
        if not is_rgb:
            raise DatasetError(f"{path}: is not an RGB image; expected ids encoded as R + 256 · G + 65536 · B")
    if sizes[0] != sizes[1]:
        raise DatasetError(
            f"{prediction}: is {sizes[1][0]}x{sizes[1][1]} pixels, the truth {sizes[0][0]}x{sizes[0][1]}; "
            "write predictions at the size of the dataset's images"
        )


def _average(stat: PQStat, class_by_id: dict[int, dict[str, Any]]) -> PanopticQuality:
    things = {label: category for label, category in class_by_id.items() if category["isthing"]}
    stuff = {label: category for label, category in class_by_id.items() if not category["isthing"]}
    mean, per_class = _pq_average(stat, class_by_id)
    return PanopticQuality(
        all=mean,
        things=_pq_average(stat, things)[0],
        stuff=_pq_average(stat, stuff)[0],
        per_class={
            class_by_id[label]["name"]: ClassQuality(**quality, tp=stat[label].tp, fp=stat[label].fp, fn=stat[label].fn)
            for label, quality in per_class.items()
        },
    )


def _pq_average(stat: PQStat, class_by_id: dict[int, Any]) -> tuple[MeanQuality, dict[int, dict[str, float]]]:
    """Return the script's means over these classes and its figures for each; zeros where it would divide by zero."""
    zeros = {"pq": 0.0, "sq": 0.0, "rq": 0.0}
    if not any(stat[label].tp + stat[label].fp + stat[label].fn for label in class_by_id):
        return MeanQuality(**zeros, n=0), dict.fromkeys(class_by_id, zeros)
    mean, per_class = stat.pq_average(class_by_id, isthing=None)
    per_class = {label: {key: float(v) for key, v in quality.items()} for label, quality in per_class.items()}
    return MeanQuality(float(mean["pq"]), float(mean["sq"]), float(mean["rq"]), mean["n"]), per_class
