# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Augmentation keeps image and truth together; order and draws follow from seed, epoch and index."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from opendr_panoptic_ros.annotation import PanopticAnnotation, labelled_image
from opendr_panoptic_ros.config import DataConfig
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import DatasetError
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.training.data import (
    CachedImages,
    EpochSampler,
    TrainingDataset,
    augment,
    collate,
    training_loader,
    truth_of,
)

pytestmark = pytest.mark.train


def with_data(config, **values):
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, **{"min_scale": 1.0, "max_scale": 1.0, **values})
    )


def test_without_scale_crop_and_flip_nothing_changes(config, toy_scenes):
    image, annotation = toy_scenes(1)[0]
    pixels = image.convert("channels_last")
    found, truth = augment(pixels, annotation, config, np.random.default_rng(0))
    assert np.array_equal(found, pixels)
    assert np.array_equal(truth.segment_map, annotation.segment_map)


def test_a_flip_exchanges_left_and_right_of_both(config, toy_scenes):
    image, annotation = toy_scenes(1)[0]
    pixels = image.convert("channels_last")
    found, truth = augment(pixels, annotation, with_data(config, flip_probability=1.0), np.random.default_rng(0))
    assert np.array_equal(found, pixels[:, ::-1])
    assert np.array_equal(truth.segment_map, annotation.segment_map[:, ::-1])


@pytest.mark.parametrize("scale", [0.5, 0.73, 1.9])
def test_truth_stays_on_the_image(config, scale):
    # The image shows its own labels, so they can be compared at any scale; corners are mixed. A shift by a pixel would
    # be wrong on a whole side of 15 pixels or more.
    ids = np.full((64, 128), 1, np.int32)
    ids[20:50, 30:60] = 2
    annotation = PanopticAnnotation.from_map(ids, {1: 0, 2: 13}, CITYSCAPES)
    pixels = np.repeat((ids == 2).astype(np.uint8)[:, :, None] * 255, 3, axis=2)
    data = with_data(config, min_scale=scale, max_scale=scale, flip_probability=0.5)
    for seed in range(4):
        found, truth = augment(pixels, annotation, data, np.random.default_rng(seed))
        inside = truth.segment_map > 0
        assert ((found[:, :, 0] > 127) != (truth.segment_map == 2))[inside].sum() < 10


def test_a_small_image_is_filled_up_with_mean_and_void(config, toy_scenes):
    image, annotation = toy_scenes(1)[0]
    data = with_data(config, min_scale=0.5, max_scale=0.5)
    found, truth = augment(image.convert("channels_last"), annotation, data, np.random.default_rng(0))
    assert found.shape == (64, 128, 3)
    assert (truth.segment_map[32:] == 0).all()
    assert (truth.segment_map[:, 64:] == 0).all()
    assert (truth.segment_map[:32, :64] > 0).all()
    assert (found[32:] == np.round(config.model.pixel_mean)).all()


def test_truth_is_measured_after_the_crop(config):
    ids = np.full((64, 128), 1, np.int32)
    ids[10:20, 100:120] = 2
    ids[30:40, 0:10] = 3
    annotation = PanopticAnnotation.from_map(ids, {1: 0, 2: 13, 3: 11}, CITYSCAPES, crowd_ids=frozenset({3}))
    truth = truth_of(annotation, seed=0)
    assert truth.boxes.tolist() == [[100, 10, 120, 20]]
    assert truth.labels.tolist() == [2]
    assert truth.crowd_boxes.tolist() == [[0, 30, 10, 40]]
    assert truth.instances.unique().tolist() == [0, 1]
    assert truth.semantic[35, 5] == 11, "a crowd region still has a class"

    half = dataclasses.replace(config, data=DataConfig(crop_height_px=32, crop_width_px=64, min_scale=1, max_scale=1))
    for seed in range(8):
        _, cropped = augment(np.zeros((64, 128, 3), np.uint8), annotation, half, np.random.default_rng(seed))
        for box, label in zip(truth_of(cropped, seed=0).boxes.int().tolist(), [2], strict=False):
            x1, y1, x2, y2 = box
            where = cropped.semantic_map == label + CITYSCAPES.num_stuff
            assert where[y1:y2, x1:x2].all()
            assert where.sum() == (y2 - y1) * (x2 - x1)


def test_the_same_draw_for_the_same_epoch(config, toy_scenes):
    scenes = toy_scenes(1)
    varied = with_data(config, min_scale=0.5, max_scale=2.0, flip_probability=0.5)
    first, again = (TrainingDataset(scenes, varied, seed=3)[4, 0] for _ in range(2))
    other = TrainingDataset(scenes, varied, seed=3)[5, 0]
    assert first[0].equal(again[0])
    assert first[1].seed == again[1].seed
    assert not first[0].equal(other[0])


