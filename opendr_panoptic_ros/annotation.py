# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""PanopticAnnotation: the truth about one image, shaped like a prediction, with its crowd regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment


@dataclass(frozen=True, eq=False)
class PanopticAnnotation(PanopticPrediction):
    """What is in one image. Things have score 1.

    crowd_ids: the segments that are groups of things nobody told apart. They have a class (`semantic_map` shows it),
    but are no instances: training ignores detections there, evaluation does not count them.
    """

    crowd_ids: frozenset[int] = frozenset()

    @classmethod
    def from_prediction(cls, prediction: PanopticPrediction) -> PanopticAnnotation:
        """The prediction taken for the truth (synthetic scenes come as predictions); an annotation is itself."""
        if isinstance(prediction, cls):
            return prediction
        return cls(prediction.segment_map, prediction.segments, prediction.classes)

    @classmethod
    def from_map(
        cls,
        segment_map: NDArray[np.int32],
        class_ids: Mapping[int, int],
        classes: ClassTable,
        *,
        crowd_ids: frozenset[int] = frozenset(),
    ) -> PanopticAnnotation:
        """The annotation of a map; areas and boxes are measured, segments without a pixel left out.

        segment_map: `(H, W)` int32, 0 = void. class_ids: train id by segment id.
        """
        areas_px = np.bincount(segment_map.ravel(), minlength=max(class_ids, default=0) + 1)
        boxes = ndimage.find_objects(segment_map)
        segments = []
        for segment_id, class_id in class_ids.items():
            if areas_px[segment_id]:
                rows, columns = boxes[segment_id - 1]
                is_thing = classes.is_thing(class_id)
                segments.append(
                    Segment(
                        id=segment_id,
                        class_id=class_id,
                        label=classes.names[class_id],
                        is_thing=is_thing,
                        score=1.0 if is_thing else float("nan"),
                        area_px=int(areas_px[segment_id]),
                        box_xyxy_px=(columns.start, rows.start, columns.stop, rows.stop),
                    )
                )
        present = frozenset(s.id for s in segments)
        return cls(segment_map, tuple(segments), classes, crowd_ids & present)

    def with_map(self, segment_map: NDArray[np.int32]) -> PanopticAnnotation:
        """The annotation after a crop, flip or nearest-neighbour resize of `segment_map`, measured anew."""
        class_ids = {s.id: s.class_id for s in self.segments}
        return self.from_map(segment_map, class_ids, self.classes, crowd_ids=self.crowd_ids)

    @property
    def instances(self) -> tuple[Segment, ...]:
        """The things that are told apart: no stuff, no crowd regions."""
        return tuple(s for s in self.segments if s.is_thing and s.id not in self.crowd_ids)

    @property
    def crowds(self) -> tuple[Segment, ...]:
        """The crowd regions."""
        return tuple(s for s in self.segments if s.id in self.crowd_ids)

    def masks(self, segments: tuple[Segment, ...]) -> NDArray[np.bool_]:
        """`(N, H, W)` bool: the mask of each of `segments`."""
        ids = np.array([s.id for s in segments], np.int32)
        return self.segment_map == ids[:, None, None]

    @cached_property
    def instance_map(self) -> NDArray[np.uint16]:
        """`(H, W)` uint16: the segment id of each instance; 0 for stuff, crowd regions and void."""
        return self._by_segment({s.id: s.id for s in self.instances}, 0, np.uint16)

    @cached_property
    def panoptic_ids(self) -> NDArray[np.int32]:
        """`(H, W)` int32 in the dataset's scheme; a crowd region has its class id, as in Cityscapes' truth."""
        ids = super().panoptic_ids.copy()
        for crowd in self.crowds:
            ids[self.segment_map == crowd.id] = self.classes.dataset_ids[crowd.class_id]
        return ids
