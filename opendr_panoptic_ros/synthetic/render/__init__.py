# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Drawing of the synthetic street scenes: camera, light, street, objects, traffic and lens.

World axes: x to the right, y up, z along the street, in metres; the ground is y = 0. Local axes of an object: x to its
right, y up, z to its front. Angles are in radians, colours RGB from 0 to 255 unless stated otherwise.
"""
