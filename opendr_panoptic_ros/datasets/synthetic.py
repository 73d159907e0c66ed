# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Public import path of the synthetic scenes; they live in `opendr_panoptic_ros.synthetic`."""

from opendr_panoptic_ros.synthetic.drive import SyntheticDrive
from opendr_panoptic_ros.synthetic.scenes import EVALUATION_SEEDS_FROM, VALIDATION_SEEDS_FROM, SyntheticScenes
from opendr_panoptic_ros.synthetic.writer import write_cityscapes

__all__ = ["EVALUATION_SEEDS_FROM", "VALIDATION_SEEDS_FROM", "SyntheticDrive", "SyntheticScenes", "write_cityscapes"]
