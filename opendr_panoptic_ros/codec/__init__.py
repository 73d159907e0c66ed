# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Conversion between ROS image messages and NumPy arrays. Works without ROS."""
