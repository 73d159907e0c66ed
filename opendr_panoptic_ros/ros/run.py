# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A ROS context with one node in it, from start to end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from opendr_panoptic_ros.ros.node import PanopticNode

if TYPE_CHECKING:
    from opendr_panoptic_ros.ros.main import StopSignals

_SIGNAL_NOTICED_S = 0.2


def run(args: list[str] | None, stop: StopSignals) -> int:
    """Run the node until a signal arrives. 0, or 1 when it cannot start; standard error then says why.

    Raises KeyboardInterrupt when the signal comes while the node starts, with everything cleaned up.
    """
    try:
        # rclpy's own handlers would close the context at once, and the frame in work could not be answered any more.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # arguments after --ros-args that are none, a file of parameters that is missing
        return _cannot_start(error)
    node = None
    try:
        node = PanopticNode()
        return _serve(node, stop)
    except ParameterException as error:
        return _cannot_start(error)
    except ExternalShutdownException:
        return 0
    finally:
        stop.ignore_more()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def _serve(node: PanopticNode, stop: StopSignals) -> int:
    if not node.get_parameter("autostart").value:
        name = node.get_fully_qualified_name()
        node.get_logger().info(f"Unconfigured, as autostart is off. Next: ros2 lifecycle set {name} configure")
    elif not node.start():
        return 1
    stop.raises = False  # in the middle of rclpy's work it would leave half-made things behind
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.arrived:
        executor.spin_once(timeout_sec=_SIGNAL_NOTICED_S)  # Python handles a signal between two waits
    return 0


def _cannot_start(error: Exception) -> int:
    print(f"panoptic_node cannot start: {error}", file=sys.stderr)
    return 1
