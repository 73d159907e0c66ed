# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion of a downloaded dataset into the layout that PanopticDataset reads: parallel and resumable.

Each finished image leaves a record in the work folder of its split, written after the image's other files. The JSON
files are assembled from the records, `annotations.json` last; then the work folder is removed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendr_panoptic_ros.datasets.raw_dataset import SPLITS, RawDataset, RawImage, Reader
from opendr_panoptic_ros.errors import DatasetError, plain
from opendr_panoptic_ros.files import read_json, write_json, write_png, write_whole
from opendr_panoptic_ros.formats.image_files import read_pixels
from opendr_panoptic_ros.formats.panoptic import categories, instance_annotations, semantic_map
from opendr_panoptic_ros.labels import ClassTable

WORK_FOLDER = ".unfinished"
"""Folder inside a split while the split is being prepared."""

Record = dict[str, Any]
"""One image: file_name, width, height, annotations (of its things), segments (of panoptic_gt; None without it)."""


def prepare_dataset(
    reader: Reader,
    source: Path,
    output: Path,
    *,
    train_truth: bool = False,
    num_workers: int | None = None,
    splits: Sequence[str] = SPLITS,
    resume: bool = False,
    link_images: bool = False,
    executor: Executor | None = None,
) -> None:
    """Convert a downloaded dataset.

    Args:
        reader: Lists the downloaded files.
        source: The downloaded and unpacked dataset.
        output: Folder to write to; empty unless `resume`.
        train_truth: Whether the train split gets a panoptic_gt too; val always does.
        num_workers: Images that are prepared at a time; None = one for each processor.
        splits: The splits to prepare: train, val, or both.
        resume: Whether to continue an earlier preparation in `output`.
        link_images: Whether to make symbolic links instead of copies, where images need no resizing.
        executor: Prepares the images, such as workers on other machines, which reach `source` and `output` by the same
            paths; it is shut down after an error. None stands for `num_workers` threads of this process.

    Raises:
        DatasetError: `splits` holds other names; `output` is not empty and `resume` is false; or, at the end, with a
            list of everything that was wrong. The splits without a problem are finished then.
        ValueError: `num_workers` is below 1.
    """
    num_workers = (os.cpu_count() or 1) if num_workers is None else num_workers
    if num_workers < 1:
        raise ValueError(f"num_workers is {num_workers}; expected at least 1.")
    if not splits or not set(splits) <= set(SPLITS):
        raise DatasetError(f"splits is {list(splits)}; expected {' or '.join(SPLITS)}, or both.")
    if output.is_symlink() and not output.exists():
        raise DatasetError(f"{output} is a link to {output.readlink()}, which is missing; choose another output_path.")
    if not resume and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DatasetError(
            f"{output} exists and is not empty. Pass resume=True to continue an earlier preparation, "
            "or choose another output_path."
        )
    raw = reader(source, splits)
    with nullcontext(executor) if executor is not None else ThreadPoolExecutor(num_workers) as workers:
        _prepare(raw, output, SPLITS if train_truth else ("val",), workers, link_images)


def _prepare(
    raw: RawDataset, output: Path, truth_splits: tuple[str, ...], executor: Executor, link_images: bool
) -> None:
    """Prepare all splits of `raw`; those in `truth_splits` get a panoptic_gt."""
    splits = {
        split: images
        for split, images in raw.images.items()
        if not _is_finished(output / split, images, with_truth=split in truth_splits)
    }
    records, problems = _prepare_images(raw, splits, output, truth_splits, executor, link_images)
    problems = [problem for split in raw.images for problem in raw.problems[split]] + problems
    for split, images in splits.items():
        found = [records[split, image.image_id] for image in images if (split, image.image_id) in records]
        if not raw.problems[split] and len(found) == len(images):
            _write_split(output / split, raw.classes, images, found, with_truth=split in truth_splits)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        advice = "\nRepair or remove these files, then pass resume=True: finished images are kept."
        present = [split for split, images in raw.images.items() if images]
        if len(present) == 1 < len(raw.images):
            advice += f" If there is only a {present[0]} split, pass splits=['{present[0]}']."
        raise DatasetError(
            f"{raw.name} could not be prepared completely, {count}:\n  " + "\n  ".join(problems) + advice
        )


