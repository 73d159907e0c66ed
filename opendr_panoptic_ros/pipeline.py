# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""FramePipeline: from decoded frames to final predictions, for the node, bags and files alike."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros import postprocess
from opendr_panoptic_ros.config import Thresholds
from opendr_panoptic_ros.errors import ImageEncodingError
from opendr_panoptic_ros.inference import PanopticSegmenter
from opendr_panoptic_ros.label_map import LabelMap
from opendr_panoptic_ros.labels import moving_classes
from opendr_panoptic_ros.postprocess import EgoMask
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.rotation import rotated, rotated_prediction

if TYPE_CHECKING:
    from opendr_panoptic_ros.tracking import InstanceTracker

_BATCHES_BEFORE_A_LARGER_ONE = 100
_OUT_OF_MEMORY = r"out of memory|can't allocate memory|cannot allocate memory|insufficient memory|bad_alloc"


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded image of one camera.

    Attributes:
        image_rgb: `(H, W, 3)` uint8 RGB.
        camera: Name of the camera, which selects the ego mask and the tracker.
        time_s: Time of the exposure in seconds, from any origin; None if unknown. Tracking uses it to detect gaps.
    """

    image_rgb: NDArray[np.uint8]
    camera: str = ""
    time_s: float | None = None


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The outcome of one frame: either a prediction or an error.

    Attributes:
        frame: The frame that was processed.
        prediction: The final prediction at the frame's resolution, or None if the frame failed.
        error: The reason of the failure, or None.
        batch_error: The error of the batch in which the frame was tried first, if the frame was retried alone.
    """

    frame: Frame
    prediction: PanopticPrediction | None = None
    error: Exception | None = None
    batch_error: Exception | None = None


