# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""All figures about predictions on images with ground truth: PQ, mean IoU and AP."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.instances import InstanceCollector
from opendr_panoptic_ros.evaluation.semantic import ConfusionCounter
from opendr_panoptic_ros.formats.panoptic_quality import MeanQuality, PanopticQuality, PanopticQualityCounter
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction


@dataclass(frozen=True)
class ImageFigures:
    """The figures of one image. All values are 0-1; NaN where a figure does not exist.

    Attributes:
        pq: Panoptic quality, the mean over the classes that occur in the image.
        sq: Segmentation quality, as `pq`.
        rq: Recognition quality, as `pq`.
        pq_things: Panoptic quality of the things.
        pq_stuff: Panoptic quality of the stuff.
        mean_iou: Mean over the classes that occur in the image.
        tp: Matched segments.
        fp: Predicted segments without a match.
        fn: True segments without a match.
        void_share: Share of the pixels that the prediction leaves without a class.
    """

    pq: float
    sq: float
    rq: float
    pq_things: float
    pq_stuff: float
    mean_iou: float
    tp: int
    fp: int
    fn: int
    void_share: float


@dataclass(frozen=True)
class EvaluationResult:
    """The figures of an evaluation. All values are 0-1.

    Attributes:
        num_images: Number of images.
        panoptic: Panoptic quality.
        iou: Intersection over union by class name; NaN for a class in neither the truth nor the predictions.
        ap: Average precision by name of thing, the mean over the IoU thresholds 0.5 to 0.95; NaN for a class that is
            not in the truth.
        ap50: Average precision at the IoU threshold 0.5, as `ap`.
        confusion: `(classes, classes + 1)` int64, pixels by true and predicted class; the last column counts pixels
            without a prediction.
    """

    num_images: int
    panoptic: PanopticQuality
    iou: dict[str, float]
    ap: dict[str, float]
    ap50: dict[str, float]
    confusion: NDArray[np.int64]

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that occur; NaN when none does."""
        return _mean(self.iou)

    @property
    def mean_ap(self) -> float:
        """Mean over the things that are in the truth; NaN when there are none."""
        return _mean(self.ap)

    @property
    def mean_ap50(self) -> float:
        """Mean at IoU 0.5 over the things that are in the truth; NaN when there are none."""
        return _mean(self.ap50)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON can hold them, with None for NaN.

        Returns:
            `PanopticQuality.to_dict`, and `num_images`, `miou`, `ap`, `ap50`, `per_class_iou`, `per_class_ap`.
        """
        return {
            **self.panoptic.to_dict(),
            "num_images": self.num_images,
            "miou": _none_for_nan(self.mean_iou),
            "ap": _none_for_nan(self.mean_ap),
            "ap50": _none_for_nan(self.mean_ap50),
            "per_class_iou": {name: _none_for_nan(value) for name, value in self.iou.items()},
            "per_class_ap": {name: _none_for_nan(value) for name, value in self.ap.items()},
        }


class Evaluator:
    """Collects ground truth and prediction image by image; `result` computes the figures.

    Args:
        classes: The classes of the ground truth.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._classes = classes
        self._num_images = 0
        self._quality = PanopticQualityCounter(classes)
        self._confusion = ConfusionCounter(len(classes))
        self._instances = InstanceCollector(classes)

    def add(self, truth: PanopticPrediction, prediction: PanopticPrediction) -> ImageFigures:
        """Count one image.

        Args:
            truth: A dataset's annotation, or any prediction used as ground truth.
            prediction: The prediction for the same image, of the same size.

        Returns:
            The figures of this image alone.

        Raises:
            DatasetError: The shapes or the classes differ. Classes are compared by name and order; the dataset ids
                are those of the truth.
        """
        if truth.shape != prediction.shape:
            raise DatasetError(f"The prediction is {prediction.shape} pixels (H, W), the truth {truth.shape}.")
        for panoptic, whose in ((truth, "truth"), (prediction, "prediction")):
            if (panoptic.classes.names, panoptic.classes.num_stuff) != (self._classes.names, self._classes.num_stuff):
                raise DatasetError(
                    f"The {whose}'s classes are {', '.join(panoptic.classes.names)}; expected those of the evaluation: "
                    f"{', '.join(self._classes.names)}."
                )
        if prediction.classes != self._classes:  # other dataset ids or colours
            prediction = dataclasses.replace(prediction, classes=self._classes)
        self._num_images += 1
        quality = self._quality.add(truth, prediction)
        confusion = ConfusionCounter(len(self._classes))
        for counter in (self._confusion, confusion):
            counter.add(truth.semantic_map, prediction.semantic_map)
        self._instances.add(truth, prediction)
        counts = {name: sum(getattr(c, name) for c in quality.per_class.values()) for name in ("tp", "fp", "fn")}
        return ImageFigures(
            pq=_known(quality.all, "pq"),
            sq=_known(quality.all, "sq"),
            rq=_known(quality.all, "rq"),
            pq_things=_known(quality.things, "pq"),
            pq_stuff=_known(quality.stuff, "pq"),
            mean_iou=_mean(_by_name(self._classes.names, confusion.intersection_over_union())),
            **counts,
            void_share=float((prediction.segment_map == 0).mean()),
        )

    def merge(self, other: Evaluator) -> None:
        """Append the images that another evaluator has counted: the result is as if they had been added here.

        Args:
            other: An evaluator with the same classes.
        """
        self._num_images += other._num_images
        self._quality.merge(other._quality)
        self._confusion.merge(other._confusion)
        self._instances.merge(other._instances)

    def result(self) -> EvaluationResult:
        """Return the figures of the images added so far."""
        things = self._classes.names[self._classes.num_stuff :]
        precision = self._instances.average_precision()
        return EvaluationResult(
            num_images=self._num_images,
            panoptic=self._quality.result(),
            iou=_by_name(self._classes.names, self._confusion.intersection_over_union()),
            ap=_by_name(things, precision.mean(axis=1)),
            ap50=_by_name(things, precision[:, 0]),
            confusion=self._confusion.pixels,
        )


def _by_name(names: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))


def _known(mean: MeanQuality, figure: str) -> float:
    return float(getattr(mean, figure)) if mean.n else math.nan


def _mean(values: dict[str, float]) -> float:
    known = [value for value in values.values() if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
