# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The parts of the synthetic street scenes: camera, drawing, objects, street, traffic, light and lens."""
