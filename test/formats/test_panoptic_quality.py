# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.toy_datasets import write_tiny_cityscapes, write_tiny_coco

from opendr_panoptic_ros.datasets import CityscapesDataset, CocoPanopticDataset, PanopticAnnotation
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import Evaluator, write_submission
from opendr_panoptic_ros.formats.panoptic_quality import ClassQuality, MeanQuality, PanopticQualityCounter
from opendr_panoptic_ros.labels import CITYSCAPES


def test_paper_case(paper_case):
    """Road: 12 pixels predicted, 10 true, all 10 hit: IoU = 10 / 12, a match.

    Car 1: 6 pixels, 4 on A, 2 on void. Void is taken off the union: 6 + 4 - 4 - 2 = 4, so IoU = 4 / 4, a match.
    Car 2: 2 of B's 4 pixels: IoU = 1 / 2, which is not above 0.5: one surplus segment (2), one missed segment (B).
    Car 3: all of it on the crowd region: neither matched nor surplus. The crowd region itself is never missed.

    Road: PQ = 5/6, SQ = 5/6, RQ = 1. Car: SQ = 1, RQ = 1 / (1 + 1/2 + 1/2) = 1/2, PQ = 1/2.
    """
    counter = PanopticQualityCounter(CITYSCAPES)
    counter.add(paper_case.truth, paper_case.prediction)
    result = counter.result()
    assert result.per_class["road"] == ClassQuality(pq=10 / 12, sq=10 / 12, rq=1.0, tp=1, fp=0, fn=0)
    assert result.per_class["car"] == ClassQuality(pq=0.5, sq=1.0, rq=0.5, tp=1, fp=1, fn=1)
    assert result.stuff == MeanQuality(10 / 12, 10 / 12, 1.0, 1)
    assert result.things == MeanQuality(0.5, 1.0, 0.5, 1)
    assert (result.all.pq, result.all.sq, result.all.rq) == pytest.approx((2 / 3, 11 / 12, 3 / 4))
    assert result.all.n == 2
    assert not result.per_class["sky"].occurs


def test_dictionary_is_the_one_of_opendr(paper_case):
    counter = PanopticQualityCounter(CITYSCAPES)
    counter.add(paper_case.truth, paper_case.prediction)
    values = counter.result().to_dict()
    assert list(values) == ["All", "Things", "Stuff", "per_class"]
    assert values["Things"] == {"pq": 0.5, "sq": 1.0, "rq": 0.5, "n": 1}
    assert list(values["per_class"]) == list(CITYSCAPES.names)
    assert values["per_class"]["car"] == {"pq": 0.5, "sq": 1.0, "rq": 0.5}
    assert values["per_class"]["sky"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0}


def test_no_things_at_all_is_no_division_by_zero():
    road = PanopticAnnotation.from_map(np.ones((2, 2), np.int32), {1: 0}, CITYSCAPES)
    counter = PanopticQualityCounter(CITYSCAPES)
    assert counter.result().all == MeanQuality(0.0, 0.0, 0.0, 0)
    counter.add(road, road)
    assert counter.result().things == MeanQuality(0.0, 0.0, 0.0, 0)
    assert counter.result().stuff == MeanQuality(1.0, 1.0, 1.0, 1)


