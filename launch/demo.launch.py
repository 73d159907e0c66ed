# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Start the node with a demo camera, which publishes a synthetic drive or a video in a loop, and RViz.

ros2 launch opendr_panoptic_ros demo.launch.py video:=drive.mp4 checkpoint:=model_cityscapes.pth

Accepts the arguments of panoptic.launch.py too. The launch ends when one of its processes ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from opendr_panoptic_ros.demo.dds import profile_variable
from opendr_panoptic_ros.ros.virtual_env import activation, find_virtual_env

SHARE = FindPackageShare("opendr_panoptic_ros")


def generate_launch_description() -> LaunchDescription:
    """Start the demo camera, the node and RViz."""
    panoptic = PathJoinSubstitution([SHARE, "launch", "panoptic.launch.py"])
    arguments = {
        "video": ("", "Video file or folder of images. Empty: a synthetic drive."),
        "image_topic": ("/image_raw", "Topic on which the demo camera publishes and which the node subscribes to."),
        "rviz": ("true", "Whether to open RViz, if there is a display: true or false."),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            *_dds_profile(),
            RegisterEventHandler(OnProcessExit(on_exit=[Shutdown(reason="a process of the demo has ended")])),
            IncludeLaunchDescription(PythonLaunchDescriptionSource([panoptic])),
            OpaqueFunction(function=_demo_camera),
        ]
    )


def _dds_profile() -> list[SetEnvironmentVariable]:
    """Select the Fast DDS profile for large images, unless the user has selected one."""
    variable = profile_variable()
    profile = PathJoinSubstitution([SHARE, "config", "fastdds_large_images.xml"])
    return [SetEnvironmentVariable(variable, profile)] if variable else []


def _demo_camera(context: LaunchContext) -> list[Node]:
    """Return the node that publishes the video, on the topic `image_topic`."""
    video = ParameterValue(LaunchConfiguration("video"), value_type=str)
    prefix = Path(get_package_prefix("opendr_panoptic_ros"))
    folder = find_virtual_env(context.launch_configurations.get("venv", ""), prefix, os.environ)
    camera = Node(
        package="opendr_panoptic_ros",
        executable="demo_camera",
        remappings=[("image_raw", LaunchConfiguration("image_topic"))],
        parameters=[{"video": video, "loop": True}],
        additional_env={} if folder is None else activation(folder, os.environ),
        output="screen",
    )
    return [camera]
