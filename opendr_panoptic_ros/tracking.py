# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""InstanceTracker: assigns ids to instances that persist over the frames of a video."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

_LAST_ID = 2**16 - 1  # PanopticPrediction.instance_map is uint16
_LAST_NUMBER = 999  # PanopticPrediction.panoptic_ids is class id · 1000 + number
_SAMPLES = 4096  # pixels of an instance that are compared; at most four times as many
_MAX_GAP_S = 5.0
_MAX_BACK_S = 0.1
_NEWEST_WEIGHT = 0.5  # of the newest step in a track's velocity; smooths the jitter of a mask's centre


class InstanceTracker:
    """Assigns persistent ids to the instances in the frames of one camera.

    Instances are matched to tracks of the same class by mask IoU after motion prediction, falling back to the distance
    of the boxes for fast objects. The matching is globally optimal (Hungarian algorithm). Every instance without a
    match begins a track. A track ends after more than `memory_frames` frames without a match; an object that reappears
    later, or whose class changes, begins a new track.

    Frames are consecutive if they are at most 5 s apart and at most 0.1 s out of order. Otherwise, as when a recording
    is played in a loop, all tracks end.

    Args:
        memory_frames: Number of frames for which a track without a match is kept, 0 or more.
        min_overlap: IoU from which on a match by overlap is preferred to any match by distance, above 0 to 1.

    Raises:
        ValueError: A value is outside its range.
    """

    def __init__(self, *, memory_frames: int = 5, min_overlap: float = 0.1) -> None:
        if memory_frames < 0:
            raise ValueError(f"memory_frames is {memory_frames}; expected 0 or more.")
        if not 0 < min_overlap <= 1:
            raise ValueError(f"min_overlap is {min_overlap}; expected above 0 and at most 1.")
        self._memory_frames = memory_frames
        self._min_overlap = min_overlap
        self.reset()

    def reset(self) -> None:
        """Discard all state. The next frame is the first one, and ids start at 1 again."""
        self._shape = (0, 0)
        self._time_s: float | None = None
        self._tracks: list[_Track] = []
        self._stuff_ids: dict[tuple[int, int], int] = {}
        self._latest_id = 0
        self._latest_number: dict[int, int] = {}

    def update(self, prediction: PanopticPrediction, *, time_s: float | None = None) -> PanopticPrediction:
        """Process the next frame.

        All tracks end if the frame has another size than the previous one.

        Args:
            prediction: Prediction of the frame; it is not modified.
            time_s: Time of the exposure in seconds, from any origin; None if it is unknown.

        Returns:
            The prediction with persistent segment ids, 1 to 65535. An id is not reused while its track exists; a stuff
            class keeps its id. `instance_number` is set for things, 1 to 999, and is unique among the tracks of a
            class.

        Raises:
            ValueError: There are more tracks than ids, or more tracks of a class than instance numbers.
        """
        if prediction.shape != self._shape or not self._follows(time_s):
            self._tracks = []
        self._shape, self._time_s = prediction.shape, time_s
        things = [segment for segment in prediction.segments if segment.is_thing]
        found = self._match(prediction, things)
        for track in self._tracks:
            track.frames_missed += 1
        self._tracks = [
            track for track in self._tracks if track.frames_missed <= self._memory_frames or track in found.values()
        ]
        renamed: dict[int, Segment] = {}
        for thing in things:
            mask = _Mask.of(prediction.segment_map, thing)
            if thing.id in found:
                found[thing.id].update(mask)
            else:
                found[thing.id] = self._begin_track(thing.class_id, mask)
            track = found[thing.id]
            renamed[thing.id] = dataclasses.replace(thing, id=track.id, instance_number=track.number)
        renamed |= self._renamed_stuff(prediction.segments)

        new_ids = np.zeros(max(renamed, default=0) + 1, np.int32)
        for old_id, segment in renamed.items():
            new_ids[old_id] = segment.id
        return dataclasses.replace(
            prediction,
            segment_map=np.take(new_ids, prediction.segment_map),
            segments=tuple(renamed[segment.id] for segment in prediction.segments),
        )

    def _follows(self, time_s: float | None) -> bool:
        """Whether a frame of this time is consecutive to the previous one."""
        return time_s is None or self._time_s is None or -_MAX_BACK_S <= time_s - self._time_s <= _MAX_GAP_S

    def _match(self, prediction: PanopticPrediction, things: Sequence[Segment]) -> dict[int, _Track]:
        """Match instances to tracks. Return the track by the id of the instance, for the instances with a match."""
        if not self._tracks or not things:
            return {}
        column = np.zeros(max(segment.id for segment in prediction.segments) + 1, np.int64)
        column[[thing.id for thing in things]] = np.arange(1, len(things) + 1)  # 0: no thing

        # Joint histogram of track and thing over the pixels in which the tracks are expected now.
        height, width = prediction.shape
        masks = [track.expected_mask() for track in self._tracks]
        row = np.repeat(np.arange(len(masks)), [len(mask.y) for mask in masks])
        y, x = np.concatenate([mask.y for mask in masks]), np.concatenate([mask.x for mask in masks])
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        cell = row[inside] * (len(things) + 1) + column[prediction.segment_map[y[inside], x[inside]]]
        joint_px = np.bincount(cell, minlength=len(masks) * (len(things) + 1)).reshape(len(masks), -1)[:, 1:]
        joint_px *= np.array([[mask.stride**2] for mask in masks])

        areas_px = np.array([thing.area_px for thing in things])
        track_areas_px = np.array([[mask.area_px] for mask in masks])
        joint_px = np.minimum(joint_px, np.minimum(areas_px, track_areas_px))  # samples may overcount
        overlap = joint_px / (areas_px + track_areas_px - joint_px)
        other_class = np.array([[track.class_id != thing.class_id for thing in things] for track in self._tracks])
        # A match by distance scores less than any match by overlap.
        score = np.where(overlap >= self._min_overlap, overlap, self._min_overlap * _proximity(masks, things))
        score[other_class] = 0
        return {
            things[i].id: self._tracks[t]
            for t, i in zip(*linear_sum_assignment(score, maximize=True), strict=True)
            if score[t, i] > 0
        }

    def _begin_track(self, class_id: int, mask: _Mask) -> _Track:
        taken = {track.number for track in self._tracks if track.class_id == class_id}
        number = next_free(self._latest_number.get(class_id, 0), taken, _LAST_NUMBER, "instances of one class")
        self._latest_number[class_id] = number
        track = _Track(self._new_id(), number, class_id, mask)
        self._tracks.append(track)
        return track

    def _renamed_stuff(self, segments: Sequence[Segment]) -> dict[int, Segment]:
        """Return the new stuff segments by old id. Several regions of a class are distinguished by their order."""
        renamed: dict[int, Segment] = {}
        for segment in segments:
            if not segment.is_thing:
                key = segment.class_id, sum(other.class_id == segment.class_id for other in renamed.values())
                if key not in self._stuff_ids:
                    self._stuff_ids[key] = self._new_id()
                renamed[segment.id] = dataclasses.replace(segment, id=self._stuff_ids[key])
        return renamed

    def _new_id(self) -> int:
        taken = {track.id for track in self._tracks} | set(self._stuff_ids.values())
        self._latest_id = next_free(self._latest_id, taken, _LAST_ID, "segments")
        return self._latest_id


