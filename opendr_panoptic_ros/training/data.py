# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training images: scaled, cropped and flipped, with their ground truth as tensors.

Every random choice follows from the seed, the epoch and the index of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from opendr_panoptic_ros.annotation import (
    LabelledArrays,
    LabelledImages,
    PanopticAnnotation,
    Sample,
    labelled_image,
    require_dataset,
)
from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.inference import fitted_size
from opendr_panoptic_ros.training.photometric import change_photometry


class Truth(NamedTuple):
    """Ground truth of one training image of H × W pixels with G instances and C crowd regions.

    Attributes:
        semantic: `(H, W)` uint8 train ids, 255 = ignore.
        instances: `(H, W)` int16, i + 1 in the pixels of instance i, else 0.
        boxes: `(G, 4)` float32, x1, y1, x2, y2 in px, half-open.
        labels: `(G,)` int64, thing classes from 0.
        crowd_boxes: `(C, 4)` float32, as `boxes`.
        seed: Seed of the random choices for this image.
    """

    semantic: Tensor
    instances: Tensor
    boxes: Tensor
    labels: Tensor
    crowd_boxes: Tensor
    seed: int


class TrainingDataset(Dataset[tuple[Tensor, Truth]]):
    """Augmented images: `dataset[epoch, index]` is the image `(3, H, W)` uint8 and its Truth.

    H × W is the configuration's crop. The image is a view of an `(H, W, 3)` array.

    Args:
        images: Images with their ground truth.
        config: The configuration of the network.
        seed: Seed of all random choices.

    Raises:
        DatasetError: The dataset is empty. Items without ground truth or of other classes raise it when read.
    """

    metainfo: ClassVar[dict[str, Any]] = {}  # mmengine warns about datasets without it

    def __init__(self, images: LabelledImages, config: Config, *, seed: int) -> None:
        require_dataset(images, "training")
        self._images = images
        self._config = config
        self._seed = seed

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> tuple[Tensor, Truth]:
        epoch, index = epoch_and_index
        pixels, annotation = labelled_image(self._images, index, self._config.classes)
        rng = np.random.default_rng((self._seed, epoch, index))
        pixels, annotation = augment(pixels, annotation, self._config, rng)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        return tensor, truth_of(annotation, seed=int(rng.integers(2**62)))


def augment(
    pixels: NDArray[np.uint8], annotation: PanopticAnnotation, config: Config, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], PanopticAnnotation]:
    """Scale, crop and flip an image and its ground truth at random, and change the light and colour of the image.

    Scale 1 is the size at which the network sees the image in testing. An image smaller than the crop is padded at the
    bottom and right with the mean colour and void, as in testing.

    Args:
        pixels: `(H, W, 3)` uint8 RGB.
        annotation: Its ground truth.
        config: Sets the range of scales, the crop's size, the probability of a flip and the photometric changes.
        rng: Source of the random choices.

    Returns:
        The crop, `(crop height, crop width, 3)` uint8 RGB, and its ground truth.
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
    inside = cropped[: crop[0], : crop[1]]
    inside[:] = change_photometry(inside, data.photometric, rng)
    segment_map = np.zeros(cropped.shape[:2], np.int32)
    segment_map[: crop[0], : crop[1]] = annotation.segment_map[rows.astype(int)[:, None], columns.astype(int)]
    return cropped, annotation.with_map(segment_map)


def truth_of(annotation: PanopticAnnotation, *, seed: int) -> Truth:
    """Convert an annotation to tensors.

    Args:
        annotation: Ground truth of one image.
        seed: Seed of the random choices that losses make for this image.

    Returns:
        The tensors.
    """
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


class CachedImages:
    """A dataset whose samples are kept in memory after their first use, for images that are slow to make.

    Args:
        images: The dataset.
    """

    def __init__(self, images: LabelledArrays) -> None:
        self._images = images
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int, /) -> Sample:
        """Return one image as an array, and its ground truth.

        Args:
            index: From 0 to `len(self) - 1`.

        Returns:
            The image, `(H, W, 3)` uint8 RGB, and its ground truth. Every call returns the same objects.
        """
        if index not in self._samples:
            self._samples[index] = self._images.sample(index)
        return self._samples[index]


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) of every image once, in an order drawn for the epoch, as this process's share of batches.

    The first images of the order are repeated until every step of every process is complete. All processes together
    see the batches of a single process with a larger batch.

    Args:
        num_images: Images in the dataset.
        seed: Seed of the orders.
        images_per_step: Images of one step of the optimiser, over all processes.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(self, num_images: int, *, seed: int, images_per_step: int, rank: int, world_size: int) -> None:
        self._num_images = num_images
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._length = -(-num_images // images_per_step) * images_per_step
        self._epoch = 0
        self._skipped = 0

    def skip(self, num_images: int) -> None:
        """Skip images at the start of the following iterations; a resumed epoch has processed them.

        Args:
            num_images: Images of this process to skip.
        """
        self._skipped = num_images

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration yields. mmengine calls this before each epoch.

        Args:
            epoch: From 0.
        """
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
    """Make the loader of the training batches.

    Args:
        images: Images with their ground truth.
        config: The configuration of the network.
        seed: Seed of all random choices.
        num_workers: Processes that load images; 0 = load in this process.
        rank: Number of this training process.
        world_size: Number of training processes.

    Returns:
        A loader of the batches that `collate` makes.
    """
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
    """Combine samples of a TrainingDataset into the arguments of `TrainableEfficientPS.forward`.

    Args:
        samples: B images `(3, H, W)` uint8 and their ground truth.

    Returns:
        `{"images": (B, 3, H, W) uint8, "truths": [Truth, …]}`. The images are channels_last in memory, the layout of
        the crops and of the network.
    """
    images = torch.stack([image.permute(1, 2, 0) for image, _ in samples]).permute(0, 3, 1, 2)
    return {"images": images, "truths": [truth for _, truth in samples]}


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
