# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Entry points of the executables: signal handling, and a message where ROS is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opendr_panoptic_ros.ros.signals import StopSignals

if TYPE_CHECKING:
    from opendr_panoptic_ros.ros.lifecycle import ManagedNode

_INSTALL = """{executable} cannot start: {missing!r} is missing.
With ROS 2 installed: source /opt/ros/$ROS_DISTRO/setup.bash; a virtual environment needs --system-site-packages.
Without: pip install 'opendr_panoptic_ros[ros]'."""


def main(args: list[str] | None = None) -> int:
    """Run the panoptic node until SIGINT or SIGTERM.

    Args:
        args: ROS arguments; None means those of the command line.

    Returns:
        Exit status: 0, or 1 if the node cannot start, with the reason on standard error.
    """
    return _main("panoptic_node", _panoptic_node, args)


def points_main(args: list[str] | None = None) -> int:
    """Run the points node until SIGINT or SIGTERM.

    Args:
        args: ROS arguments; None means those of the command line.

    Returns:
        As `main`.
    """
    return _main("panoptic_points_node", _points_node, args)


def _panoptic_node() -> Callable[[], ManagedNode[Any]]:
    from opendr_panoptic_ros.ros.node import PanopticNode

    return PanopticNode


def _points_node() -> Callable[[], ManagedNode[Any]]:
    from opendr_panoptic_ros.ros.points_node import PointsNode

    return PointsNode


def _main(executable: str, load: Callable[[], Callable[[], ManagedNode[Any]]], args: list[str] | None) -> int:
    stop = StopSignals()
    try:
        try:
            from opendr_panoptic_ros.ros.run import run

            make_node = load()  # takes seconds, in which a signal may arrive
        except ModuleNotFoundError as error:
            print(_INSTALL.format(executable=executable, missing=error.name), file=sys.stderr)
            return 1
        return run(make_node, args, stop)
    except KeyboardInterrupt:
        return 0
    finally:
        stop.ignore_more()
