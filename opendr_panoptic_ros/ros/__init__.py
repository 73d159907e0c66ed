# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The ROS 2 node: image messages in, label images and `PanopticSegmentation` messages out. Needs rclpy."""