@dataclass(frozen=True)
class _Mask:
    """The pixels of an instance. Of large instances, every `stride`-th row and column is kept.

    Attributes:
        y: Rows of the kept pixels, `(N,)`.
        x: Columns of the kept pixels, `(N,)`.
        stride: Distance of the kept rows and columns in pixels.
        area_px: Number of all pixels of the instance.
        box_xyxy_px: Half-open bounding box, `(4,)`.
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    stride: int
    area_px: int
    box_xyxy_px: NDArray[np.int64]

    @classmethod
    def of(cls, segment_map: NDArray[np.int32], segment: Segment) -> _Mask:
        x1, y1, x2, y2 = segment.box_xyxy_px
        stride = max(1, math.isqrt(segment.area_px // _SAMPLES))
        y, x = np.nonzero(segment_map[y1:y2:stride, x1:x2:stride] == segment.id)
        return cls(y * stride + y1, x * stride + x1, stride, segment.area_px, np.array(segment.box_xyxy_px))

    @property
    def center(self) -> NDArray[np.float64]:
        """Centre of the box, `(2,)`: x, y in pixels."""
        return (self.box_xyxy_px[:2] + self.box_xyxy_px[2:]) / 2


@dataclass(eq=False)
class _Track:
    """An instance over time.

    Attributes:
        id: Persistent segment id.
        number: Persistent instance number within the class.
        class_id: Train id.
        mask: Its pixels when it was matched last.
        velocity: Velocity of the centre, `(2,)`: x and y in pixels per frame; None after the first frame.
        frames_missed: Number of frames since the last match.
    """

    id: int
    number: int
    class_id: int
    mask: _Mask
    velocity: NDArray[np.float64] | None = None
    frames_missed: int = 0

    def expected_mask(self) -> _Mask:
        """Return the pixels in the next frame, predicted with constant velocity."""
        if self.velocity is None:
            return self.mask
        dx, dy = np.rint(self.velocity * (self.frames_missed + 1)).astype(np.int64)
        mask, shift = self.mask, np.array([dx, dy, dx, dy])
        return dataclasses.replace(mask, y=mask.y + dy, x=mask.x + dx, box_xyxy_px=mask.box_xyxy_px + shift)

    def update(self, mask: _Mask) -> None:
        """Set the pixels in the present frame, which `frames_missed` already includes."""
        step = (mask.center - self.mask.center) / self.frames_missed
        velocity = step if self.velocity is None else self.velocity
        self.velocity = _NEWEST_WEIGHT * step + (1 - _NEWEST_WEIGHT) * velocity
        self.mask, self.frames_missed = mask, 0


def _proximity(masks: Sequence[_Mask], things: Sequence[Segment]) -> NDArray[np.float64]:
    """Return `(tracks, things)` float, 1 for boxes with the same centre to 0 at the diagonal of the larger box."""
    boxes = np.array([mask.box_xyxy_px for mask in masks])[:, None], np.array([thing.box_xyxy_px for thing in things])
    center, other_center = ((box[..., :2] + box[..., 2:]) / 2 for box in boxes)
    diagonal_px = np.maximum(*(np.linalg.norm(box[..., 2:] - box[..., :2], axis=-1) for box in boxes))
    return np.maximum(0, 1 - np.linalg.norm(center - other_center, axis=-1) / diagonal_px)


def next_free(latest: int, taken: Collection[int], last: int, what: str) -> int:
    """Return the first free number after `latest`; after `last`, the search continues at 1.

    Args:
        latest: The number assigned last, 0 to `last`.
        taken: Numbers in use.
        last: Largest number.
        what: What is numbered, in the plural, for the error message.

    Returns:
        The number, 1 to `last`.

    Raises:
        ValueError: All numbers are in use.
    """
    if len(taken) >= last:
        raise ValueError(f"There are more than {last} {what} at once; no number is left for another one.")
    number = latest % last + 1
    while number in taken:
        number = number % last + 1
    return number
