# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Evaluation of a network on a dataset, image by image, through the PanopticSegmenter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import LabelledImages, labelled_image, require_dataset
from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, Evaluator
from opendr_panoptic_ros.prediction import PanopticPrediction

if TYPE_CHECKING:
    from opendr_panoptic_ros.inference import PanopticSegmenter


def evaluate(
    segmenter: PanopticSegmenter,
    dataset: LabelledImages,
    *,
    on_image: Callable[[int, NDArray[np.uint8], PanopticPrediction], None] | None = None,
) -> EvaluationResult:
    """Evaluate the segmenter's predictions on a dataset.

    Args:
        segmenter: Predicts each image at its own resolution.
        dataset: Images with their ground truth.
        on_image: Called after each image with its index, its pixels `(H, W, 3)` uint8 RGB and the prediction.

    Returns:
        The figures over all images.

    Raises:
        DatasetError: The dataset is empty, an image has no ground truth, or the classes are not the segmenter's.
    """
    require_dataset(dataset, "evaluation")
    evaluator = Evaluator(getattr(dataset, "classes", segmenter.config.classes))
    for index in range(len(dataset)):
        pixels, truth = labelled_image(dataset, index, segmenter.config.classes)
        prediction = segmenter(pixels)
        evaluator.add(truth, prediction)
        if on_image is not None:
            on_image(index, pixels, prediction)
    return evaluator.result()
