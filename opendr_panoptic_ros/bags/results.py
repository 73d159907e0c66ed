# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading the frames of a bag, and serializing results as the messages that the node publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE, typestore
from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.codec.image import decode, encode
from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError, quoted
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.lists import label_info
from opendr_panoptic_ros.outputs import (
    LABEL_INFO,
    LABEL_INFO_TYPE,
    LISTS,
    OUTPUTS,
    SEGMENTATION,
    VISUALIZATION,
    RenderContext,
)
from opendr_panoptic_ros.prediction import PanopticPrediction

SEGMENTATION_TYPE = "opendr_panoptic_ros/msg/PanopticSegmentation"
LABELS = (
    *(topic for topic, output in OUTPUTS.items() if output.audience == "machine" and output.in_bags),
    SEGMENTATION,
    *LISTS,
    LABEL_INFO,
)
"""Topics below `panoptic/` of labels, ids and lists that a labelled bag has unless other outputs are chosen."""
COLORS = tuple(topic for topic, output in OUTPUTS.items() if output.audience == "people" and topic != VISUALIZATION)
"""Topics below `panoptic/` of colour maps."""
TYPE_NAMES = (
    dict.fromkeys(OUTPUTS, IMAGE)
    | {SEGMENTATION: SEGMENTATION_TYPE}
    | {topic: output.type_name for topic, output in LISTS.items()}
    | {LABEL_INFO: LABEL_INFO_TYPE}
)
"""Message types of the outputs that a bag can hold, by topic below `panoptic/`."""


def output_names(values: Sequence[str]) -> list[str]:
    """Return the names of outputs given with `--outputs`.

    Args:
        values: The option's values, each one name or several separated by commas.

    Returns:
        The names, each once.

    Raises:
        PanopticError: There is no output of that name.
    """
    names = dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip())
    unknown = [quoted(name) for name in names if name not in TYPE_NAMES]
    if unknown:
        raise PanopticError(f"--outputs has {', '.join(unknown[:5])}; expected some of {', '.join(TYPE_NAMES)}.")
    return list(names)


class BagFrame(NamedTuple):
    """A camera's message and its image.

    Attributes:
        message: The message.
        header: Its header, an object of the rosbags library.
        image_rgb: Its image, `(H, W, 3)` uint8 RGB.
    """

    message: Message
    header: Any
    image_rgb: NDArray[np.uint8]

    @property
    def time_s(self) -> float:
        """Return the header's stamp in seconds."""
        stamp = self.header.stamp
        return float(stamp.sec + stamp.nanosec / 1e9)


def stamp_ns(header: Any) -> int:
    """Return the stamp of a header.

    Args:
        header: A `std_msgs/Header` of the rosbags library or of ROS.

    Returns:
        Nanoseconds since the epoch.
    """
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def read_frame(message: Message) -> BagFrame:
    """Decode an image message of a bag.

    Args:
        message: A message of type Image or CompressedImage.

    Returns:
        The frame.

    Raises:
        ImageEncodingError: If it cannot be decoded.
    """
    content: Any
    try:
        content = typestore().deserialize_cdr(message.data, message.type_name)
    except Exception as error:  # rosbags raises errors of any kind for bytes that are not such a message
        size = len(message.data)
        raise ImageEncodingError(f"{size} bytes are not a valid {message.type_name}, or are truncated.") from error
    read = decode_compressed if message.type_name == COMPRESSED_IMAGE else decode
    return BagFrame(message, content.header, read(content))


def serialized(
    output: str, frame: BagFrame, prediction: PanopticPrediction, *, mask_classes: Collection[str] | None = None
) -> memoryview:
    """Serialize an output of a frame as the message that the node publishes.

    Args:
        output: Topic below `panoptic/`, a key of `TYPE_NAMES`.
        frame: The frame; the message gets its header.
        prediction: The result of the frame.
        mask_classes: Names of the classes in the mask; None stands for `labels.moving_classes`.

    Returns:
        The message in CDR.

    Raises:
        PanopticError: If there is no such output.
    """
    if output not in TYPE_NAMES or output == LABEL_INFO:
        raise PanopticError(f"A frame has no output panoptic/{output}; expected one of {', '.join(TYPE_NAMES)}.")
    if output in LISTS:
        message = LISTS[output].make(prediction, frame.header, _type_of)
    elif output == SEGMENTATION:
        message = _segmentation(frame, prediction)
    else:
        row = OUTPUTS[output]
        message = _image(
            frame, row.encoding, row.pixels(RenderContext(frame.image_rgb, prediction, mask_classes=mask_classes))
        )
    return typestore().serialize_cdr(message, TYPE_NAMES[output])


def serialized_label_info(
    header: Any, classes: ClassTable, *, score_threshold: float, keep_classes: Collection[str] = ()
) -> memoryview:
    """Serialize the names of the classes, which a bag holds once for each topic.

    Args:
        header: Header of the first frame.
        classes: The classes of the results.
        score_threshold: Minimum detection score, 0 to 1.
        keep_classes: Names of the classes that are not filtered out; empty if all are kept.

    Returns:
        The message in CDR.
    """
    message = label_info(classes, header, _type_of, score_threshold=score_threshold, keep_classes=keep_classes)
    return typestore().serialize_cdr(message, LABEL_INFO_TYPE)


def _type_of(type_name: str) -> Any:
    return typestore().types[type_name]


def _image(frame: BagFrame, encoding: str, pixels: NDArray[Any]) -> Any:
    fields = encode(pixels, encoding)
    return typestore().types[IMAGE](
        header=frame.header,
        height=fields.height,
        width=fields.width,
        encoding=fields.encoding,
        is_bigendian=fields.is_bigendian,
        step=fields.step,
        data=fields.data,
    )


def _segmentation(frame: BagFrame, prediction: PanopticPrediction) -> Any:
    types = typestore().types
    segments = [
        types["opendr_panoptic_ros/msg/SegmentInfo"](
            id=s.id,
            class_id=s.class_id,
            label=s.label,
            is_thing=s.is_thing,
            score=s.score,
            area_px=s.area_px,
            box_xyxy_px=np.array(s.box_xyxy_px, np.int32),
        )
        for s in prediction.segments
    ]
    return types[SEGMENTATION_TYPE](frame.header, _image(frame, "32SC1", prediction.segment_map), segments)


def result_prefixes(topics: Sequence[str]) -> dict[str, str]:
    """Return for each image topic what the names of its result topics begin with, as the node names them.

    `/front/image_raw` has its results below `/front/panoptic`. Where two topics would share a prefix, or an input topic
    lies below it, the whole name is kept: `/front/left/panoptic`, `/front/right/panoptic`.

    Args:
        topics: Names of the image topics.

    Returns:
        Prefix by topic, without a slash at the end.
    """
    parents = {topic: topic.removesuffix("/compressed").rpartition("/")[0] for topic in topics}
    shared = Counter(parents.values())

    def is_taken(parent: str) -> bool:
        return shared[parent] > 1 or parent in parents or any(t.startswith(f"{parent}/panoptic/") for t in topics)

    return {topic: f"{topic if is_taken(parent) else parent}/panoptic" for topic, parent in parents.items()}
