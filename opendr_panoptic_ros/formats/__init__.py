# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""File formats of datasets and results: COCO panoptic, Cityscapes, submission files."""
