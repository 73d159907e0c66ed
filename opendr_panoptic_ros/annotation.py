# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Ground truth: the panoptic annotation of one image, and datasets of images with annotations."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

CROWD_ID_STEP = 1_000_000
"""Distance between the ids of crowd regions of one class; instances have smaller ids."""
_MAX_CROWDS = 16  # ids of 24 bits have no room for more


def crowd_id(dataset_id: int, number: int) -> int:
    """Return the id of a crowd region in the dataset's scheme.

    Args:
        dataset_id: The class's dataset id.
        number: Number of the crowd region among those of its class in the image, from 0. The 16th and all further
            ones share an id.

    Returns:
        The id; of the first crowd region the dataset id itself, as in Cityscapes.
    """
    return dataset_id + min(number, _MAX_CROWDS - 1) * CROWD_ID_STEP


@dataclass(frozen=True, eq=False)
class PanopticAnnotation(PanopticPrediction):
    """The ground truth of one image: a PanopticPrediction with crowd regions, in which things have score 1.

    Attributes:
        crowd_ids: Ids of the segments that are groups of things without an outline for each. They have a class, which
            `semantic_map` shows, but are not instances: training ignores detections there, and evaluation does not
            count them.
    """

    crowd_ids: frozenset[int] = frozenset()

    @classmethod
    def from_prediction(cls, prediction: PanopticPrediction) -> PanopticAnnotation:
        """Use a prediction as ground truth (the synthetic scenes return their truth as predictions).

        Args:
            prediction: Any prediction; an annotation is returned as it is.

        Returns:
            The annotation, without crowd regions unless `prediction` already was an annotation.
        """
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
        """Build an annotation from a segment map; areas and boxes are measured.

        Args:
            segment_map: `(H, W)` int32 segment ids, 0 = void.
            class_ids: Train id of each segment id. Segments without a pixel are left out.
            classes: What the train ids mean.
            crowd_ids: Ids of the segments that are crowd regions.

        Returns:
            The annotation.
        """
        from scipy import ndimage  # takes a fifth of a second, which the node need not wait for

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
        """Return the annotation after a crop, flip or nearest-neighbour resize of its `segment_map`.

        Args:
            segment_map: `(H, W)` int32, the transformed map; it may have another size.

        Returns:
            The annotation of the new map. Areas and boxes are measured again, segments that left it are left out.
        """
        class_ids = {s.id: s.class_id for s in self.segments}
        return self.from_map(segment_map, class_ids, self.classes, crowd_ids=self.crowd_ids)

    @property
    def instances(self) -> tuple[Segment, ...]:
        """The things that have an outline of their own: no stuff, no crowd regions."""
        return tuple(s for s in self.segments if s.is_thing and s.id not in self.crowd_ids)

    @property
    def crowds(self) -> tuple[Segment, ...]:
        """The crowd regions."""
        return tuple(s for s in self.segments if s.id in self.crowd_ids)

    def masks(self, segments: tuple[Segment, ...]) -> NDArray[np.bool_]:
        """Return the masks of segments.

        Args:
            segments: N of this annotation's segments.

        Returns:
            `(N, H, W)` bool.
        """
        ids = np.array([s.id for s in segments], np.int32)
        return self.segment_map == ids[:, None, None]

    @cached_property
    @override
    def instance_map(self) -> NDArray[np.uint16]:
        """`(H, W)` uint16: the segment id of each instance; 0 for stuff, crowd regions and void."""
        return self._by_segment({s.id: s.id for s in self.instances}, 0, np.uint16)

    @cached_property
    @override
    def panoptic_ids(self) -> NDArray[np.int32]:
        """`(H, W)` int32 in the dataset's scheme; a crowd region has its class id, as in Cityscapes' ground truth.

        Further crowd regions of the same class have class id + j · 1,000,000, j from 1 to 15.
        """
        ids = super().panoptic_ids.copy()
        count: dict[int, int] = {}
        for crowd in self.crowds:
            number = count.get(crowd.class_id, 0)
            count[crowd.class_id] = number + 1
            ids[self.segment_map == crowd.id] = crowd_id(self.classes.dataset_ids[crowd.class_id], number)
        return ids


