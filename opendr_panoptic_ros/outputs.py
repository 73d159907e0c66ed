# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of outputs: which images are made of a result, and how.

The node, the bag labeller and the demo's recorder read this table. A new image output is one row of `OUTPUTS` and a
row in the tables of topics in docs/topics.md and docs/bags.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros import visualize
from opendr_panoptic_ros.codec import image
from opendr_panoptic_ros.labels import moving_classes
from opendr_panoptic_ros.lists import TypeOf, detection_array, image_annotations
from opendr_panoptic_ros.prediction import PanopticPrediction


@dataclass(frozen=True)
class RenderContext:
    """A frame, its result, and the settings of the images made of them.

    Attributes:
        image_rgb: The frame, `(H, W, 3)` uint8 RGB.
        prediction: Its result, `H` × `W`.
        visualization: "overlay" (class colours over the image) or "detailed" (input and results in a 2×2 view).
        opacity: Opacity of the class colours in the overlay, 0 to 1.
        mask_classes: Names of the classes in the mask; None stands for `labels.moving_classes`.
    """

    image_rgb: NDArray[np.uint8]
    prediction: PanopticPrediction
    visualization: str = "overlay"
    opacity: float = visualize.OPACITY
    mask_classes: Collection[str] | None = None

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Return the mask of `mask_classes`, `(H, W)` uint8: 255 inside, else 0."""
        names = moving_classes(self.prediction.classes) if self.mask_classes is None else self.mask_classes
        return self.prediction.class_mask(names)

    @cached_property
    def rgb_visualization(self) -> NDArray[np.uint8]:
        """Return the visualization, `(H, W, 3)` uint8 RGB. Cached, because the compressed output uses it as well."""
        if self.visualization == "detailed":
            return visualize.detailed(self.image_rgb, self.prediction)
        return visualize.overlay(self.image_rgb, self.prediction, opacity=self.opacity)


@dataclass(frozen=True)
class ImageOutput:
    """One image output.

    Attributes:
        encoding: Encoding of its `sensor_msgs/Image`, one that `codec.image.encode` writes.
        pixels: Makes its pixels of a frame and its result; shape and dtype are those of the encoding.
        audience: "machine" for maps of labels and ids, "people" for colour images.
        compressed: Whether the node also publishes it as JPEG, on `<topic>/compressed`; rgb8 only.
        with_confidence: Whether it needs predictions with a `confidence_map`.
        in_bags: Whether `opendr-panoptic bag` writes it unless other outputs are chosen.
    """

    encoding: str
    pixels: Callable[[RenderContext], NDArray[Any]]
    audience: Literal["machine", "people"]
    compressed: bool = False
    with_confidence: bool = False
    in_bags: bool = True


VISUALIZATION = "rgb_visualization"

OUTPUTS: dict[str, ImageOutput] = {
    "semantic": ImageOutput("mono8", lambda context: context.prediction.semantic_map, "machine"),
    "instance": ImageOutput("mono16", lambda context: context.prediction.instance_map, "machine"),
    "panoptic": ImageOutput("32SC1", lambda context: context.prediction.panoptic_ids, "machine"),
    "packed": ImageOutput("32SC1", lambda context: context.prediction.packed_map, "machine", in_bags=False),
    "mask": ImageOutput("mono8", lambda context: context.mask, "machine", in_bags=False),
    "confidence": ImageOutput(
        "mono8", lambda context: context.prediction.confidence_map, "machine", with_confidence=True, in_bags=False
    ),
    "semantic_color": ImageOutput("rgb8", lambda context: visualize.semantic_color(context.prediction), "people"),
    "instance_color": ImageOutput("rgb8", lambda context: visualize.instance_color(context.prediction), "people"),
    VISUALIZATION: ImageOutput("rgb8", lambda context: context.rgb_visualization, "people", compressed=True),
}
"""Image outputs by their topic below `panoptic/`."""


@dataclass(frozen=True)
class ListOutput:
    """One output that lists the instances of a frame in a message of another package.

    Attributes:
        type_name: Name of its message type.
        make: Makes the message of a prediction and of the image's header with the given message classes.
    """

    type_name: str
    make: Callable[[PanopticPrediction, Any, TypeOf], Any]


LISTS: dict[str, ListOutput] = {
    "detections": ListOutput("vision_msgs/msg/Detection2DArray", detection_array),
    "annotations": ListOutput("foxglove_msgs/msg/ImageAnnotations", image_annotations),
}
"""Lists of instances by their topic below `panoptic/`."""

SEGMENTATION = "segmentation"
"""Topic below `panoptic/` of the segment map with its list of segments, a PanopticSegmentation message."""

CAMERA_INFO = "camera_info"
"""Topic below `panoptic/` on which the node republishes the camera's CameraInfo with each result."""

CAMERA_INFOS = (CAMERA_INFO, "mask/camera_info")
"""Topics below `panoptic/` of that message; nvblox expects it beside the mask."""

LABEL_INFO = "label_info"
"""Topic below `panoptic/` of the class names, a latched `vision_msgs/LabelInfo`."""

LABEL_INFO_TYPE = "vision_msgs/msg/LabelInfo"

COMPRESSED: dict[str, str] = {f"{topic}/compressed": topic for topic, output in OUTPUTS.items() if output.compressed}
"""Topics below `panoptic/` of the JPEG outputs, each with the topic of the image output that it holds."""


def bytes_per_px() -> int:
    """Return the size of all image outputs and of the segment map together, in bytes per pixel of the frame."""
    return sum(
        image.bytes_per_px(encoding) for encoding in ("32SC1", *(output.encoding for output in OUTPUTS.values()))
    )


def need_confidence(topics: Collection[str]) -> bool:
    """Return whether one of some outputs needs predictions with a `confidence_map`.

    Args:
        topics: Topics below `panoptic/`; those that are not image outputs do not need it.
    """
    return any(OUTPUTS[topic].with_confidence for topic in topics if topic in OUTPUTS)
