# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Average precision of instance masks, by pycocotools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from opendr_panoptic_ros.formats.panoptic import encode_mask, instance_annotations
from opendr_panoptic_ros.formats.silence import without_prints
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

_create_index = without_prints(COCO.createIndex)
_evaluate = without_prints(COCOeval.evaluate)
_accumulate = without_prints(COCOeval.accumulate)


class InstanceCollector:
    """Collects the instances of ground truth and predictions. Crowd regions of the truth are ignored.

    Args:
        classes: The classes of both.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._classes = classes
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._predicted: list[dict[str, Any]] = []
        self._has_scores = True

    def add(self, truth: PanopticPrediction, prediction: PanopticPrediction) -> None:
        """Add one image. Each predicted thing is a detection with its score and its mask after the fusion.

        Args:
            truth: The ground truth.
            prediction: The prediction, of the same size.
        """
        image_id = len(self._images) + 1
        height, width = truth.shape
        self._images.append({"id": image_id, "height": height, "width": width})
        for annotation in instance_annotations(truth.panoptic_ids, self._classes):
            self._truth.append({**annotation, "id": len(self._truth) + 1, "image_id": image_id})
        columns_first = np.asfortranarray(prediction.segment_map)  # see instance_annotations
        for segment in prediction.segments:
            if segment.is_thing:
                self._has_scores &= not math.isnan(segment.score)
                self._predicted.append(
                    {
                        "id": len(self._predicted) + 1,
                        "image_id": image_id,
                        "category_id": segment.class_id,
                        "score": segment.score,
                        "area": segment.area_px,
                        "segmentation": encode_mask(columns_first == segment.id),
                    }
                )

    def merge(self, other: InstanceCollector) -> None:
        """Append the images that another collector has collected.

        Args:
            other: A collector with the same classes.
        """
        first = len(self._images)
        self._has_scores &= other._has_scores
        self._images += [{**image, "id": first + image["id"]} for image in other._images]
        for mine, theirs in ((self._truth, other._truth), (self._predicted, other._predicted)):
            for annotation in theirs:
                mine.append({**annotation, "id": len(mine) + 1, "image_id": first + annotation["image_id"]})

    def average_precision(self) -> NDArray[np.float64]:
        """Compute the average precision of each class at each IoU threshold.

        Returns:
            `(things, 10)` float64, 0-1: by class and IoU threshold (0.5, 0.55, … 0.95); NaN for a class that is not
            in the truth, and for all classes if a predicted thing has no score.
        """
        if not self._has_scores:
            return np.full((len(self._classes) - self._classes.num_stuff, 10), np.nan)
        thing_ids = list(range(self._classes.num_stuff, len(self._classes)))
        evaluator = COCOeval(self._coco(self._truth, thing_ids), self._coco(self._predicted, thing_ids), "segm")
        evaluator.params.catIds = thing_ids
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluator.params.maxDets = [100]
        _evaluate(evaluator)
        _accumulate(evaluator)
        precision = evaluator.eval["precision"][:, :, :, 0, 0]  # threshold, recall, class; -1 where there is no truth
        return np.where(precision < 0, np.nan, precision).mean(axis=1).T

    def _coco(self, annotations: list[dict[str, Any]], thing_ids: list[int]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self._images,
            "categories": [{"id": i, "name": self._classes.names[i]} for i in thing_ids],
            "annotations": annotations,
        }
        _create_index(coco)
        return coco
