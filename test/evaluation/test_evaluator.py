# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from opendr_panoptic_ros.datasets import PanopticAnnotation
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation import Evaluator, print_result
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable


@pytest.fixture
def result(paper_case):
    evaluator = Evaluator(CITYSCAPES)
    evaluator.add(paper_case.truth, paper_case.prediction)
    return evaluator.result()


def test_mean_iou_of_the_paper_case(result):
    """Void does not count. Car, crowd included: 12 true pixels, 10 of them hit. Road: 10 true, 12 predicted."""
    assert result.iou["car"] == pytest.approx(10 / 12)
    assert result.iou["road"] == pytest.approx(10 / 12)
    assert math.isnan(result.iou["sky"])
    assert result.mean_iou == pytest.approx(10 / 12)


def test_average_precision_of_the_paper_case(result):
    """Car 1 overlaps A by 4/6 (COCO does not excuse void), car 2 overlaps B by 2/4, car 3 lies on the crowd: ignored.

    At 0.5 both are found: AP 1. At 0.55, 0.6 and 0.65 only A, first in order of score: precision 1 up to recall 0.5,
    that is at 51 of COCO's 101 recalls. From 0.7 on nothing is found.
    """
    assert result.ap50["car"] == pytest.approx(1.0)
    assert result.ap["car"] == pytest.approx((1 + 3 * 51 / 101) / 10)
    assert math.isnan(result.ap["bus"])
    assert result.mean_ap == pytest.approx(result.ap["car"])
    assert set(result.ap) == set(CITYSCAPES.names[11:])


def test_dictionary_fits_json(result):
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["All"]["n"] == 2
    assert values["num_images"] == 1
    assert values["per_class_iou"]["sky"] is None
    assert values["miou"] == pytest.approx(10 / 12)


def test_table(result, capsys):
    print_result(result)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["car", "50.0", "100.0", "50.0", "83.3", "25.1", "100.0"] in lines
    assert ["sky", "–", "–", "–", "–", "–", "–"] in lines
    assert ["all (2)", "66.7", "91.7", "75.0", "83.3", "–", "–"] in lines


def test_the_other_metrics_print_nothing(paper_case, capfd):
    evaluator = Evaluator(CITYSCAPES)
    evaluator.add(paper_case.truth, paper_case.prediction)
    evaluator.result()
    assert capfd.readouterr().out == ""


def test_nothing_predicted(paper_case):
    evaluator = Evaluator(CITYSCAPES)
    evaluator.add(paper_case.truth, PanopticAnnotation.from_map(np.zeros((4, 6), np.int32), {}, CITYSCAPES))
    result = evaluator.result()
    assert result.panoptic.all.pq == result.mean_iou == result.mean_ap == 0
    assert result.panoptic.per_class["car"].fn == 2  # A and B, not the crowd


def test_no_images():
    result = Evaluator(CITYSCAPES).result()
    assert result.panoptic.all.n == result.num_images == 0
    assert math.isnan(result.mean_iou)
    assert math.isnan(result.mean_ap)


def test_classes_without_things():
    classes = ClassTable.from_dict({"names": ["grass", "sky"], "num_stuff": 2})
    truth = PanopticAnnotation.from_map(np.array([[1, 1, 2]], np.int32), {1: 0, 2: 1}, classes)
    evaluator = Evaluator(classes)
    evaluator.add(truth, truth)
    assert evaluator.result().panoptic.all.pq == 1
    assert evaluator.result().ap == {}


def test_dataset_ids_of_the_prediction_do_not_matter(paper_case):
    """A network configured by names alone numbers its classes 1, 2, …; the truth's numbers count."""
    renumbered = dataclasses.replace(CITYSCAPES, dataset_ids=tuple(range(1, 20)))
    evaluator = Evaluator(CITYSCAPES)
    evaluator.add(paper_case.truth, dataclasses.replace(paper_case.prediction, classes=renumbered))
    assert evaluator.result().panoptic.all.pq == pytest.approx(2 / 3)


def test_other_classes_and_sizes_are_refused(paper_case):
    evaluator = Evaluator(CITYSCAPES)
    classes = ClassTable.from_dict({"names": ["grass"], "num_stuff": 1})
    with pytest.raises(DatasetError, match="classes are grass"):
        evaluator.add(paper_case.truth, PanopticAnnotation.from_map(np.ones((4, 6), np.int32), {1: 0}, classes))
    with pytest.raises(DatasetError, match=r"\(2, 2\)"):
        evaluator.add(paper_case.truth, PanopticAnnotation.from_map(np.ones((2, 2), np.int32), {1: 0}, CITYSCAPES))
