# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The panoptic segmentation node on one camera or several, and RViz if wanted.

ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/camera/image_raw
ros2 launch opendr_panoptic_ros panoptic.launch.py cameras:=front,rear image_topic:=/front/rgb,/rear/rgb
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

PACKAGE = "opendr_panoptic_ros"
DEFAULT_IMAGE_TOPIC = "/image_raw"
EACH_DEFAULT = f"as in /a,/b; {DEFAULT_IMAGE_TOPIC} then stands for /NAME{DEFAULT_IMAGE_TOPIC}"
TOPIC = re.compile(r"~?/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
VIEWED = ("rgb_visualization", "semantic_color", "instance_color")
"""The outputs that config/panoptic.rviz shows, below /opendr/panoptic."""

# Each stands for the parameter of that name. Left empty, the value of the parameter file stays.
OVERRIDES = {
    "checkpoint": "weights: a file, a directory of OpenDR, or a name",
    "config": "configuration: a YAML file or the name of a preset",
    "device": "where the network runs: auto, cpu, cuda, cuda:1",
    "autostart": "true, or false: wait for a lifecycle manager",
}


def generate_launch_description() -> LaunchDescription:
    """The node under a namespace, with its parameter file, subscribed to its image topics."""
    arguments = {
        "namespace": ("opendr", "namespace of the node and its outputs"),
        "image_topic": (DEFAULT_IMAGE_TOPIC, f"topic of the images; with cameras one for each, {EACH_DEFAULT}"),
        "cameras": ("", "names of the cameras, as in front,rear; empty: the parameter file's"),
        "params_file": (
            PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "panoptic_node.yaml"]),
            "the node's parameters",
        ),
        **{name: ("", f"{text}; empty: the parameter file's") for name, text in OVERRIDES.items()},
        "rviz": ("false", "whether RViz opens, on the first camera"),
        "log_level": ("info", "debug, info, warn, error or fatal; or LOGGER:=LEVEL"),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            OpaqueFunction(function=_actions),
        ]
    )


def _actions(context: LaunchContext) -> list[Any]:
    """The node, and RViz or the reason why it does not open."""
    given = context.launch_configurations
    if not Path(given["params_file"]).is_file():  # launch would only warn, and start the node with other parameters
        raise ValueError(f"params_file:={given['params_file']}: there is no such file.")
    cameras = [name.strip().strip("/") for name in given["cameras"].split(",")]
    topics = _image_topics(given["image_topic"], cameras)
    # launch would start the node with these, which then could not say which argument is wrong.
    _check_names("cameras", given, cameras if any(cameras) else [], "a part of a topic")
    _check_names("image_topic", given, topics, "a topic")
    _check_names("namespace", given, [given["namespace"]], "a topic")
    # ParameterValue: launch would make a number of a checkpoint named 1.
    parameters: dict[str, Any] = {
        name: _is_true(given, name) if name == "autostart" else ParameterValue(given[name], value_type=str)
        for name in OVERRIDES
        if given[name]
    }
    if any(cameras):
        parameters["cameras"] = ParameterValue(cameras, value_type=list[str])
    remappings = []
    for camera, topic in zip(cameras, topics, strict=True):
        prefix = f"{camera}/" if camera else ""
        folder, slash, _ = topic.rpartition("/")
        remappings += [(f"{prefix}image_raw", topic), (f"{prefix}camera_info", f"{folder}{slash}camera_info")]
    node = Node(
        package=PACKAGE,
        executable="panoptic_node",
        namespace=given["namespace"],
        parameters=[given["params_file"], parameters],
        remappings=remappings,
        ros_arguments=["--log-level", given["log_level"]],
        output="screen",
    )
    if not _is_true(given, "rviz"):
        return [node]
    namespace = make_namespace_absolute(prefix_namespace(given.get("ros_namespace"), given["namespace"])).rstrip("/")
    return [node, _rviz(namespace, cameras[0], topics[0])]


def _check_names(argument: str, given: dict[str, str], names: list[str], what: str) -> None:
    for name in names:
        if not TOPIC.fullmatch(name):
            raise ValueError(f"{argument}:={given[argument]} has {name!r}, which cannot be {what}.")
    if argument == "cameras" and len(set(names)) < len(names):
        raise ValueError(f"cameras:={given[argument]} names a camera twice.")


def _is_true(given: dict[str, str], name: str) -> bool:
    if given[name].lower() not in {"true", "false"}:
        raise ValueError(f"{name}:={given[name]}; expected true or false.")
    return given[name].lower() == "true"


def _image_topics(image_topic: str, cameras: list[str]) -> list[str]:
    """The image topic of each camera.

    Raises ValueError when there are not as many topics as cameras.
    """
    topics = [topic.strip() for topic in image_topic.split(",")]
    if topics == [DEFAULT_IMAGE_TOPIC]:
        return [f"/{name}{topics[0]}" if name else topics[0] for name in cameras]
    if len(topics) != len(cameras):
        raise ValueError(
            f"image_topic:={image_topic} names {len(topics)} topic(s) for {len(cameras)} camera(s); expected one for "
            "each, as in cameras:=front,rear image_topic:=/front/image_raw,/rear/image_raw."
        )
    return topics


def _rviz(namespace: str, camera: str, image_topic: str) -> Node | LogInfo:
    """RViz on this camera, or a line that says why not. namespace: absolute, without a slash at its end."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return LogInfo(msg="RViz does not open: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set).")
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return LogInfo(msg="RViz does not open: rviz2 is not installed.")
    if not image_topic.startswith("/"):
        image_topic = f"{namespace}/{image_topic}"
    outputs = f"{namespace}/{camera}/panoptic" if camera else f"{namespace}/panoptic"
    viewed = {"/image_raw": image_topic, **{f"/opendr/panoptic/{name}": f"{outputs}/{name}" for name in VIEWED}}
    return Node(
        package="rviz2",
        executable="rviz2",
        name="panoptic_rviz",
        arguments=["-d", PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "panoptic.rviz"])],
        remappings=[(shown, actual) for shown, actual in viewed.items() if shown != actual],
    )
