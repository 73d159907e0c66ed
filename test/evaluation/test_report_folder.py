# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The files of an evaluation, and evaluation of predictions in files."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.report_folder import ReportFolder, confusion_picture
from opendr_panoptic_ros.evaluation.run import evaluate_stored
from opendr_panoptic_ros.files import write_json
from opendr_panoptic_ros.formats.result_format import ResultFormat
from opendr_panoptic_ros.formats.results import NamedImage, ResultFolder
from opendr_panoptic_ros.formats.stored_predictions import StoredPredictions
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction

ROAD, SKY, CAR = 0, 10, 13


class Scenes:
    """Three images of 8 × 16 pixels: road below sky, and a car on the road in the first two."""

    classes = CITYSCAPES
    image_ids = ("one", "two", "three")

    def __len__(self) -> int:
        return 3

    def truth(self, index: int) -> PanopticAnnotation:
        ids = np.full((8, 16), 1, np.int32)
        ids[:4] = 2
        if index < 2:
            ids[4:6, 2:8] = 3
        return PanopticAnnotation.from_map(ids, {1: ROAD, 2: SKY, 3: CAR}, CITYSCAPES)

    def __getitem__(self, index: int) -> tuple[Image, PanopticAnnotation]:
        return Image(np.full((3, 8, 16), 90, np.uint8)), self.truth(index)


def predictions() -> list[PanopticPrediction]:
    """All right; without the car of the second image; the sky of the third image is road."""
    scenes = Scenes()
    first = PanopticPrediction(scenes.truth(0).segment_map, scenes.truth(0).segments)
    scored = dataclasses.replace(
        first, segments=tuple(dataclasses.replace(s, score=0.75 if s.is_thing else math.nan) for s in first.segments)
    )
    second, third = scenes.truth(2), scenes.truth(2).with_map(np.ones((8, 16), np.int32))
    return [
        scored,
        PanopticPrediction(second.segment_map, second.segments),
        PanopticPrediction(third.segment_map, third.segments),
    ]


def write(folder, formats) -> None:
    with ResultFolder(folder, formats) as results:
        for name, prediction in zip(Scenes.image_ids, predictions(), strict=True):
            results.write(NamedImage(name, np.zeros((8, 16, 3), np.uint8)), prediction)


@pytest.mark.parametrize(
    ("formats", "has_scores"),
    [
        ([ResultFormat.LABELS], False),
        ([ResultFormat.LABELS, ResultFormat.JSON], True),
        ([ResultFormat.CITYSCAPES], False),
    ],
)
def test_stored_predictions_give_the_figures_of_the_predictions(tmp_path, formats, has_scores):
    write(tmp_path, formats)
    result = evaluate_stored(StoredPredictions(tmp_path), Scenes())
    # IoU of the road by image: 1; 52/64, where the car is missed; 64/128 in the third one, which is not above 0.5.
    assert result.panoptic.per_class["car"].tp == 1
    assert result.panoptic.per_class["car"].fn == 1
    assert (result.panoptic.per_class["sky"].tp, result.panoptic.per_class["sky"].fn) == (2, 1)
    assert (result.panoptic.per_class["road"].tp, result.panoptic.per_class["road"].fp) == (2, 1)
    assert result.confusion[CAR, CAR] == 12
    assert result.confusion[CAR, ROAD] == 12
    assert result.confusion[SKY, ROAD] == 64
    assert math.isnan(result.mean_ap) != has_scores


