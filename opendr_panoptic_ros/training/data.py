# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training images: scaled, cropped, flipped, with their truth as tensors. Draws follow from seed, epoch and index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.evaluation.run import LabelledImages, labelled_image
from opendr_panoptic_ros.inference import fitted_size
from opendr_panoptic_ros.prediction import PanopticPrediction


class Truth(NamedTuple):
    """What is in one training image of H × W pixels, G instances and C crowd regions.

    semantic: `(H, W)` uint8 train ids, 255 = ignore. instances: `(H, W)` int16, i + 1 where instance i is, else 0.
    boxes: `(G, 4)` float32 px, half-open. labels: `(G,)` int64, 0-based things. crowd_boxes: `(C, 4)` as boxes.
    seed: of the random choices made for this image.
    """

    semantic: Tensor
    instances: Tensor
    boxes: Tensor
    labels: Tensor
    crowd_boxes: Tensor
    seed: int


class TrainingDataset(Dataset[tuple[Tensor, Truth]]):
    """`[epoch, index]` → image `(3, H, W)` uint8 and its Truth, H × W the config's crop.

    Raises DatasetError when it is empty, has images without truth, or other classes than the config.
    """

    metainfo: ClassVar[dict[str, Any]] = {}  # mmengine warns about a dataset without

    def __init__(self, images: LabelledImages, config: Config, *, seed: int) -> None:
        if len(images) == 0:
            raise DatasetError("The training dataset is empty.")
        self._images = images
        self._config = config
        self._seed = seed

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> tuple[Tensor, Truth]:
        epoch, index = epoch_and_index
        image, annotation = labelled_image(self._images, index, self._config.classes)
        rng = np.random.default_rng((self._seed, epoch, index))
        pixels, annotation = augment(image.convert("channels_last"), annotation, self._config, rng)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        return tensor, truth_of(annotation, seed=int(rng.integers(2**62)))


def augment(
    pixels: NDArray[np.uint8], annotation: PanopticAnnotation, config: Config, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], PanopticAnnotation]:
    """The image `(H, W, 3)` and its truth after a random scale, crop and flip, at the config's crop size.

    Scale 1 is the size that the network sees in testing. An image smaller than the crop is filled up at the bottom and
    right, with the mean colour and void, as the network pads in testing.
    """
    data = config.data
    height, width = pixels.shape[:2]
    scale = rng.uniform(data.min_scale, data.max_scale)
    scaled = [max(1, round(side * scale)) for side in fitted_size(height, width, None, config.test)]
    crop = [min(side, limit) for side, limit in zip(scaled, (data.crop_height_px, data.crop_width_px), strict=True)]
    offset = [int(rng.integers(side - part + 1)) for side, part in zip(scaled, crop, strict=True)]
    # The centre of each pixel of the crop, in pixels of the original image.
    rows, columns = (
        (np.arange(part) + first + 0.5) * (original / side)
        for part, first, original, side in zip(crop, offset, (height, width), scaled, strict=True)
    )
    if rng.random() < data.flip_probability:
        columns = columns[::-1]

    cropped = np.empty((data.crop_height_px, data.crop_width_px, 3), np.uint8)
    cropped[:] = np.round(config.model.pixel_mean)
    step_x = columns[1] - columns[0] if len(columns) > 1 else 1.0
    to_original = np.array([[step_x, 0, columns[0] - 0.5], [0, height / scaled[0], rows[0] - 0.5]])
    cropped[: crop[0], : crop[1]] = cv2.warpAffine(
        pixels,
        to_original,
        (crop[1], crop[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    segment_map = np.zeros(cropped.shape[:2], np.int32)
    segment_map[: crop[0], : crop[1]] = annotation.segment_map[rows.astype(int)[:, None], columns.astype(int)]
    return cropped, annotation.with_map(segment_map)


def truth_of(annotation: PanopticAnnotation, *, seed: int) -> Truth:
    """The annotation as tensors."""
    instances = annotation.instances
    index = np.zeros(max((s.id for s in annotation.segments), default=0) + 1, np.int16)
    index[[s.id for s in instances]] = np.arange(1, len(instances) + 1)
    num_stuff = annotation.classes.num_stuff
    return Truth(
        semantic=torch.from_numpy(annotation.semantic_map),
        instances=torch.from_numpy(index[annotation.segment_map]),
        boxes=torch.tensor([s.box_xyxy_px for s in instances], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([s.class_id - num_stuff for s in instances], dtype=torch.int64),
        crowd_boxes=torch.tensor([s.box_xyxy_px for s in annotation.crowds], dtype=torch.float32).reshape(-1, 4),
        seed=seed,
    )


class Remembered:
    """The same images and truths, each made or read once only: for images that are slow to make and fit into memory."""

    def __init__(self, images: LabelledImages) -> None:
        self._images = images
        self._remembered: dict[int, tuple[Image, PanopticPrediction | None]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> tuple[Image, PanopticPrediction | None]:
        if index not in self._remembered:
            self._remembered[index] = self._images[index]
        return self._remembered[index]


class EpochSampler(Sampler[tuple[int, int]]):
    """Epoch and index of every image once, in an order drawn for the epoch; this process's share of each batch.

    Filled up with images from the front until every step of every process is a whole one. The processes together see
    the batches that one process with a larger batch would.
    """

    def __init__(self, num_images: int, *, seed: int, images_per_step: int, rank: int, world_size: int) -> None:
        self._num_images = num_images
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._length = -(-num_images // images_per_step) * images_per_step
        self._epoch = 0
        self._skipped = 0

    def skip(self, num_images: int) -> None:
        """The next iterations leave out this process's first `num_images`: a resumed epoch has had them."""
        self._skipped = num_images

    def set_epoch(self, epoch: int) -> None:
        """What the next iteration yields; mmengine calls this before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length // self._world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._num_images)
        filled = np.resize(order, self._length)
        return ((self._epoch, int(index)) for index in filled[self._rank :: self._world_size][self._skipped :])


def training_loader(
    images: LabelledImages, config: Config, *, seed: int, num_workers: int, rank: int = 0, world_size: int = 1
) -> DataLoader[Any]:
    """Batches as TrainableEfficientPS takes them: `{"images": (B, 3, H, W) uint8, "truths": [Truth, …]}`."""
    schedule = config.schedule
    sampler = EpochSampler(
        len(images),
        seed=seed,
        images_per_step=schedule.batch_size * schedule.accumulate * world_size,
        rank=rank,
        world_size=world_size,
    )
    return DataLoader(
        TrainingDataset(images, config, seed=seed),
        batch_size=schedule.batch_size,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=collate,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
    )


def collate(samples: Sequence[tuple[Tensor, Truth]]) -> dict[str, Any]:
    """Samples of a TrainingDataset → one batch."""
    return {"images": torch.stack([image for image, _ in samples]), "truths": [truth for _, truth in samples]}


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
