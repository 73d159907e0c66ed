# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags without ROS: reading every kind, writing MCAP, and labelling their images."""
