# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Started by torchrun in test_runner.py: trains on pickled scenes, and the first process leaves its history."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import torch
from support.random_weights import seed_weights_

from opendr_panoptic_ros.config import Config
from opendr_panoptic_ros.network import EfficientPS
from opendr_panoptic_ros.training.runner import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    config, scenes = pickle.loads((folder / "job.pickle").read_bytes())  # made by the test a moment ago
    network = EfficientPS.from_config(Config.from_dict(config))
    # Not initialise_weights_: its first objectness scores are so alike that rounding decides which box is suppressed.
    seed_weights_(network, 7)
    train(network, scenes, scenes[:2], work_dir=folder / "run", seed=5, device="cpu", silent=True)
