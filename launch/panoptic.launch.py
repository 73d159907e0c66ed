# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Start the panoptic segmentation node for one or several cameras, and optionally RViz.

ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/camera/image_raw
ros2 launch opendr_panoptic_ros panoptic.launch.py cameras:=front,rear image_topic:=/front/rgb,/rear/rgb
ros2 launch opendr_panoptic_ros panoptic.launch.py points:=depth points_topic:=/camera/depth/image_rect
"""

from __future__ import annotations

import itertools
import os
import re
import sys
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

from opendr_panoptic_ros.ros.virtual_env import activation, find_virtual_env

PACKAGE = "opendr_panoptic_ros"
DEFAULT_IMAGE_TOPIC = "/image_raw"
TOPIC = re.compile(r"~?/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
VIEWED = ("rgb_visualization", "semantic_color", "instance_color", "mask", "confidence", "points", "markers")
"""The outputs that config/panoptic.rviz shows, below /opendr/panoptic."""
POINTS_TOPICS = {"depth": "depth/image_rect", "lidar": "points"}
"""Input topic of the points node by value of the argument points."""

OVERRIDES: dict[str, tuple[type, str]] = {
    "checkpoint": (str, "Network weights: a file, an OpenDR model folder, or a name."),
    "config": (str, "Network configuration: a YAML file or the name of a preset."),
    "device": (str, "Device of the network: auto, cpu, cuda or cuda:N."),
    "backend": (str, "Inference runtime of the network: auto or the name of a back end."),
    "score_threshold": (float, "Minimum detection score of an instance, 0 to 1."),
    "overlap_threshold": (float, "Maximum share of an instance covered by instances of higher score, 0 to 1."),
    "min_stuff_area": (int, "Minimum area of a stuff segment, in pixels at the network's input size."),
    "label_map": (str, "Ids, names and groups of classes: a YAML file, identity, cityscapes_ids or navigation."),
    "track_ids": (bool, "Whether instances keep their ids over the frames of a camera: true or false."),
    "image_rotation": (int, "Degrees clockwise that make the images upright: 0, 90, 180 or 270."),
    "autostart": (bool, "Whether the node configures and activates itself: true or false."),
    "use_sim_time": (bool, "Whether the time is taken from /clock: true or false."),
}
"""Launch arguments that override the parameter of the same name: its type and the argument's description."""

