# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic street scenes with exact panoptic truth: single scenes, drives, and raw Cityscapes on disk.

Seeds from 900,000,000 up are for evaluation only: never train on them, and choose nothing by them.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.synthetic.render.camera import stream
from opendr_panoptic_ros.synthetic.render.drive import draw_drive
from opendr_panoptic_ros.synthetic.render.world import SENSOR_TAG, draw_scene

EVALUATION_SEEDS_FROM = 900_000_000
"""Scenes with this seed and above are never trained on, nor is anything chosen by them."""

VALIDATION_SEEDS_FROM = 800_000_000
"""Scenes with this seed and above are for watching a training, and choosing among its networks."""
_SCENE_FRAME = 19  # where Cityscapes' annotated pictures lie in their sequences

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
        used = _segment_ids(ids)
        renumbered = np.zeros(used[-1] + 1, np.int32)
        renumbered[used] = np.arange(1, len(used) + 1)
        class_of = {int(renumbered[i]): world.class_of[i] for i in used}
        return _as_image(image), _truth(renumbered[ids], class_of)


class SyntheticDrive:
    """A drive down one street, waiting at a junction: `drive[i]` is frame i as a picture and its truth, as in
    `SyntheticScenes`, but a segment's id is the object's own, the same in all frames: also when it was hidden, or
    left the picture and came back.

    num_frames: at `fps` frames per second. The street is as long as the drive takes: a longer drive is another street.
    From 6 s on, there is time for the red light and the cross traffic.
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


def write_cityscapes(
    path: str | Path,
    seeds: Mapping[str, Sequence[int]],
    *,
    drives: Mapping[str, Sequence[int]] | None = None,
    frames_per_drive: int = 10,
    height: int = 256,
    width: int = 512,
    num_workers: int = 1,
) -> None:
    """Scenes on disk as Cityscapes comes: `leftImg8bit/SPLIT/CITY/CITY_000000_000019_leftImg8bit.png`, and under
    `gtFine` beside each `_labelIds`, `_instanceIds` (16 bit), `_color` and `_polygons.json`.

    seeds, drives: of scenes and of drives, by split ("train", "val"). The scenes of a split are a city, its drives are
    another one; in both they are numbered from 0. Of each drive there are `frames_per_drive` frames, evenly spread over
    its 12 s; a name's last number is that of the frame. Instances are numbered from 0 in each class of a frame.
    Polygons are outlines from the largest to the smallest, which paint the label map again but for single pixels at
    edges.
    Raises DatasetError when `path` is a file or a folder that is not empty.
    """
    root = Path(path).expanduser()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root} is not an empty folder. Name a new one, or remove it.")
    jobs = [
        _Job(root, split, number, seed, height, width, num_frames)
        for num_frames, by_split in ((0, seeds), (frames_per_drive, drives or {}))
        for split, of_split in by_split.items()
        for number, seed in enumerate(of_split)
    ]
    for job in jobs:
        for kind in ("leftImg8bit", "gtFine"):
            (root / kind / job.split / job.city).mkdir(parents=True, exist_ok=True)
    if num_workers <= 1:
        for job in jobs:
            _write(job)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads (OpenCV's, torch's) may hang
    with ProcessPoolExecutor(num_workers, mp_context=spawn) as pool:
        for _ in pool.map(_write, jobs, chunksize=8):
            pass


class _Job(NamedTuple):
    """A scene to write, or so many frames of a drive. number: its place in its city."""

    root: Path
    split: str
    number: int
    seed: int
    height: int
    width: int
    num_frames: int

    @property
    def city(self) -> str:
        return f"synthetic{'drive' if self.num_frames else ''}{self.split}"


def _write(job: _Job) -> None:
    if not job.num_frames:
        _write_sample(job, _SCENE_FRAME, SyntheticScenes([job.seed], height=job.height, width=job.width)[0])
        return
    drive = SyntheticDrive(job.seed, height=job.height, width=job.width)
    for index in range(job.num_frames):
        frame = index * len(drive) // job.num_frames
        _write_sample(job, frame, drive[frame])


def _write_sample(job: _Job, frame: int, sample: Sample) -> None:
    image, truth = sample
    label_ids, instance_ids = np.zeros(truth.shape, np.uint8), np.zeros(truth.shape, np.uint16)
    count: dict[int, int] = {}
    for segment in truth.segments:
        mask, dataset_id = truth.segment_map == segment.id, CITYSCAPES.dataset_ids[segment.class_id]
        label_ids[mask] = dataset_id
        instance_ids[mask] = dataset_id * 1000 + count.get(dataset_id, 0) if segment.is_thing else dataset_id
        count[dataset_id] = count.get(dataset_id, 0) + 1
    stem = f"{job.city}_{job.number:06d}_{frame:06d}"
    fine = job.root / "gtFine" / job.split / job.city / f"{stem}_gtFine"
    _write_png(job.root / "leftImg8bit" / job.split / job.city / f"{stem}_leftImg8bit.png", image.opencv())
    _write_png(Path(f"{fine}_labelIds.png"), label_ids)
    _write_png(Path(f"{fine}_instanceIds.png"), instance_ids)
    _write_png(Path(f"{fine}_color.png"), CITYSCAPES.palette[truth.semantic_map][..., ::-1])
    unfinished = Path(f"{fine}_polygons.json.part")
    unfinished.write_text(json.dumps(_polygons(truth)))
    unfinished.rename(f"{fine}_polygons.json")


def _polygons(truth: PanopticPrediction) -> dict[str, object]:
    """Cityscapes' description of an image: outlines in painting order."""
    outlines: list[tuple[float, str, list[list[int]]]] = []
    for segment_id, label in [(0, "unlabeled"), *((segment.id, segment.label) for segment in truth.segments)]:
        mask = (truth.segment_map == segment_id).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        outlines += [
            (cv2.contourArea(contour), label, _triangle_at_least(contour[:, 0].tolist())) for contour in contours
        ]
    outlines.sort(key=lambda outline: -outline[0])
    height, width = truth.shape
    objects = [{"label": label, "polygon": polygon} for _, label, polygon in outlines]
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def _triangle_at_least(points: list[list[int]]) -> list[list[int]]:
    """The outline; that of one or two pixels is closed to three corners, as its readers expect."""
    return points + points[-1:] * (3 - len(points))


def _write_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    unfinished = path.with_name(f".{path.name}")
    if not cv2.imwrite(str(unfinished), pixels):
        raise DatasetError(f"{path} cannot be written.")
    unfinished.rename(path)


def _truth(ids: NDArray[np.int32], class_of: dict[int, int]) -> PanopticPrediction:
    """The segments of an id map."""
    return PanopticAnnotation.from_map(ids, {i: class_of[i] for i in _segment_ids(ids)}, CITYSCAPES)


def _segment_ids(ids: NDArray[np.int32]) -> list[int]:
    """The ids that occur, without void, ascending."""
    return [int(i) for i in np.flatnonzero(np.bincount(ids.ravel())) if i > 0]


def _as_image(rgb: NDArray[np.uint8]) -> Image:
    return Image(rgb.transpose(2, 0, 1), guess_format=False)


def _check_size(height: int, width: int) -> None:
    if height < 32 or width < 32:
        raise ValueError(f"The size is {height}×{width} pixels; expected at least 32×32.")


def _checked_seed(seed: int) -> int:
    if int(seed) < 0:
        raise ValueError(f"A seed is {seed}; expected 0 or more.")
    return int(seed)
