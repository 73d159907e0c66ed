# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Evaluation of a network on several workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from opendr_panoptic_ros.annotation import LabelledImages, labelled_image, require_dataset
from opendr_panoptic_ros.bags.options import NetworkOptions
from opendr_panoptic_ros.evaluation.evaluator import EvaluationResult, Evaluator
from opendr_panoptic_ros.fleet.ray_workers import RayWorkers, Shared

_IMAGES_OF_A_TASK = 8


def evaluate_on(
    workers: RayWorkers, network: NetworkOptions, dataset: LabelledImages, *, on_images: Callable[[int], None]
) -> EvaluationResult:
    """Evaluate a network on workers. The result is that of `evaluation.run.evaluate`.

    Args:
        workers: The workers, which reach the checkpoint and the files of the dataset by the same paths.
        network: The network.
        dataset: Images with their ground truth; it is sent to the workers once.
        on_images: Called after each task with its number of images.

    Returns:
        The figures over all images.

    Raises:
        DatasetError: The dataset is empty, an image has no ground truth, or the classes are not those of the network.
        PanopticError: The network cannot be used, or a task was lost with its worker too often.
    """
    require_dataset(dataset, "evaluation")
    every = range(len(dataset))
    parts = [every[start : start + _IMAGES_OF_A_TASK] for start in range(0, len(dataset), _IMAGES_OF_A_TASK)]
    shared = workers.share(dataset)
    total: Evaluator | None = None
    for part, evaluators in zip(
        parts, workers.map_in_order(functools.partial(_evaluate_part, network, shared), parts), strict=True
    ):
        for evaluator in evaluators:  # image by image: sums of floats depend on their order
            if total is None:
                total = evaluator
            else:
                total.merge(evaluator)
        on_images(len(part))
    assert total is not None  # noqa: S101 - the dataset is not empty
    return total.result()


def _evaluate_part(network: NetworkOptions, shared: Shared[LabelledImages], indices: Sequence[int]) -> list[Evaluator]:
    segmenter, dataset = network.segmenter(), shared.get()
    evaluators = []
    for index in indices:
        pixels, truth = labelled_image(dataset, index, segmenter.config.classes)
        evaluator = Evaluator(getattr(dataset, "classes", segmenter.config.classes))
        evaluator.add(truth, segmenter(pixels))
        evaluators.append(evaluator)
    return evaluators