class BatchLimit:
    """Limits the number of frames in a batch to what the memory holds.

    The limit is halved when memory runs out, and doubled after 100 batches without that, because what took the memory
    may be gone.

    Args:
        largest: Largest number of frames, 1 or more; None means no limit.

    Attributes:
        largest: As given.
        out_of_memory: How often memory has run out.
    """

    def __init__(self, largest: int | None) -> None:
        self.largest = largest
        self.out_of_memory = 0
        self._reduced: int | None = None
        self._successes = 0

    @property
    def current(self) -> int | None:
        """The present limit; None means no limit."""
        return self.largest if self._reduced is None else self._reduced

    @property
    def is_reduced(self) -> bool:
        """Whether the limit is below `largest`."""
        return self._reduced is not None

    def succeeded(self) -> None:
        """Note that a batch had enough memory."""
        if self._reduced is None:
            return
        self._successes += 1
        if self._successes < _BATCHES_BEFORE_A_LARGER_ONE:
            return
        self._successes = 0
        self._reduced *= 2
        # Without a limit, batches are the frames that happen to be there: 64 cameras are the most that a node has.
        if self._reduced >= (self.largest or 64):
            self._reduced = None

    def ran_out(self, frames: int) -> None:
        """Note that memory ran out.

        Args:
            frames: Number of frames in the batch.
        """
        self.out_of_memory += 1
        self._successes = 0
        if frames > 1 or self._reduced is not None:
            self._reduced = max(1, frames // 2)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory of the computer or of a GPU is exhausted.

    Args:
        error: Any error. Runtimes report this by errors of several types, PyTorch on the CPU by a RuntimeError.
    """
    return isinstance(error, MemoryError) or re.search(_OUT_OF_MEMORY, str(error), re.IGNORECASE) is not None


class FramePipeline:
    """Predicts upright images, applies the label map, filters classes, applies the ego mask and tracks, in this order.

    A pipeline keeps one tracker for each camera and must therefore be used by one thread at a time.

    Args:
        segmenter: The network, ready for inference.
        ego_masks: Ego mask by camera name; cameras that are not listed have none.
        track_ids: Whether instances keep their ids over the consecutive frames of a camera.
        max_batch: Largest number of frames in one batch of the network, 1 or more; None means no limit.
        label_map: Label map for the classes of the segmenter; None keeps them.
        rotations: Degrees clockwise, 90, 180 or 270, that make the images of a camera upright, by camera name. The
            network gets upright images; predictions and ego masks are in the camera's own orientation.

    Attributes:
        segmenter: As given.
        batch_limit: Limits the batches; `max_batch` until memory runs out.
        classes: The classes of the results.
        moving_classes: Names of the classes of results that can move, the default of the mask.
    """

    def __init__(
        self,
        segmenter: PanopticSegmenter,
        *,
        ego_masks: Mapping[str, EgoMask] | None = None,
        track_ids: bool = False,
        max_batch: int | None = None,
        label_map: LabelMap | None = None,
        rotations: Mapping[str, int] | None = None,
    ) -> None:
        self.segmenter = segmenter
        self._label_map = label_map
        self.classes = segmenter.config.classes if label_map is None else label_map.classes
        self.moving_classes = moving_classes(self.classes) if label_map is None else label_map.moving_classes
        self._ego_masks = dict(ego_masks or {})
        self._rotations = dict(rotations or {})
        self.batch_limit = BatchLimit(max_batch)
        self._trackers: dict[str, InstanceTracker] = {}
        self._new_tracker: type[InstanceTracker] | None = None
        if track_ids:
            from opendr_panoptic_ros.tracking import InstanceTracker  # imports SciPy, a third of a second

            self._new_tracker = InstanceTracker

    def process(
        self,
        frames: Sequence[Frame],
        *,
        thresholds: Thresholds | None = None,
        keep_classes: Collection[str] = (),
        with_confidence: bool = False,
    ) -> list[FrameResult]:
        """Process frames of one or several cameras.

        Frames of equal size run through the network in batches. If a batch fails, its frames are retried one by one,
        so that a frame that fails does not affect the others. If memory runs out, the next batches are smaller.

        Args:
            frames: Frames in any order; those of one camera must be in temporal order if `track_ids` is set.
            thresholds: Thresholds that replace those of the segmenter; None keeps all of them.
            keep_classes: Names of the classes to keep; pixels of other classes become void. Empty keeps all.
            with_confidence: Whether the predictions get a `confidence_map`.

        Returns:
            One result for each frame, in the order of `frames`. Errors of frames are returned, not raised.
        """
        results: dict[int, FrameResult] = {}
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, frame in enumerate(frames):
            error = self._size_error(frame)
            if error is None:
                shape = frame.image_rgb.shape
                is_sideways = self._rotations.get(frame.camera, 0) in {90, 270}
                by_size.setdefault(shape[1::-1] + shape[2:] if is_sideways else shape, []).append(index)
            else:
                results[index] = FrameResult(frame, error=error)
        for indices in by_size.values():
            while indices:
                length = self.batch_limit.current or len(indices)
                batch, indices = indices[:length], indices[length:]
                predicted = self._predict([frames[index] for index in batch], thresholds, with_confidence)
                results.update(zip(batch, predicted, strict=True))
        return [self._postprocess(results[index], keep_classes) for index in range(len(frames))]

    def reset_tracking(self, camera: str) -> None:
        """End all tracks of a camera. Call this when its next frame does not follow the previous one.

        Args:
            camera: Name of the camera.
        """
        self._trackers.pop(camera, None)

    def _size_error(self, frame: Frame) -> ImageEncodingError | None:
        """Return the error of a frame whose size is not that of its ego mask."""
        try:
            if frame.camera in self._ego_masks:
                self._ego_masks[frame.camera].check_size(frame.image_rgb)
        except ImageEncodingError as error:
            return error
        return None

    def _predict(
        self, frames: Sequence[Frame], thresholds: Thresholds | None, with_confidence: bool
    ) -> list[FrameResult]:
        """Predict frames of which the upright images have equal sizes. If several fail, each is tried alone."""
        degrees = [self._rotations.get(frame.camera, 0) for frame in frames]
        try:
            predictions = self.segmenter(
                [rotated(frame.image_rgb, turn) for frame, turn in zip(frames, degrees, strict=True)],
                thresholds=thresholds,
                with_confidence=with_confidence,
            )
            predictions = [
                rotated_prediction(prediction, -turn % 360)
                for prediction, turn in zip(predictions, degrees, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - a frame fails alone, whatever the reason
            # After running out of memory, the local variables in the traceback would hold the memory of the batch.
            traceback.clear_frames(error.__traceback__)
            failure = error
        else:
            self.batch_limit.succeeded()
            return [FrameResult(frame, prediction) for frame, prediction in zip(frames, predictions, strict=True)]
        if is_out_of_memory(failure):
            self.batch_limit.ran_out(len(frames))
        if len(frames) == 1:
            return [FrameResult(frames[0], error=failure)]
        return [
            replace(self._predict([frame], thresholds, with_confidence)[0], batch_error=failure) for frame in frames
        ]

    def _postprocess(self, result: FrameResult, keep_classes: Collection[str]) -> FrameResult:
        frame, prediction = result.frame, result.prediction
        if prediction is None:
            return result
        try:
            if self._label_map is not None:
                prediction = self._label_map.apply(prediction)
            if keep_classes:
                prediction = postprocess.keep_classes(prediction, keep_classes)
            if frame.camera in self._ego_masks:
                prediction = postprocess.mask_out(prediction, self._ego_masks[frame.camera].is_ego)
            if self._new_tracker is not None:
                if frame.camera not in self._trackers:
                    self._trackers[frame.camera] = self._new_tracker()
                prediction = self._trackers[frame.camera].update(prediction, time_s=frame.time_s)
        except Exception as error:  # noqa: BLE001 - as above
            return replace(result, prediction=None, error=error)
        return replace(result, prediction=prediction)
