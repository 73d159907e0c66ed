# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Photometric changes: repeatable, as strong as they are set, and without effect on the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from opendr_panoptic_ros.training.data import augment
from opendr_panoptic_ros.training.photometric import change_photometry

pytestmark = pytest.mark.train
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def changed(seed: int, strength: float) -> np.ndarray:
    return change_photometry(PICTURE, strength, np.random.default_rng(seed))


def test_strength_0_leaves_the_pixels():
    assert np.array_equal(changed(0, 0.0), PICTURE)


def test_the_same_draws_make_the_same_pixels():
    for seed in range(20):
        first, second = changed(seed, 1.0), changed(seed, 1.0)
        assert first.dtype == np.uint8
        assert first.shape == PICTURE.shape
        assert np.array_equal(first, second)
    assert not np.array_equal(changed(0, 1.0), changed(1, 1.0))


def test_a_higher_strength_changes_more():
    def mean_change(strength: float) -> float:
        return float(np.mean([np.abs(changed(seed, strength).astype(int) - PICTURE).mean() for seed in range(40)]))

    weak, strong = mean_change(0.2), mean_change(1.0)
    assert 1 < weak < strong / 2


def test_the_truth_and_the_padding_stay(config, toy_scenes):
    image, annotation = toy_scenes(1)[0]
    pixels = image.convert("channels_last")
    data = dataclasses.replace(config.data, min_scale=0.5, max_scale=0.5, flip_probability=0.0)
    results = [
        augment(
            pixels,
            annotation,
            dataclasses.replace(config, data=dataclasses.replace(data, photometric=strength)),
            np.random.default_rng(3),
        )
        for strength in (0.0, 1.0)
    ]
    (plain, plain_truth), (altered, altered_truth) = results
    assert np.array_equal(plain_truth.segment_map, altered_truth.segment_map)
    height, width = plain.shape[0] // 2, plain.shape[1] // 2
    assert not np.array_equal(plain[:height, :width], altered[:height, :width])
    assert np.array_equal(plain[height:], altered[height:]), "the padding is the mean colour, as in testing"
