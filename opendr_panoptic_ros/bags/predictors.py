# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""From the frames of a bag to predictions: computed by the network, or read from a file of predictions and tracked."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from mcap.reader import make_reader

from opendr_panoptic_ros.bags.channels import BagChannel
from opendr_panoptic_ros.bags.results import BagFrame
from opendr_panoptic_ros.bags.writer import PieceWriter
from opendr_panoptic_ros.errors import PanopticError, reason
from opendr_panoptic_ros.labels import ClassTable
from opendr_panoptic_ros.pipeline import Frame, FramePipeline
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

if TYPE_CHECKING:
    from opendr_panoptic_ros.tracking import InstanceTracker

_PREDICTIONS = BagChannel("/predictions", "", "npz", "", b"", ())


class ClassInfo(NamedTuple):
    """The classes that the messages of results refer to.

    Attributes:
        classes: The classes of the results.
        moving_classes: Names of the classes that can move, the default of the mask.
        keep_classes: Names of the classes that are kept; empty if all are.
        score_threshold: Smallest score of a detection, 0 to 1.
    """

    classes: ClassTable
    moving_classes: tuple[str, ...]
    keep_classes: tuple[str, ...]
    score_threshold: float


class Predictor(Protocol):
    """A source of predictions.

    Attributes:
        info: The classes of the predictions.
    """

    info: ClassInfo

    def predict(self, frames: Sequence[BagFrame]) -> list[PanopticPrediction | Exception]:
        """Return the prediction of each frame, or the reason why it has none.

        Args:
            frames: The next frames of the bag, in their order.
        """


class NetworkPredictor:
    """Predictions that are computed now.

    Args:
        pipeline: Segments the frames. Each topic is a camera of its own.
        keep_classes: Names of the classes to keep; all when empty.
        with_confidence: Whether the predictions have a confidence.
    """

    def __init__(self, pipeline: FramePipeline, keep_classes: Sequence[str], *, with_confidence: bool) -> None:
        self._pipeline, self._with_confidence = pipeline, with_confidence
        threshold = pipeline.segmenter.config.test.score_threshold
        self.info = ClassInfo(pipeline.classes, tuple(pipeline.moving_classes), tuple(keep_classes), threshold)

    def predict(self, frames: Sequence[BagFrame]) -> list[PanopticPrediction | Exception]:
        """Segment frames.

        Args:
            frames: The next frames of the bag, in their order.

        Returns:
            The prediction of each frame, or the reason why it has none.
        """
        results = self._pipeline.process(
            [Frame(frame.image_rgb, camera=frame.message.topic, time_s=frame.time_s) for frame in frames],
            keep_classes=self.info.keep_classes,
            with_confidence=self._with_confidence,
        )
        return [result.prediction or result.error or PanopticError("There is no prediction.") for result in results]


class StoredPredictor:
    """Predictions of a file that `PredictionWriter` wrote, with the ids of a tracker.

    Args:
        path: The file.
        info: The classes of the predictions.
        trackers: Tracker by topic, in their state before the first frame of the file; new ones are added.
    """

    def __init__(self, path: Path, info: ClassInfo, trackers: dict[str, InstanceTracker]) -> None:
        self.info, self._trackers = info, trackers
        self._file = path.open("rb")
        self._messages = make_reader(self._file).iter_messages(log_time_order=False)

    def predict(self, frames: Sequence[BagFrame]) -> list[PanopticPrediction | Exception]:
        """Return the predictions of frames, tracked.

        Args:
            frames: The next frames of the bag, in their order.

        Returns:
            The prediction of each frame, or the reason why it has none.
        """
        return [self._tracked(frame) for frame in frames]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _tracked(self, frame: BagFrame) -> PanopticPrediction | Exception:
        from opendr_panoptic_ros.tracking import InstanceTracker

        _, _, message = next(self._messages)
        prediction = _read(message.data, self.info.classes)
        if isinstance(prediction, Exception):
            return prediction
        try:
            tracker = self._trackers.setdefault(frame.message.topic, InstanceTracker())
            return tracker.update(prediction, time_s=frame.time_s)
        except Exception as error:  # noqa: BLE001 - as in FramePipeline: a frame fails alone, whatever the reason
            return error


class PredictionWriter:
    """Writes predictions to a file, from which `StoredPredictor` reads them in the same order.

    Args:
        path: The file; one that exists is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._writer = PieceWriter(path)
        self._writer.add_channel(_PREDICTIONS)

    def write(self, time_ns: int, prediction: PanopticPrediction | Exception) -> None:
        """Append the prediction of a frame, or the reason why it has none.

        Args:
            time_ns: Record time of the frame in ns.
            prediction: The prediction or the error.

        Raises:
            PanopticError: The disk is full.
        """
        arrays: dict[str, Any] = {}
        if isinstance(prediction, Exception):
            content: object = {"error": reason(prediction)}
        else:
            content = [dataclasses.asdict(segment) for segment in prediction.segments]
            arrays["segment_map"] = prediction.segment_map
            if prediction.stuff_probability is not None:
                arrays["stuff_probability"] = prediction.stuff_probability
        data = io.BytesIO()
        np.savez(data, content=np.frombuffer(json.dumps(content).encode(), np.uint8), **arrays)
        self._writer.write(time_ns, {_PREDICTIONS.topic: data.getvalue()})

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()


def _read(data: bytes, classes: ClassTable) -> PanopticPrediction | Exception:
    arrays: Mapping[str, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    content = json.loads(arrays["content"].tobytes())
    if isinstance(content, dict):
        return PanopticError(content["error"])
    segments = tuple(Segment(**{**row, "box_xyxy_px": tuple(row["box_xyxy_px"])}) for row in content)
    probability = arrays.get("stuff_probability")
    return PanopticPrediction(arrays["segment_map"], segments, classes, stuff_probability=probability)