def test_the_files_of_a_report(tmp_path):
    write(tmp_path / "stored", [ResultFormat.LABELS])
    report = ReportFolder(tmp_path / "report", worst=2)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "worst_07_old.jpg").write_bytes(b"")
    result = evaluate_stored(StoredPredictions(tmp_path / "stored"), Scenes(), on_image=report.add)
    report.write(result)
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {
        "figures.json",
        "images.csv",
        "confusion.csv",
        "confusion.png",
        "worst_01_three.jpg",
        "worst_02_two.jpg",
    }
    rows = list(csv.DictReader((tmp_path / "report" / "images.csv").open()))
    assert [row["name"] for row in rows] == ["three", "two", "one"]
    # The third image: road matched by nothing, sky missed. The first: everything matched.
    assert [float(row["pq"]) for row in rows] == [0.0, pytest.approx((1 + 52 / 64 + 0) / 3, abs=1e-6), 1.0]
    assert [(row["tp"], row["fp"], row["fn"]) for row in rows] == [("0", "1", "2"), ("2", "0", "1"), ("3", "0", "0")]
    confusion = {row["truth"]: row for row in csv.DictReader((tmp_path / "report" / "confusion.csv").open())}
    assert (confusion["car"]["car"], confusion["car"]["road"], confusion["car"]["void"]) == ("12", "12", "0")
    assert json.loads((tmp_path / "report" / "figures.json").read_text())["num_images"] == 3
    assert cv2.imread(str(tmp_path / "report" / "worst_01_three.jpg")) is not None


def test_the_picture_of_a_confusion_matrix_is_blue_on_the_diagonal_and_red_beside_it():
    picture = confusion_picture(np.array([[6, 4, 0], [0, 10, 0]]), ["road", "sky"]).astype(int)
    blue = (picture[..., 2] > picture[..., 0] + 40).sum()
    red = (picture[..., 0] > picture[..., 2] + 40).sum()
    assert blue > red > 300


def spoil(folder, name, value) -> None:
    image = np.full((8, 16), value, np.uint8)
    cv2.imwrite(str(folder / name), image)


def test_stored_predictions_that_cannot_be_used(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        StoredPredictions(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"expected NAME_semantic\.png"):
        StoredPredictions(tmp_path)
    write(tmp_path, [ResultFormat.LABELS])
    stored = StoredPredictions(tmp_path)
    with pytest.raises(DatasetError, match=r"four_semantic\.png: cannot be read"):
        stored.read("four", (8, 16), CITYSCAPES)
    with pytest.raises(DatasetError, match=r"\(8, 16\) pixels \(H, W\), the image \(9, 16\)"):
        stored.read("one", (9, 16), CITYSCAPES)
    spoil(tmp_path, "one_semantic.png", 77)
    with pytest.raises(DatasetError, match="has the value 77; expected train ids 0 to 18 and 255"):
        stored.read("one", (8, 16), CITYSCAPES)
    spoil(tmp_path, "one_semantic.png", ROAD)
    with pytest.raises(DatasetError, match="an instance has the train id 0; expected that of a thing"):
        stored.read("one", (8, 16), CITYSCAPES)
    spoil(tmp_path, "three_semantic.png", CAR)
    with pytest.raises(DatasetError, match="a region without instance has the train id 13"):
        stored.read("three", (8, 16), CITYSCAPES)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"annotations": [{"image_id": "one"}]},
        {"annotations": [{"image_id": "one", "file_name": "../one.png", "segments_info": []}]},
    ],
)
def test_a_damaged_list_of_results(tmp_path, content):
    (tmp_path / "results").mkdir()
    write_json(tmp_path / "results.json", content)
    with pytest.raises(DatasetError, match="is not in COCO's panoptic result format"):
        StoredPredictions(tmp_path)


def test_entries_that_do_not_fit_their_images(tmp_path):
    write(tmp_path, [ResultFormat.CITYSCAPES])
    path = tmp_path / "cityscapes_panoptic.json"
    content = json.loads(path.read_text())
    with pytest.raises(DatasetError, match="has no prediction for four"):
        StoredPredictions(tmp_path).read("four", (8, 16), CITYSCAPES)
    content["annotations"][0]["segments_info"].pop()
    write_json(path, content)
    with pytest.raises(DatasetError, match="which is not in its segments_info"):
        StoredPredictions(path).read("one", (8, 16), CITYSCAPES)
    content["annotations"][1]["segments_info"][0]["category_id"] = 999
    write_json(path, content)
    with pytest.raises(DatasetError, match="unknown categories"):
        StoredPredictions(path).read("two", (8, 16), CITYSCAPES)
