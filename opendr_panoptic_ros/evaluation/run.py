# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`evaluate`: a network on a dataset, every image through the PanopticSegmenter that would run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, Evaluator
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction

if TYPE_CHECKING:
    from opendr_panoptic_ros.inference import PanopticSegmenter


class LabelledImages(Protocol):
    """What can be learnt from and evaluated on: the package's datasets, SyntheticScenes, a list of such pairs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Image, PanopticPrediction | None]: ...


def evaluate(
    segmenter: PanopticSegmenter,
    dataset: LabelledImages,
    *,
    on_image: Callable[[int, NDArray[np.uint8], PanopticPrediction], None] | None = None,
) -> EvaluationResult:
    """How good the segmenter's predictions on the dataset are.

    on_image: called after each image with its index, its pixels `(H, W, 3)` uint8 RGB and the prediction.
    Raises DatasetError when the dataset is empty, an image has no truth, or other classes than the segmenter's.
    """
    if len(dataset) == 0:
        raise DatasetError("The dataset to evaluate on is empty.")
    evaluator = Evaluator(getattr(dataset, "classes", segmenter.config.classes))
    for index in range(len(dataset)):
        image, truth = labelled_image(dataset, index, segmenter.config.classes)
        pixels = image.convert("channels_last")
        prediction = segmenter(pixels)
        evaluator.add(truth, prediction)
        if on_image is not None:
            on_image(index, pixels, prediction)
    return evaluator.result()


def labelled_image(dataset: LabelledImages, index: int, classes: ClassTable) -> tuple[Image, PanopticAnnotation]:
    """An image of a dataset and its truth.

    Raises DatasetError when the truth is missing, or its classes are not `classes`.
    """
    image, annotation = dataset[index]
    if annotation is None:
        raise DatasetError(f"Image {index} of the dataset has no annotation; use a split that has annotations.json.")
    found = annotation.classes
    if (found.names, found.num_stuff) != (classes.names, classes.num_stuff):
        raise DatasetError(
            f"The dataset's classes are {', '.join(found.names)}; the network's are {', '.join(classes.names)}. "
            "Give the configuration the dataset's classes."
        )
    return image, PanopticAnnotation.from_prediction(annotation)