def _is_finished(folder: Path, images: Sequence[RawImage], *, with_truth: bool) -> bool:
    """Whether the split is finished; DatasetError when the folder holds another dataset or an unreadable file."""
    annotations = folder / "annotations.json"
    if annotations.exists() and images:  # without images the raw split is missing, which is reported elsewhere
        try:
            done = {Path(image["file_name"]).stem for image in read_json(annotations)["images"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = plain(repr(error), 100)
            raise DatasetError(f"{annotations} cannot be read: {reason}. Remove it to create it again.") from error
        if done != {image.image_id for image in images}:
            raise DatasetError(f"{folder} holds the images of another dataset; choose another output_path.")
    finished = annotations.exists() and (not with_truth or (folder / "panoptic_gt.json").exists())
    if finished:
        shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
    return finished


def _prepare_images(
    raw: RawDataset,
    splits: dict[str, list[RawImage]],
    output: Path,
    truth_splits: tuple[str, ...],
    executor: Executor,
    link_images: bool,
) -> tuple[dict[tuple[str, str], Record], list[str]]:
    """Return the record of each image by split and id, and the problems of the other images.

    By default the executor has threads, not processes: decoding, encoding and NumPy release the interpreter lock, and
    scripts without a `__main__` guard (OpenDR's examples) could not start processes.
    """
    records: dict[tuple[str, str], Record] = {}
    problems: list[str] = []
    formats = dataclasses.replace(raw, images={}, problems={})  # workers on other machines get this with each image
    jobs = {
        executor.submit(
            _record_or_problem, formats, image, output / split, with_truth=split in truth_splits, link_image=link_images
        ): (split, image.image_id)
        for split, images in splits.items()
        for image in images
    }
    try:
        for job in tqdm(as_completed(jobs), total=len(jobs), desc=f"Preparing {raw.name}", unit="image"):
            record = job.result()
            if isinstance(record, str):
                problems.append(record)
            else:
                records[jobs[job]] = record
    except BaseException:  # Ctrl-C, a full disk: drop the images that wait
        executor.shutdown(cancel_futures=True)
        raise
    return records, sorted(problems)


def _record_or_problem(
    raw: RawDataset, image: RawImage, folder: Path, *, with_truth: bool, link_image: bool
) -> Record | str:
    try:
        return _prepare_image(raw, image, folder, with_truth=with_truth, link_image=link_image)
    except DatasetError as error:
        return str(error)
    except (AttributeError, KeyError, TypeError) as error:  # an entry of the annotations lacks a part
        return f"{image.labels_path}: its entry in the annotations is malformed: {error!r}"


def _prepare_image(raw: RawDataset, image: RawImage, folder: Path, *, with_truth: bool, link_image: bool) -> Record:
    """Write the files of one image and return its record; DatasetError when the image cannot be used."""
    labels_name = f"{image.image_id}.png"
    record_path = folder / WORK_FOLDER / f"{image.image_id}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: the image is made again
        done: Record = read_json(record_path)
        if not with_truth or done["segments"] is not None:
            return done

    ids = raw.read_ids(image)
    pixels = read_pixels(image.image_path)
    if pixels.shape[:2] != ids.shape:
        height, width = pixels.shape[:2]
        raise DatasetError(
            f"{image.image_path}: is {width}x{height} pixels, "
            f"its labels {image.labels_path} are {ids.shape[1]}x{ids.shape[0]}"
        )
    if raw.size_px not in (None, (pixels.shape[1], pixels.shape[0])):
        file_name = labels_name
        ids = np.asarray(cv2.resize(ids, raw.size_px, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
        write_png(folder / "images" / file_name, _rgb(cv2.resize(pixels, raw.size_px)))
    else:
        file_name = image.image_id + image.image_path.suffix
        place = functools.partial(os.symlink, image.image_path.resolve()) if link_image else None
        place = place or functools.partial(shutil.copyfile, image.image_path)
        write_whole(folder / "images" / file_name, place)

    write_png(folder / "stuffthingmaps" / labels_name, semantic_map(ids, raw.classes))
    segments = None
    if with_truth:
        panoptic_png, segments = raw.panoptic_truth(ids)
        write_png(folder / "panoptic_gt" / labels_name, panoptic_png)
    record: Record = {
        "file_name": file_name,
        "height": ids.shape[0],
        "width": ids.shape[1],
        "annotations": instance_annotations(ids, raw.classes),
        "segments": segments,
    }
    write_json(record_path, record)
    return record


def _write_split(
    folder: Path, classes: ClassTable, images: list[RawImage], records: list[Record], *, with_truth: bool
) -> None:
    """Write the split's JSON files. Images and annotations are numbered from 1, as pycocotools requires."""
    sizes = [{key: record[key] for key in ("file_name", "height", "width")} for record in records]
    if with_truth:
        truth = {
            "images": [{"id": _truth_id(image), **size} for image, size in zip(images, sizes, strict=True)],
            "annotations": [
                {
                    "image_id": _truth_id(image),
                    "file_name": f"{image.image_id}.png",
                    "segments_info": record["segments"],
                }
                for image, record in zip(images, records, strict=True)
            ],
            "categories": categories(classes),
        }
        write_json(folder / "panoptic_gt.json", truth)

    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        for annotation in record["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    # Here a category's id is the train id; dataset_id is the one that panoptic_gt.json uses.
    train_categories = [
        {**category, "id": train_id, "dataset_id": category["id"]}
        for train_id, category in enumerate(categories(classes))
    ]
    write_json(
        folder / "annotations.json",
        {
            "images": [
                {"id": number, **size, **({} if image.truth_id is None else {"truth_id": image.truth_id})}
                for number, (image, size) in enumerate(zip(images, sizes, strict=True), start=1)
            ],
            "annotations": annotations,
            "categories": train_categories,
        },
    )
    shutil.rmtree(folder / WORK_FOLDER)


def _truth_id(image: RawImage) -> int | str:
    return image.image_id if image.truth_id is None else image.truth_id


def _rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return `(H, W, 3)`: grey images are repeated three times, alpha is dropped."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels[:, :, :3]
