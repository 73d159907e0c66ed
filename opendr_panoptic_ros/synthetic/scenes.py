# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic street scenes with exact panoptic ground truth.

Seeds from 900,000,000 up are reserved for evaluation: never train on them or select a model by them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opendr_panoptic_ros.synthetic.render.rng import Purpose, rng_for
from opendr_panoptic_ros.synthetic.render.scene import draw_scene
from opendr_panoptic_ros.synthetic.samples import (
    Pair,
    Sample,
    check_size,
    checked_seed,
    make_sample,
    segment_ids,
    to_pair,
)

EVALUATION_SEEDS_FROM = 900_000_000
"""Seeds from here up are for evaluation only, not for training or for the selection of a model."""

VALIDATION_SEEDS_FROM = 800_000_000
"""Seeds from here up are for validation during training and for the selection of a model."""


class SyntheticScenes:
    """A sequence of street scenes: `scenes[i]` is an image, `(3, height, width)` uint8 RGB, and its ground truth.

    The segments are numbered from 1; things have the score 1.0, stuff NaN. Each pixel belongs to the frontmost object;
    the gaps between the spokes of a wheel belong to the wheel, those between the bars of a fence to the fence. A scene
    is a function of its seed: it does not depend on the scenes drawn before or on the process. Another image size shows
    the same place.

    Args:
        seeds: One seed per scene, each 0 or more.
        height: Height of the images in pixels, at least 32.
        width: Width of the images in pixels, at least 32.

    Raises:
        ValueError: A seed is negative or the size is too small. `scenes[i]` raises IndexError beyond the last scene.
    """

    def __init__(self, seeds: Sequence[int], *, height: int = 256, width: int = 512) -> None:
        check_size(height, width)
        self.seeds = tuple(checked_seed(seed) for seed in seeds)
        self.height, self.width = height, width

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Pair:
        return to_pair(self.sample(index))

    def sample(self, index: int, /) -> Sample:
        """Draw one scene.

        Args:
            index: Index of the scene's seed in `seeds`.

        Returns:
            The image, `(height, width, 3)` uint8 RGB, and its ground truth.
        """
        seed = self.seeds[index]
        world, camera, lens = draw_scene(seed, height=self.height, width=self.width)
        image, ids = lens.distort(*world.paint(camera))
        image = lens.expose(image, rng_for(seed, Purpose.SENSOR))
        used = segment_ids(ids)
        renumbered = np.zeros(used[-1] + 1, np.int32)
        renumbered[used] = np.arange(1, len(used) + 1)
        return make_sample(image, renumbered[ids], {int(renumbered[i]): world.class_of[i] for i in used})
