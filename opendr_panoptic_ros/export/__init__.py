# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Labelled bags as datasets for people and tools, and summaries of them."""
