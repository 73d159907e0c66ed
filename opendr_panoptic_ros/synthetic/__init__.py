# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Synthetic street scenes with exact panoptic ground truth. `render` draws them."""