Sample: TypeAlias = "tuple[NDArray[np.uint8], PanopticPrediction | None]"
"""An image, `(H, W, 3)` uint8 RGB, and its ground truth; None in a dataset without annotations."""


@runtime_checkable
class LabelledArrays(Protocol):
    """A dataset of arrays: the package's datasets and the synthetic scenes.

    Training and evaluation read it in preference to `[i]`, because it needs no copy into OpenDR's `Image`.
    """

    def __len__(self) -> int: ...

    def sample(self, index: int, /) -> Sample:
        """Return one image as an array, and its ground truth.

        Args:
            index: From 0 to `len(self) - 1`.

        Returns:
            The image, `(H, W, 3)` uint8 RGB, and its ground truth, or None where there is none.
        """
        ...


class LabelledPairs(Protocol):
    """A dataset of OpenDR's images, such as a list of `(Image, PanopticAnnotation)` pairs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Image, PanopticPrediction | None]: ...


LabelledImages: TypeAlias = LabelledArrays | LabelledPairs
"""What networks are trained and evaluated on."""


def require_dataset(dataset: object, role: str) -> None:
    """Check that an argument is a dataset with at least one image.

    Args:
        dataset: The argument.
        role: What the dataset is for, such as "training".

    Raises:
        DatasetError: It is something else, such as the path of a dataset, or is empty.
    """
    is_sequence = hasattr(dataset, "__len__") and (hasattr(dataset, "sample") or hasattr(dataset, "__getitem__"))
    if not is_sequence or isinstance(dataset, (str, bytes, Mapping, np.ndarray)):
        raise DatasetError(
            f"The {role} dataset is {reprlib.repr(dataset)}; expected a dataset such as CityscapesDataset(path), or a "
            "list of pairs (Image, PanopticAnnotation)."
        )
    if len(dataset) == 0:  # type: ignore[arg-type]
        raise DatasetError(f"The {role} dataset is empty.")


def image_names(dataset: LabelledImages) -> Sequence[str]:
    """Return the names of the images of a dataset.

    Args:
        dataset: The dataset.

    Returns:
        `image_ids` where the dataset has them, otherwise the indices as text.
    """
    names: Sequence[str] | None = getattr(dataset, "image_ids", None)
    return names or [str(index) for index in range(len(dataset))]


def labelled_image(
    dataset: LabelledImages, index: int, classes: ClassTable
) -> tuple[NDArray[np.uint8], PanopticAnnotation]:
    """Read one image of a dataset with its ground truth.

    Args:
        dataset: Where to read from.
        index: From 0 to `len(dataset) - 1`.
        classes: The classes that the ground truth must have.

    Returns:
        The image, `(H, W, 3)` uint8 RGB, and its ground truth.

    Raises:
        DatasetError: The item is not an image with its ground truth, or its classes are not `classes`.
    """
    pixels, annotation = _sample(dataset, index)
    if annotation is None:
        raise DatasetError(f"Image {index} of the dataset has no annotation; use a split that has annotations.json.")
    found = annotation.classes
    if (found.names, found.num_stuff) != (classes.names, classes.num_stuff):
        raise DatasetError(
            f"The dataset's classes are {', '.join(found.names)}; the network's are {', '.join(classes.names)}. "
            "Both must be the same: give another dataset, or a network that has the dataset's classes."
        )
    if annotation.shape != pixels.shape[:2]:
        raise DatasetError(
            f"Image {index} of the dataset is {pixels.shape[:2]} pixels (H, W), its ground truth {annotation.shape}."
        )
    return pixels, PanopticAnnotation.from_prediction(annotation)


def _sample(dataset: LabelledImages, index: int) -> Sample:
    if isinstance(dataset, LabelledArrays):
        return dataset.sample(index)
    item: Any = dataset[index]
    try:
        image, annotation = item
        pixels = image.convert("channels_last")
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(
            f"Item {index} of the dataset is {type(item).__name__}; expected a pair (Image, PanopticAnnotation)."
        ) from error
    if annotation is not None and not isinstance(annotation, PanopticPrediction):
        raise DatasetError(
            f"The ground truth of image {index} is {type(annotation).__name__}; expected a PanopticAnnotation."
        )
    return pixels, annotation
