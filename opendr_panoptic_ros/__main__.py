# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`python -m opendr_panoptic_ros`: the command `opendr-panoptic`, also for torchrun."""

from opendr_panoptic_ros.cli.main import main

main()
