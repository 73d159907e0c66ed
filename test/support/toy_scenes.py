# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Small scenes and the configuration of a small network, for training tests on two cores."""

from __future__ import annotations

import cv2
import numpy as np

from opendr_panoptic_ros.annotation import PanopticAnnotation
from opendr_panoptic_ros.config import Config, DataConfig, ModelConfig, ScheduleConfig, TestConfig
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.labels import CITYSCAPES

ROAD, SKY, PERSON, CAR = 0, 10, 11, 13


class ToyScenes(list[tuple[Image, PanopticAnnotation]]):
    """Pairs (Image, PanopticAnnotation): sky over road, on it cars (boxes) and people (ellipses), a crowd in some."""

    def __init__(self, count: int, *, height: int = 64, width: int = 128, crowds: bool = False, things: bool = True):
        super().__init__(toy_scene(seed, height, width, crowds=crowds, things=things) for seed in range(count))


def toy_scene(seed: int, height: int, width: int, *, crowds: bool, things: bool) -> tuple[Image, PanopticAnnotation]:
    """Return the scene of a seed: the same pixels and the same annotation on every machine."""
    rng = np.random.default_rng(seed)
    horizon = height // 3
    ids = np.full((height, width), 1, np.int32)
    ids[horizon:] = 2
    class_ids = {1: SKY, 2: ROAD}
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:horizon] = (90, 150, 210)
    pixels[horizon:] = (110, 105, 110)
    for place in range(3 if things else 0):
        segment_id = 3 + place
        x = int(width * (place + 0.5) / 3 + rng.integers(-width // 20, width // 20))
        y = int(height * rng.uniform(0.5, 0.75))
        size = int(height * rng.uniform(0.15, 0.25))
        mask = np.zeros((height, width), np.uint8)
        if place == 1:
            cv2.ellipse(mask, (x, y), (size // 2, size), 0, 0, 360, 1, -1)
            class_ids[segment_id], color = PERSON, (220, 60 + rng.integers(40), 60)
        else:
            cv2.rectangle(mask, (x - size, y - size // 2), (x + size, y + size // 2), 1, -1)
            class_ids[segment_id], color = CAR, (30, 40 + rng.integers(40), 160)
        pixels[mask > 0] = color
        ids[mask > 0] = segment_id
    pixels = np.clip(pixels.astype(int) + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    crowd_ids = frozenset({3} if crowds else ())
    return Image(pixels[:, :, ::-1]), PanopticAnnotation.from_map(ids, class_ids, CITYSCAPES, crowd_ids=crowd_ids)


def small_config(**schedule) -> Config:
    """Return a network of a few 100,000 weights, trained on images of 64×128 without scaling or flipping."""
    defaults = {"epochs": 1, "batch_size": 2, "learning_rate": 0.02, "warmup_iterations": 0, "decay_epochs": ()}
    return Config(
        name="small",
        model=ModelConfig(
            backbone_width=0.35,
            backbone_depth=0.35,
            fpn_channels=32,
            semantic_channels=16,
            box_head_width=64,
            anchor_scale=4,
        ),
        test=TestConfig(long_side_px=128, short_side_px=64, min_stuff_area=16),
        data=DataConfig(crop_height_px=64, crop_width_px=128, min_scale=1.0, max_scale=1.0, flip_probability=0.0),
        schedule=ScheduleConfig(**{**defaults, **schedule}),
    )
