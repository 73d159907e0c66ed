# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Segmenting the images of MCAP files in pipelines of Ray Data."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import cv2
from numpy.typing import NDArray

from opendr_panoptic_ros.bags.options import NetworkOptions
from opendr_panoptic_ros.bags.reader import Message
from opendr_panoptic_ros.bags.results import BagFrame, read_frame, stamp_ns
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE
from opendr_panoptic_ros.errors import ConfigError, ImageEncodingError, reason
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.prediction import PanopticPrediction

INPUT_COLUMNS = ("data", "topic", "log_time", "schema_name")
"""Columns of `ray.data.read_mcap` that `LabelFrames` reads; others are dropped."""
OUTPUT_COLUMNS = (
    "topic",
    "log_time",
    "stamp_ns",
    "height",
    "width",
    "semantic_png",
    "instance_png",
    "segments_json",
    "error",
)
"""Columns of the result of `LabelFrames`."""


class LabelFrames:
    """A callable for `map_batches` of Ray Data, on rows of `ray.data.read_mcap`.

    Each row with an image gives a row with its labels; rows with other messages give none.

    Args:
        network: The network; None for the default one. Each worker loads it once.
        label_map: A YAML file or the name of a label map; None for the classes of the network.
        classes: Names of the classes to keep; all when empty.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        ConfigError: Another option is not legal.
    """

    def __init__(
        self, network: NetworkOptions | None = None, *, label_map: str | None = None, classes: Collection[str] = ()
    ) -> None:
        segmenter = (network or NetworkOptions()).segmenter()
        labels = LabelMap.load(label_map, segmenter.config.classes) if label_map else None
        self._pipeline = FramePipeline(segmenter, label_map=labels)
        unknown = [name for name in classes if name not in self._pipeline.classes.names]
        if unknown:
            known = ", ".join(self._pipeline.classes.names)
            raise ConfigError(f"classes has {', '.join(unknown)}; expected some of {known}.")
        self._classes = tuple(classes)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Segment the images of a batch.

        Args:
            batch: The columns `INPUT_COLUMNS` as sequences of equal length: the bytes of the message, its topic, its
                record time in ns, and its type, such as `sensor_msgs/msg/Image`. The rows of a batch are segmented
                together.

        Returns:
            The columns `OUTPUT_COLUMNS`: topic and record time as given; `stamp_ns`, the stamp of the image; `height`
            and `width` in px; `semantic_png`, class ids as PNG of 8 bits, 255 void; `instance_png`, ids of the things
            as PNG of 16 bits, 0 none; `segments_json`, a list of the segments with id, class_id, label, is_thing,
            score (null for stuff), area_px and box_xyxy_px; `error`, empty, or the reason why the image has no labels:
            then the PNGs and the list are empty.

        Raises:
            ConfigError: The batch lacks a column.
        """
        missing = [name for name in INPUT_COLUMNS if name not in batch]
        if missing:
            raise ConfigError(
                f"The batch has the columns {', '.join(batch)}; expected {', '.join(INPUT_COLUMNS)}, which "
                "ray.data.read_mcap gives with include_metadata=True."
            )
        messages = [
            Message(str(topic), str(type_name), int(time_ns), bytes(data))
            for data, topic, time_ns, type_name in zip(*(batch[name] for name in INPUT_COLUMNS), strict=True)
            if str(type_name) in {IMAGE, COMPRESSED_IMAGE}
        ]
        frames: dict[int, BagFrame] = {}
        errors: dict[int, str] = {}
        for place, message in enumerate(messages):
            read = _read(message)
            if isinstance(read, BagFrame):
                frames[place] = read
            else:
                errors[place] = read
        results = self._pipeline.process(
            [Frame(frame.image_rgb, camera=frame.message.topic, time_s=frame.time_s) for frame in frames.values()],
            keep_classes=self._classes,
        )
        predictions: dict[int, PanopticPrediction] = {}
        for place, result in zip(frames, results, strict=True):
            if result.prediction is None:
                errors[place] = reason(result.error)
            else:
                predictions[place] = result.prediction
        rows = [
            _row(message, frames.get(place), predictions.get(place), errors.get(place, ""))
            for place, message in enumerate(messages)
        ]
        return {name: [row[name] for row in rows] for name in OUTPUT_COLUMNS}


def _read(message: Message) -> BagFrame | str:
    """Return the frame, or the reason why there is none."""
    try:
        return read_frame(message)
    except ImageEncodingError as error:
        return str(error)


def _row(message: Message, frame: BagFrame | None, prediction: PanopticPrediction | None, error: str) -> dict[str, Any]:
    height, width = (0, 0) if frame is None else frame.image_rgb.shape[:2]
    return {
        "topic": message.topic,
        "log_time": message.time_ns,
        "stamp_ns": 0 if frame is None else stamp_ns(frame.header),
        "height": height,
        "width": width,
        "semantic_png": b"" if prediction is None else _png(prediction.semantic_map),
        "instance_png": b"" if prediction is None else _png(prediction.instance_map),
        "segments_json": "[]" if prediction is None else json.dumps([_segment(s) for s in prediction.segments]),
        "error": error,
    }


def _segment(segment: Any) -> dict[str, Any]:
    return {
        "id": segment.id,
        "class_id": segment.class_id,
        "label": segment.label,
        "is_thing": segment.is_thing,
        "score": round(segment.score, 6) if segment.is_thing else None,
        "area_px": segment.area_px,
        "box_xyxy_px": list(segment.box_xyxy_px),
    }


def _png(pixels: NDArray[Any]) -> bytes:
    _, data = cv2.imencode(".png", pixels)
    return bytes(data)
