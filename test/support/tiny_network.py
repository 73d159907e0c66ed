# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A tiny network whose seed finds instances in noise and among the pedestrians."""

from __future__ import annotations

from pathlib import Path

from opendr_panoptic_ros.checkpoint import save_checkpoint
from opendr_panoptic_ros.config import Config, ModelConfig, TestConfig
from opendr_panoptic_ros.network import EfficientPS
from support.random_weights import seed_weights_


def tiny_network() -> EfficientPS:
    """Return a network of a few 10,000 weights with deterministic random values."""
    model = ModelConfig(
        backbone_width=0.25,
        backbone_depth=0.3,
        fpn_channels=16,
        semantic_channels=16,
        box_head_width=32,
        anchor_scale=4,
    )
    test = TestConfig(long_side_px=128, short_side_px=64, min_stuff_area=16, max_detections=20, rpn_max_proposals=100)
    network = EfficientPS.from_config(Config(name="tiny", model=model, test=test))
    seed_weights_(network, 1)
    return network


def write_tiny_checkpoint(folder: Path) -> Path:
    """Save the tiny network in `folder` and return the file."""
    path = folder / "tiny.safetensors"
    save_checkpoint(tiny_network(), path)
    return path
