# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The node at work without a camera: a synthetic drive or a video in a loop, the node, and RViz.

ros2 launch opendr_panoptic_ros demo.launch.py video:=drive.mp4 checkpoint:=model_cityscapes.pth

Takes the arguments of panoptic.launch.py as well. It ends when any of its processes ends.
"""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import FindExecutable, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from opendr_panoptic_ros.demo.dds import profile_variable

SHARE = FindPackageShare("opendr_panoptic_ros")


def generate_launch_description() -> LaunchDescription:
    """The image source, the node, RViz."""
    panoptic = PathJoinSubstitution([SHARE, "launch", "panoptic.launch.py"])
    arguments = {
        "video": ("", "video file or folder of images; empty: a synthetic drive"),
        "image_topic": ("/image_raw", "topic on which the images are published, and from which the node takes them"),
        "rviz": ("true", "whether RViz opens, where there is a display"),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            *_room_for_images(),
            RegisterEventHandler(OnProcessExit(on_exit=[Shutdown(reason="one of the demo's processes has ended")])),
            IncludeLaunchDescription(PythonLaunchDescriptionSource([panoptic])),
            OpaqueFunction(function=_source),
        ]
    )


def _room_for_images() -> list[SetEnvironmentVariable]:
    """Shared memory that holds an image, unless the user has chosen a profile; config/ says what it is good for."""
    variable = profile_variable()
    profile = PathJoinSubstitution([SHARE, "config", "fastdds_large_images.xml"])
    return [SetEnvironmentVariable(variable, profile)] if variable else []


def _source(context: LaunchContext) -> list[Any]:
    given = context.launch_configurations
    return [
        ExecuteProcess(
            # The python3 of the environment, as in the executables' first line; launch itself may run on another.
            cmd=[FindExecutable(name="python3"), "-m", "opendr_panoptic_ros.demo.camera", "--loop"]
            + ["--topic", given["image_topic"]]
            + (["--video", given["video"]] if given["video"] else []),
            name="demo_camera",
            output="screen",
        )
    ]
