# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic scenes and drives as files in the format of the Cityscapes dataset."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.files import write_png, write_whole
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.prediction import PanopticPrediction
from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.samples import Sample
from opendr_panoptic_ros.synthetic.scenes import SyntheticScenes

_SCENE_FRAME = 19
"""Frame number in the names of scenes: Cityscapes annotates frame 19 of each of its sequences."""

_INSTANCE_FACTOR = 1000
"""The instance id of a thing is `label id · 1000 + number`."""


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
    """Write scenes and drives as a raw Cityscapes dataset.

    Images are `leftImg8bit/SPLIT/CITY/CITY_000000_000019_leftImg8bit.png`; `gtFine` holds `_labelIds`, `_instanceIds`
    (16 bit), `_color` and `_polygons.json` for each image. The scenes of a split form one city and its drives another;
    in both, sequences are numbered from 0. The last number of a name is the frame. Instances are numbered from 0 in
    each class of an image. The polygons are the outlines of the segments, from the largest to the smallest: painted in
    this order, they reproduce the label map except for single pixels at edges.

    Args:
        path: Folder to write to; it must be new or empty.
        seeds: Seeds of the scenes of each split ("train", "val").
        drives: Seeds of the drives of each split.
        frames_per_drive: Number of frames written of each drive, evenly spread over its 12 s.
        height: Height of the images in pixels, at least 32.
        width: Width of the images in pixels, at least 32.
        num_workers: Number of processes; 1 writes in this process.

    Raises:
        DatasetError: `path` is a file or a folder that is not empty.
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
    if num_workers <= 1:
        for job in jobs:
            _write(job)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads (OpenCV, torch) may deadlock
    with ProcessPoolExecutor(num_workers, mp_context=spawn) as pool:
        for _ in pool.map(_write, jobs, chunksize=8):
            pass


class _Job(NamedTuple):
    """One scene, or `num_frames` frames of one drive when it is not 0; `number` is its number in its city."""

    root: Path
    split: str
    number: int
    seed: int
    height: int
    width: int
    num_frames: int

    @property
    def city(self) -> str:
        """The name of the city."""
        return f"synthetic{'drive' if self.num_frames else ''}{self.split}"


def _write(job: _Job) -> None:
    if not job.num_frames:
        _write_sample(job, _SCENE_FRAME, SyntheticScenes([job.seed], height=job.height, width=job.width).sample(0))
        return
    drive = SyntheticDrive(job.seed, height=job.height, width=job.width)
    for index in range(job.num_frames):
        frame = index * len(drive) // job.num_frames
        _write_sample(job, frame, drive.sample(frame))


def _write_sample(job: _Job, frame: int, sample: Sample) -> None:
    image, truth = sample
    label_ids, instance_ids = np.zeros(truth.shape, np.uint8), np.zeros(truth.shape, np.uint16)
    count: dict[int, int] = {}
    for segment in truth.segments:
        mask, label_id = truth.segment_map == segment.id, CITYSCAPES.dataset_ids[segment.class_id]
        number = count.get(label_id, 0)
        label_ids[mask] = label_id
        instance_ids[mask] = label_id * _INSTANCE_FACTOR + number if segment.is_thing else label_id
        count[label_id] = number + 1
    stem = f"{job.city}_{job.number:06d}_{frame:06d}"
    images, fine = (job.root / kind / job.split / job.city for kind in ("leftImg8bit", "gtFine"))
    write_png(images / f"{stem}_leftImg8bit.png", image)
    write_png(fine / f"{stem}_gtFine_labelIds.png", label_ids)
    write_png(fine / f"{stem}_gtFine_instanceIds.png", instance_ids)
    write_png(fine / f"{stem}_gtFine_color.png", CITYSCAPES.palette[truth.semantic_map])
    text = json.dumps(_polygons(truth))
    write_whole(fine / f"{stem}_gtFine_polygons.json", lambda partial: partial.write_text(text, encoding="utf-8"))


def _polygons(truth: PanopticPrediction) -> dict[str, object]:
    """Return the Cityscapes description of an image: outlines in painting order."""
    outlines: list[tuple[float, str, list[list[int]]]] = []
    for segment_id, label in [(0, "unlabeled"), *((segment.id, segment.label) for segment in truth.segments)]:
        mask = (truth.segment_map == segment_id).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        outlines += [
            (cv2.contourArea(contour), label, _with_three_points(contour[:, 0].tolist())) for contour in contours
        ]
    outlines.sort(key=lambda outline: -outline[0])
    height, width = truth.shape
    objects = [{"label": label, "polygon": polygon} for _, label, polygon in outlines]
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def _with_three_points(points: list[list[int]]) -> list[list[int]]:
    """Repeat the last point of an outline of one or two pixels: readers of Cityscapes expect three points or more."""
    return points + points[-1:] * (3 - len(points))
