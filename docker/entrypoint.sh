#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# Run a command in the environment of ROS 2 Jazzy and of this package.
set -e
. /opt/ros/jazzy/setup.bash
. /opt/panoptic/setup.bash
exec "$@"
