# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Evaluation on a dataset, image by image: of a network, or of predictions in files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import (
    LabelledImages,
    PanopticAnnotation,
    image_names,
    labelled_image,
    require_dataset,
)
from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, Evaluator, ImageFigures
from opendr_panoptic_ros.labels import CITYSCAPES, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

if TYPE_CHECKING:
    from opendr_panoptic_ros.formats.stored_predictions import StoredPredictions
    from opendr_panoptic_ros.inference import PanopticSegmenter


@dataclass(frozen=True, eq=False)
class EvaluatedImage:
    """One image of an evaluation.

    Attributes:
        index: Its place in the dataset.
        name: Its name in the dataset, or its index as text in a dataset without names.
        pixels: `(H, W, 3)` uint8 RGB.
        truth: The ground truth.
        prediction: The prediction.
        figures: The figures of this image alone.
    """

    index: int
    name: str
    pixels: NDArray[np.uint8]
    truth: PanopticAnnotation
    prediction: PanopticPrediction
    figures: ImageFigures


def evaluate(
    segmenter: PanopticSegmenter,
    dataset: LabelledImages,
    *,
    on_image: Callable[[EvaluatedImage], None] | None = None,
) -> EvaluationResult:
    """Evaluate the segmenter's predictions on a dataset.

    Args:
        segmenter: Predicts each image at its own resolution.
        dataset: Images with their ground truth.
        on_image: Called after each image.

    Returns:
        The figures over all images.

    Raises:
        DatasetError: The dataset is empty, an image has no ground truth, or the classes are not the segmenter's.
    """
    classes = segmenter.config.classes
    return _evaluate(lambda _name, pixels: segmenter(pixels), dataset, classes, on_image)


def evaluate_stored(
    predictions: StoredPredictions,
    dataset: LabelledImages,
    *,
    on_image: Callable[[EvaluatedImage], None] | None = None,
) -> EvaluationResult:
    """Evaluate predictions in files on a dataset.

    Args:
        predictions: A prediction for each image, by the image's name.
        dataset: Images with their ground truth.
        on_image: Called after each image.

    Returns:
        The figures over all images.

    Raises:
        DatasetError: The dataset is empty, an image has no ground truth or no prediction, or a prediction is damaged or
            of another size.
    """
    classes = getattr(dataset, "classes", CITYSCAPES)
    return _evaluate(lambda name, pixels: predictions.read(name, pixels.shape[:2], classes), dataset, classes, on_image)


def _evaluate(
    predict: Callable[[str, NDArray[np.uint8]], PanopticPrediction],
    dataset: LabelledImages,
    classes: ClassTable,
    on_image: Callable[[EvaluatedImage], None] | None,
) -> EvaluationResult:
    require_dataset(dataset, "evaluation")
    names = image_names(dataset)
    evaluator = Evaluator(getattr(dataset, "classes", classes))
    for index in range(len(dataset)):
        pixels, truth = labelled_image(dataset, index, classes)
        prediction = predict(names[index], pixels)
        figures = evaluator.add(truth, prediction)
        if on_image is not None:
            on_image(EvaluatedImage(index, names[index], pixels, truth, prediction, figures))
    return evaluator.result()