@pytest.fixture(scope="module", params=["cityscapes", "coco"])
def dataset(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "cityscapes":
        write_tiny_cityscapes(root / "raw", num_train=1, num_val=5)
        CityscapesDataset.prepare_data(root / "raw", root / "out", num_workers=1)
        return CityscapesDataset(root / "out" / "val")
    write_tiny_coco(root / "raw", num_train=1, num_val=5)
    CocoPanopticDataset.prepare_data(root / "raw", root / "out", num_workers=1)
    return CocoPanopticDataset(root / "out" / "val")


def _perturbed(truth: PanopticAnnotation, rng: np.random.Generator) -> PanopticAnnotation:
    """The truth moved by some pixels, with eaten borders, one instance missing and one of another class."""
    segment_map = np.roll(truth.segment_map, rng.integers(-3, 4, 2), (0, 1))
    segment_map[rng.random(segment_map.shape) < 0.1] = 0
    class_ids = {s.id: s.class_id for s in truth.segments}
    missing, other = rng.choice([s.id for s in truth.instances], 2, replace=False)
    segment_map[segment_map == missing] = 0
    class_ids[other] = int(rng.integers(truth.classes.num_stuff, len(truth.classes)))
    return PanopticAnnotation.from_map(segment_map, class_ids, truth.classes)


def _random(truth: PanopticAnnotation, rng: np.random.Generator) -> PanopticAnnotation:
    """Rectangles of random classes, stuff classes once each, as a network gives them."""
    segment_map = np.zeros(truth.shape, np.int32)
    stuff = rng.choice(truth.classes.num_stuff, 4, replace=False)
    things = rng.integers(truth.classes.num_stuff, len(truth.classes), 8)
    class_ids = {i: int(class_id) for i, class_id in enumerate([*stuff, *things], start=1)}
    for segment_id in class_ids:
        x, y = rng.integers(0, truth.shape[1] - 8), rng.integers(0, truth.shape[0] - 8)
        size = truth.shape[0] // 2 if segment_id <= 4 else truth.shape[0] // 4
        segment_map[y : y + size, x : x + 2 * size] = segment_id
    return PanopticAnnotation.from_map(segment_map, class_ids, truth.classes)


@pytest.mark.parametrize("predict", [_perturbed, _random])
def test_equal_to_the_command_of_cityscapesscripts(dataset, predict, tmp_path):
    rng = np.random.default_rng(3)
    truths = [dataset.annotation(i) for i in range(len(dataset))]
    predictions = [predict(truth, rng) for truth in truths]
    predicted_json = write_submission(tmp_path, zip(dataset.truth_ids, predictions, strict=True), name="results")
    command = [sys.executable, "-m", "cityscapesscripts.evaluation.evalPanopticSemanticLabeling"]
    command += ["--gt-json-file", str(dataset.path / "panoptic_gt.json"), "--prediction-json-file", str(predicted_json)]
    command += ["--results_file", str(tmp_path / "theirs.txt")]
    subprocess.run(command, check=True, capture_output=True)
    theirs = json.loads((tmp_path / "theirs.txt").read_text())
    names = dict(zip(map(str, dataset.classes.dataset_ids), dataset.classes.names, strict=True))

    evaluator = Evaluator(dataset.classes)
    for truth, prediction in zip(truths, predictions, strict=True):
        evaluator.add(truth, prediction)
    in_memory = evaluator.result().panoptic.to_dict()
    from_files = dataset.evaluate(tmp_path / "results", tmp_path)
    if predict is _perturbed:
        assert 0.1 < theirs["All"]["pq"] < 0.9  # neither trivial nor perfect
    for ours in (in_memory, from_files):
        for group in ("All", "Things", "Stuff"):
            assert ours[group] == pytest.approx(theirs[group], abs=1e-9)
        assert ours["per_class"].keys() == set(names.values())
        for label, name in names.items():
            assert ours["per_class"][name] == pytest.approx(theirs["per_class"][label], abs=1e-9)


def test_one_json_file_for_each_image(dataset, tmp_path):
    pairs = [(image_id, dataset.annotation(i)) for i, image_id in enumerate(dataset.image_ids)]
    content = json.loads(write_submission(tmp_path, pairs, name="results").read_text())
    for entry in content["annotations"]:
        (tmp_path / "json").mkdir(exist_ok=True)
        (tmp_path / "json" / f"{entry['image_id']}.json").write_text(json.dumps(entry))
    assert dataset.evaluate(tmp_path / "results", tmp_path / "json")["All"]["pq"] == 1


class TestWrongPredictions:
    @pytest.fixture
    def predictions(self, dataset, tmp_path) -> Path:
        pairs = [(image_id, dataset.annotation(i)) for i, image_id in enumerate(dataset.image_ids)]
        write_submission(tmp_path, pairs, name="results")
        return tmp_path

    def test_missing_image(self, dataset, predictions):
        content = json.loads((predictions / "results.json").read_text())
        del content["annotations"][2]
        (predictions / "results.json").write_text(json.dumps(content))
        with pytest.raises(DatasetError, match=f"no prediction for 1 of 5 images: {dataset.truth_ids[2]}"):
            dataset.evaluate(predictions / "results", predictions)

    def test_other_size(self, dataset, predictions):
        path = predictions / "results" / f"{dataset.image_ids[1]}.png"
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(DatasetError, match=r"is 8x8 pixels, the truth"):
            dataset.evaluate(predictions / "results", predictions)

    def test_png_that_the_json_does_not_describe(self, dataset, predictions, capsys):
        path = predictions / "results" / f"{dataset.image_ids[1]}.png"
        cv2.imwrite(str(path), np.full((*dataset.annotation(1).shape, 3), 9, np.uint8))
        with pytest.raises(DatasetError, match=r"presented in PNG and not presented in JSON"):
            dataset.evaluate(predictions / "results", predictions)
        assert capsys.readouterr().out == ""

    def test_truncated_png(self, dataset, predictions):
        path = predictions / "results" / f"{dataset.image_ids[1]}.png"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(DatasetError, match=path.name):
            dataset.evaluate(predictions / "results", predictions)

    def test_json_of_something_else(self, dataset, predictions):
        (predictions / "other.json").write_text('{"loss": 3}')
        with pytest.raises(DatasetError, match=r"other.json is not in COCO's panoptic result format"):
            dataset.evaluate(predictions / "results", predictions)

    def test_no_json(self, dataset, tmp_path):
        with pytest.raises(DatasetError, match="neither a JSON file"):
            dataset.evaluate(tmp_path, tmp_path / "nothing")