ADDED_ARGUMENTS: dict[str, set[str]] = {"panoptic.launch.py": set(), "demo.launch.py": {"video"}}
"""The launch files of this package, and the arguments each declares in addition to those of this file."""


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node, and RViz if requested."""
    arguments = {
        "namespace": ("opendr", "Namespace of the node and its outputs."),
        "image_topic": (
            DEFAULT_IMAGE_TOPIC,
            f"Image topic; with cameras, one for each: /a,/b. {DEFAULT_IMAGE_TOPIC} means /NAME{DEFAULT_IMAGE_TOPIC}.",
        ),
        "cameras": ("", "Camera names, for example front,rear. Empty: the value of the parameter file."),
        "params_file": (
            PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "panoptic_node.yaml"]),
            "Parameter file of the node.",
        ),
        **{name: ("", f"{text} Empty: the value of the parameter file.") for name, (_, text) in OVERRIDES.items()},
        "points": ("", "Also start the node of labelled points: depth or lidar. Empty: no."),
        "points_topic": (
            "",
            "Depth image (with camera_info) or LiDAR cloud, one for each camera. Empty: depth/image_rect or points.",
        ),
        "venv": (
            "",
            "Virtual environment of the Python packages, or none. Empty: the active one, or .venv of the workspace.",
        ),
        "rviz": ("false", "Whether to open RViz on the first camera: true or false."),
        "log_level": ("info", "Log level: debug, info, warn, error or fatal; or LOGGER:=LEVEL."),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            OpaqueFunction(function=_actions, args=[set(arguments)]),
        ]
    )


def _actions(context: LaunchContext, arguments: set[str]) -> list[Any]:
    """Return the node and, if requested, RViz or a message with the reason why it does not open."""
    given = context.launch_configurations
    _check_arguments(sys.argv, arguments)
    if not Path(given["params_file"]).is_file():  # launch would only warn and start the node with its defaults
        raise ValueError(f"params_file:={given['params_file']}: there is no such file.")
    cameras = [name.strip().strip("/") for name in given["cameras"].split(",")]
    topics = _image_topics(given["image_topic"], cameras)
    # launch would start the node with invalid names, and the node's error would not name the launch argument.
    _check_names("cameras", given, cameras if any(cameras) else [], "a part of a topic")
    _check_names("image_topic", given, topics, "a topic")
    _check_names("namespace", given, [given["namespace"]], "a topic")
    parameters: dict[str, Any] = {
        # Without value_type, launch would convert a checkpoint named "1" to a number.
        name: ParameterValue(_value(given, name, value_type), value_type=value_type)
        for name, (value_type, _) in OVERRIDES.items()
        if given[name]
    }
    if any(cameras):
        parameters["cameras"] = ParameterValue(cameras, value_type=list[str])
    remappings = []
    for camera, topic in zip(cameras, topics, strict=True):
        prefix = f"{camera}/" if camera else ""
        folder, slash, _ = topic.rpartition("/")
        remappings += [(f"{prefix}image_raw", topic), (f"{prefix}camera_info", f"{folder}{slash}camera_info")]
    environment = _environment(given["venv"])
    node = Node(
        package=PACKAGE,
        executable="panoptic_node",
        namespace=given["namespace"],
        parameters=[given["params_file"], parameters],
        remappings=remappings,
        ros_arguments=["--log-level", given["log_level"]],
        additional_env=environment,
        output="screen",
    )
    nodes: list[Any] = [node, *_points_nodes(given, cameras, topics, environment)]
    if environment and environment["VIRTUAL_ENV"] != os.environ.get("VIRTUAL_ENV"):
        nodes.insert(0, LogInfo(msg=f"The node uses the virtual environment {environment['VIRTUAL_ENV']}."))
    if not _value(given, "rviz", bool):
        return nodes
    namespace = make_namespace_absolute(prefix_namespace(given.get("ros_namespace"), given["namespace"])).rstrip("/")
    sim_time = {name: parameters[name] for name in ("use_sim_time",) if name in parameters}
    return [*nodes, _rviz(namespace, cameras[0], topics[0], sim_time)]


def _points_nodes(
    given: dict[str, str], cameras: list[str], image_topics: list[str], environment: dict[str, str]
) -> list[Node]:
    """Return a node of labelled points for each camera, if requested, or raise ValueError for wrong arguments."""
    source = given["points"]
    if not source:
        return []
    if source not in POINTS_TOPICS:
        raise ValueError(f"points:={source}; expected depth, lidar or nothing.")
    default = POINTS_TOPICS[source]
    topics = [topic.strip() for topic in given["points_topic"].split(",")] if given["points_topic"] else []
    _check_names("points_topic", given, topics, "a topic")
    if topics and len(topics) != len(cameras):
        raise ValueError(
            f"points_topic:={given['points_topic']} names {len(topics)} topic(s) for {len(cameras)} camera(s); "
            "expected one for each."
        )
    parameters: dict[str, Any] = {"source": source}
    for name in ("autostart", "use_sim_time"):
        if given[name]:
            parameters[name] = _value(given, name, bool)
    nodes = []
    for camera, image_topic, topic in zip(cameras, image_topics, topics or [default] * len(cameras), strict=True):
        beside = (topic if source == "depth" else image_topic).rpartition("/")
        info = f"{beside[0]}{beside[1]}camera_info"
        remappings = [(default, topic), ("depth/camera_info" if source == "depth" else "camera_info", info)]
        nodes.append(
            Node(
                package=PACKAGE,
                executable="panoptic_points_node",
                namespace=f"{given['namespace']}/{camera}".rstrip("/"),
                parameters=[given["params_file"], parameters],
                remappings=[(name, actual) for name, actual in remappings if name != actual],
                ros_arguments=["--log-level", given["log_level"]],
                additional_env=environment,
                output="screen",
            )
        )
    return nodes


def _environment(venv: str) -> dict[str, str]:
    """Return the variables that activate the virtual environment for the node; none if there is no environment."""
    folder = find_virtual_env(venv, Path(get_package_prefix(PACKAGE)), os.environ)
    return {} if folder is None else activation(folder, os.environ)


def _check_arguments(command_line: list[str], arguments: set[str]) -> None:
    """Refuse arguments that do not exist, which `ros2 launch` would ignore.

    Arguments are checked only if the command line starts a launch file of this package: a file of another package that
    includes this one has arguments of its own.

    Args:
        command_line: Words of the command line.
        arguments: Names of the arguments of this file.

    Raises:
        ValueError: An argument does not exist.
    """
    here = Path(__file__).resolve().parent
    for before, word in itertools.pairwise(command_line):
        file = Path(word)
        if file.name in ADDED_ARGUMENTS and (before == PACKAGE or file.resolve().parent == here):
            known = sorted(arguments | ADDED_ARGUMENTS[file.name])
            given = [name for name, separator, _ in (word.partition(":=") for word in command_line) if separator]
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ValueError(f"{file.name} has no argument {unknown[0]}; expected one of {', '.join(known)}.")


def _check_names(argument: str, given: dict[str, str], names: list[str], what: str) -> None:
    for name in names:
        if not TOPIC.fullmatch(name):
            raise ValueError(f"{argument}:={given[argument]} has {name!r}, which cannot be {what}.")
    if argument == "cameras" and len(set(names)) < len(names):
        raise ValueError(f"cameras:={given[argument]} names a camera twice.")


def _value(given: dict[str, str], name: str, value_type: type) -> Any:
    """Convert the text of an argument, or raise ValueError if it is not of the type."""
    text = given[name]
    if value_type is bool:
        if text.lower() not in {"true", "false"}:
            raise ValueError(f"{name}:={text}; expected true or false.")
        return text.lower() == "true"
    try:
        return value_type(text)
    except ValueError:
        raise ValueError(f"{name}:={text}; expected {'an integer' if value_type is int else 'a number'}.") from None


def _image_topics(image_topic: str, cameras: list[str]) -> list[str]:
    """Return the image topic of each camera, or raise ValueError if the numbers of topics and cameras differ."""
    topics = [topic.strip() for topic in image_topic.split(",")]
    if topics == [DEFAULT_IMAGE_TOPIC]:
        return [f"/{name}{topics[0]}" if name else topics[0] for name in cameras]
    if len(topics) != len(cameras):
        raise ValueError(
            f"image_topic:={image_topic} names {len(topics)} topic(s) for {len(cameras)} camera(s); expected one for "
            "each, as in cameras:=front,rear image_topic:=/front/image_raw,/rear/image_raw."
        )
    return topics


def _rviz(namespace: str, camera: str, image_topic: str, parameters: dict[str, Any]) -> Node | LogInfo:
    """Return RViz for a camera, or a log message if it cannot open.

    Args:
        namespace: Absolute namespace of the node, without a trailing slash.
        camera: Name of the camera; empty for the only one.
        image_topic: Image topic of the camera, absolute or relative to the namespace.
        parameters: Parameters of RViz.
    """
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
        parameters=[parameters] if parameters else None,
        remappings=[(shown, actual) for shown, actual in viewed.items() if shown != actual],
    )
