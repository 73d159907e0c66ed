# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic play`: a bag on real topics, for machines without rosbag2."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opendr_panoptic_ros.cli.common import user_errors
from opendr_panoptic_ros.errors import PanopticError

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher
    from rclpy.qos import QoSProfile

    from opendr_panoptic_ros.bags.reader import BagReader, Topic

_DELIVERY_S = 10.0
_MESSAGE_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)", re.ASCII)


def play(
    source: Annotated[Path, typer.Argument(metavar="BAG", help="ROS 1 .bag; rosbag2 folder, .mcap or .db3.")],
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be repeated.")] = None,
    rate: Annotated[float, typer.Option(min=1e-3, help="Speed: 2 is twice as fast as recorded.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end, until Ctrl-C.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Longest time in seconds to wait until every topic has a subscriber.")
    ] = 3.0,
) -> None:
    """Publish the messages of a bag on their topics at the recorded pace, with unchanged header stamps.

    From a ROS 1 bag, only images and camera infos are published.
    """
    with user_errors():
        if find_spec("rclpy") is None:
            raise PanopticError(
                "play needs ROS 2; there is no rclpy. Source a ROS 2 installation, or run `make setup`."
            )
        from opendr_panoptic_ros.bags.reader import BagReader, count_by_topic
        from opendr_panoptic_ros.ros.context import ros_node

        with BagReader(source.expanduser()) as reader, ros_node("bag_player") as node:
            for warning in reader.warnings:
                typer.echo(warning, err=True)
            missing = set(topic or ()) - set(reader.topics)
            if missing:
                known = count_by_topic(reader.topics)
                raise PanopticError(
                    f"The bag has no {', '.join(missing)} that can be published, but: {known}. From a ROS 1 bag, only "
                    "images and camera infos can be published."
                )
            publishers = _publishers(node, [reader.topics[name] for name in topic or reader.topics])
            if not any(reader.topics[name].message_count for name in publishers):
                raise PanopticError(f"There is nothing to publish. The bag's topics: {count_by_topic(reader.topics)}.")
            deadline_s = time.monotonic() + wait
            while not all(p.get_subscription_count() for p in publishers.values()) and time.monotonic() < deadline_s:
                time.sleep(0.02)
            count = _publish(reader, publishers, rate)
            while loop:
                count += _publish(reader, publishers, rate)
            for publisher in publishers.values():
                _wait_for_delivery(publisher)
            typer.echo(f"{count} messages published on {', '.join(publishers)}")
            if reader.damage:
                raise PanopticError("\n".join(reader.damage))


def _publishers(node: Node, topics: list[Topic]) -> dict[str, Publisher[Any]]:
    """Return publishers by topic. Topics that cannot be published are named on standard error and left out."""
    from rclpy.exceptions import InvalidTopicNameException

    publishers = {}
    for topic in topics:
        try:
            topic.check_type()
        except PanopticError as error:
            typer.echo(f"left out: {error}", err=True)
            continue
        message_type = _message_type(topic.type_name)
        if message_type is None:
            typer.echo(f"{topic.name} is left out: {topic.type_name} is not installed.", err=True)
            continue
        try:
            publishers[topic.name] = node.create_publisher(message_type, topic.name, _qos(topic))
        except (InvalidTopicNameException, ValueError):
            typer.echo(f"{topic.name!r} is left out: ROS 2 does not allow this topic name.", err=True)
    return publishers


def _message_type(type_name: str) -> type | None:
    """Return the class of an installed message type, or None.

    A bag can name any module: only packages that the ament index lists as message packages are imported.
    """
    match = _MESSAGE_TYPE.fullmatch(type_name)
    if match is None or not _has_messages(match[1]):
        return None
    try:
        found: type | None = getattr(importlib.import_module(f"{match[1]}.msg"), match[2], None)
    except ImportError:
        return None
    return found


def _has_messages(package: str) -> bool:
    """Return whether the ament index lists `package` as one with messages."""
    # ROS wheels install their index into the environment's prefix, which AMENT_PREFIX_PATH need not name.
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    index = Path("share", "ament_index", "resource_index", "rosidl_interfaces", package)
    return any((prefix / index).is_file() for prefix in map(Path, prefixes))


def _qos(topic: Topic) -> QoSProfile:
    """Return a profile that is reliable, which matches every subscriber, and latched if it was recorded so."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from rosbags.interfaces import QosDurability

    latched = any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in topic.qos)
    return QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE)


def _publish(reader: BagReader, publishers: dict[str, Publisher[Any]], rate: float) -> int:
    """Publish all messages once, as they were serialized, and return their number."""
    count, start_s, start_ns = 0, 0.0, 0
    for message in reader.messages(publishers):
        if count == 0:  # opening the bag and the first conversion take a while
            start_s, start_ns = time.monotonic(), message.time_ns
        time.sleep(max(0.0, start_s + (message.time_ns - start_ns) / 1e9 / rate - time.monotonic()))
        publishers[message.topic].publish(bytes(message.data))
        count += 1
    return count


def _wait_for_delivery(publisher: Publisher[Any]) -> None:
    """Wait until reliable subscribers have received everything: messages not yet sent are lost with the process."""
    from rclpy.duration import Duration

    publisher.wait_for_all_acked(Duration(seconds=_DELIVERY_S))
