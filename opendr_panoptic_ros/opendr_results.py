# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The results of the learner in OpenDR's types."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Heatmap
from opendr_panoptic_ros.labels import CITYSCAPES, VOID, ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction


class RawOutput(NamedTuple):
    """The outputs of the network's heads before the fusion, at the size at which the network sees the image.

    Attributes:
        semantic_logits: `(classes, h, w)` float32.
        boxes: `(N, 4)` float32, x1, y1, x2, y2 in px.
        scores: `(N,)` float32, 0-1.
        labels: `(N,)` int64, thing classes from 0.
        mask_logits: `(N, 28, 28)` float32, in the channel of each detection's class.
    """

    semantic_logits: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    mask_logits: NDArray[np.float32]


class SemanticHeatmap(Heatmap):
    """The Heatmap of train ids that `infer` returns; its attribute `classes` has their names and colours.

    Args:
        prediction: The prediction to show.
    """

    def __init__(self, prediction: PanopticPrediction) -> None:
        super().__init__(prediction.semantic_map, dict(enumerate(prediction.classes.names)))
        self.classes = prediction.classes


def heatmaps_of(prediction: PanopticPrediction) -> tuple[Heatmap, SemanticHeatmap]:
    """Convert a prediction to OpenDR's pair of maps.

    Args:
        prediction: The prediction.

    Returns:
        The instance Heatmap with the label of each segment id, and the semantic Heatmap.
    """
    things = {s.id: s.label for s in prediction.segments if s.is_thing}
    return Heatmap(prediction.instance_map, things), SemanticHeatmap(prediction)


def prediction_of(instances: Heatmap, semantic: Heatmap) -> PanopticPrediction:
    """Rebuild the prediction that two Heatmaps show.

    Args:
        instances: Segment id of each thing, else 0.
        semantic: Train ids; those of Cityscapes if it is not a SemanticHeatmap.

    Returns:
        The prediction, in which things have score 1.
    """
    classes: ClassTable = getattr(semantic, "classes", CITYSCAPES)
    instance_map, semantic_map = instances.numpy().astype(np.int32), semantic.numpy()
    stuff = int(instance_map.max(initial=0)) + 1
    stuff_map = np.where(semantic_map == VOID, 0, stuff + semantic_map.astype(np.int32))
    segment_map = np.where(instance_map > 0, instance_map, stuff_map)
    ids, first = np.unique(segment_map, return_index=True)
    class_ids = {int(i): int(semantic_map.flat[place]) for i, place in zip(ids, first, strict=True) if i > 0}
    return PanopticAnnotation.from_map(segment_map, class_ids, classes)