def test_sampler_shares_the_batches_of_one_process():
    whole = EpochSampler(10, seed=1, images_per_step=4, rank=0, world_size=1)
    shares = [EpochSampler(10, seed=1, images_per_step=4, rank=rank, world_size=2) for rank in range(2)]
    for sampler in (whole, *shares):
        sampler.set_epoch(7)
    everything = list(whole)
    assert len(everything) == len(whole) == 12, "filled up to whole steps"
    assert {index for _, index in everything} == set(range(10))
    assert {epoch for epoch, _ in everything} == {7}
    for step in range(3):
        together = [sample for share in shares for sample in list(share)[2 * step : 2 * step + 2]]
        assert sorted(together) == sorted(everything[4 * step : 4 * step + 4])
    whole.set_epoch(8)
    assert [index for _, index in whole] != [index for _, index in everything]


def test_loader_gives_the_same_batches_with_workers(config, toy_scenes):
    scenes = toy_scenes(4)
    batches = [list(training_loader(scenes, config, seed=0, num_workers=n)) for n in (0, 2)]
    for plain, parallel in zip(*batches, strict=True):
        assert plain["images"].equal(parallel["images"])
        assert [t.seed for t in plain["truths"]] == [t.seed for t in parallel["truths"]]


def test_unusable_datasets_are_refused(config, toy_scenes):
    with pytest.raises(DatasetError, match="is empty"):
        TrainingDataset([], config, seed=0)
    image, annotation = toy_scenes(1)[0]
    with pytest.raises(DatasetError, match="Image 0 of the dataset has no annotation"):
        TrainingDataset([(image, None)], config, seed=0)[0, 0]
    other = dataclasses.replace(CITYSCAPES, names=("street", *CITYSCAPES.names[1:]))
    renamed = PanopticAnnotation(annotation.segment_map, annotation.segments, other)
    with pytest.raises(DatasetError, match=r"classes are street, .*the network's are road"):
        TrainingDataset([(image, renamed)], config, seed=0)[0, 0]


def test_one_memory_layout_from_the_dataset_to_the_network(config, toy_scenes):
    """Images stay `(height, width, 3)`: the dataset's array is what is cropped, and the batch is channels_last."""
    image, annotation = toy_scenes(1)[0]
    pixels = image.convert("channels_last")

    class Arrays:
        def __len__(self):
            return 2

        def sample(self, index, /):
            return pixels, annotation

    found, _ = labelled_image(Arrays(), 0, config.classes)
    assert found is pixels
    dataset = TrainingDataset(Arrays(), config, seed=0)
    tensor, _ = dataset[0, 0]
    assert tensor.permute(1, 2, 0).is_contiguous()
    batch = collate([dataset[0, 0], dataset[0, 1]])["images"]
    assert batch.is_contiguous(memory_format=torch.channels_last)
    (loaded,) = training_loader(Arrays(), config, seed=0, num_workers=0)
    assert loaded["images"].is_contiguous(memory_format=torch.channels_last)
    assert loaded["images"].equal(batch)


def test_pairs_and_arrays_give_the_same_batches(config, toy_scenes):
    pairs = toy_scenes(3)

    class Arrays:
        def __len__(self):
            return len(pairs)

        def sample(self, index, /):
            image, annotation = pairs[index]
            return image.convert("channels_last"), annotation

    for images in (Arrays(), CachedImages(Arrays())):
        for expected, batch in zip(
            training_loader(pairs, config, seed=0, num_workers=0),
            training_loader(images, config, seed=0, num_workers=0),
            strict=True,
        ):
            assert batch["images"].equal(expected["images"])


def test_cached_images_are_read_once(toy_scenes):
    read = []

    class Arrays:
        def __len__(self):
            return 2

        def sample(self, index, /):
            read.append(index)
            return np.zeros((4, 4, 3), np.uint8), None

    cached = CachedImages(Arrays())
    assert cached.sample(1)[0] is cached.sample(1)[0]
    assert (len(cached), read) == (2, [1])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("path", "Item 0 of the dataset is str; expected a pair"),
        ([np.zeros((4, 4, 3), np.uint8)], "Item 0 of the dataset is ndarray; expected a pair"),
        ([(Image(np.zeros((4, 4, 3), np.uint8)), np.zeros((4, 4)))], "The ground truth of image 0 is ndarray"),
        (
            [
                (
                    Image(np.zeros((4, 4, 3), np.uint8)),
                    PanopticAnnotation.from_map(np.ones((4, 5), np.int32), {1: 0}, CITYSCAPES),
                )
            ],
            r"Image 0 of the dataset is \(4, 4\) pixels \(H, W\), its ground truth \(4, 5\)",
        ),
    ],
)
def test_items_that_are_no_labelled_images(dataset, message):
    with pytest.raises(DatasetError, match=message):
        labelled_image(dataset, 0, CITYSCAPES)
