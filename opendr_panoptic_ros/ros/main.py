# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Entry point of the executable `panoptic_node`: signal handling, and a message where ROS is missing."""

from __future__ import annotations

import sys

from opendr_panoptic_ros.ros.signals import StopSignals

_INSTALL = """panoptic_node cannot start: {missing!r} is missing.
With ROS 2 installed: source /opt/ros/$ROS_DISTRO/setup.bash; a virtual environment needs --system-site-packages.
Without: pip install 'opendr_panoptic_ros[ros]'."""


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: ROS arguments; None means those of the command line.

    Returns:
        Exit status: 0, or 1 if the node cannot start, with the reason on standard error.
    """
    stop = StopSignals()
    try:
        try:
            from opendr_panoptic_ros.ros.run import run  # takes seconds, in which a signal may arrive
        except ModuleNotFoundError as error:
            print(_INSTALL.format(missing=error.name), file=sys.stderr)
            return 1
        return run(args, stop)
    except KeyboardInterrupt:
        return 0
    finally:
        stop.ignore_more()
