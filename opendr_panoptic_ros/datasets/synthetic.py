"""Synthetic street scenes with exact panoptic truth: single scenes and drives. `synthetic_files` writes them to disk.

Seeds from 900,000,000 up are for evaluation only: never train on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.datasets.scenes.camera import stream
from opendr_panoptic_ros.datasets.scenes.drive import draw_drive
from opendr_panoptic_ros.datasets.scenes.world import SENSOR_TAG, draw_scene
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction, Segment

EVALUATION_SEEDS_FROM = 900_000_000
"""Scenes with this seed and above are never trained on."""

Sample = tuple[Image, PanopticPrediction]


class SyntheticScenes:
    """One street scene per seed: `scenes[i]` is the picture, `(3, height, width)` uint8 RGB, and its truth.

    The truth's segments are numbered from 1; things score 1.0, stuff NaN. Every pixel belongs to the frontmost object;
    a wheel counts with the gaps between its spokes, and a fence with those between its bars. A scene depends on its
    seed alone, whatever was drawn before and in whichever process; another size shows the same place.
    Raises ValueError for sizes under 32 pixels and for negative seeds, IndexError beyond the last scene.
    """

    def __init__(self, seeds: Sequence[int], *, height: int = 256, width: int = 512) -> None:
        _check_size(height, width)
        self.seeds = tuple(_checked_seed(seed) for seed in seeds)
        self.height, self.width = height, width

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Sample:
        seed = self.seeds[index]
        world, camera, lens = draw_scene(seed, height=self.height, width=self.width)
        image, ids = lens.bend(*world.paint(camera))
        image = lens.expose(image, stream(seed, SENSOR_TAG))
        used = np.unique(ids[ids > 0])
        renumbered = np.zeros(int(used.max()) + 1, np.int32)
        renumbered[used] = np.arange(1, len(used) + 1)
        class_of = {int(renumbered[i]): world.class_of[i] for i in used.tolist()}
        return _as_image(image), _truth(renumbered[ids], class_of)


class SyntheticDrive:
    """A drive down one street, waiting at a junction: `drive[i]` is frame i as a picture and its truth, as in
    `SyntheticScenes`, but a segment's id is the object's own, the same in all frames: also when it was hidden, or
    left the picture and came back.

    num_frames: at `fps` frames per second. From 6 s on, there is time for the red light and the cross traffic.
    """

    def __init__(
        self, seed: int, *, num_frames: int = 120, height: int = 256, width: int = 512, fps: float = 10.0
    ) -> None:
        _check_size(height, width)
        if num_frames < 1 or not fps > 0:
            raise ValueError(f"num_frames is {num_frames} and fps {fps}; expected at least 1 frame and fps above 0.")
        self.seed, self.num_frames, self.fps = _checked_seed(seed), num_frames, fps
        self._world, self._camera, self._lens = draw_drive(self.seed, num_frames / fps, height=height, width=width)

    def __len__(self) -> int:
        return self.num_frames

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self.num_frames))

    def __getitem__(self, index: int) -> Sample:
        frame = range(self.num_frames)[index]
        time_s = frame / self.fps
        image, ids = self._lens.bend(*self._world.paint(self._camera(time_s), time_s))
        image = self._lens.expose(image, stream(self.seed, SENSOR_TAG, frame))
        return _as_image(image), _truth(ids, self._world.class_of)


def _truth(ids: NDArray[np.int32], class_of: dict[int, int]) -> PanopticPrediction:
    """The segments of an id map."""
    segments = []
    for segment_id in np.unique(ids[ids > 0]).tolist():
        mask = (ids == segment_id).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        class_id = class_of[segment_id]
        is_thing = CITYSCAPES.is_thing(class_id)
        segments.append(
            Segment(
                id=segment_id,
                class_id=class_id,
                label=CITYSCAPES.names[class_id],
                is_thing=is_thing,
                score=1.0 if is_thing else float("nan"),
                area_px=cv2.countNonZero(mask),
                box_xyxy_px=(x, y, x + width, y + height),
            )
        )
    return PanopticPrediction(ids, tuple(segments))


def _as_image(rgb: NDArray[np.uint8]) -> Image:
    return Image(rgb.transpose(2, 0, 1), guess_format=False)


def _check_size(height: int, width: int) -> None:
    if height < 32 or width < 32:
        raise ValueError(f"The size is {height}×{width} pixels; expected at least 32×32.")


def _checked_seed(seed: int) -> int:
    if int(seed) < 0:
        raise ValueError(f"A seed is {seed}; expected 0 or more.")
    return int(seed)
