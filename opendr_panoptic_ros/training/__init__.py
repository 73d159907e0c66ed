# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Training, on mmdet and mmengine. It trains the weights of `network/`: what was trained is what runs."""
