# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Runs one node in a ROS context, from initialisation to shutdown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.ros import context
from opendr_panoptic_ros.ros.lifecycle import ManagedNode
from opendr_panoptic_ros.ros.memory import keep_freed_memory
from opendr_panoptic_ros.ros.signals import StopSignals

_SIGNAL_POLL_S = 0.2


def run(make_node: Callable[[], ManagedNode[Any]], args: list[str] | None, stop: StopSignals) -> int:
    """Run a node until a signal arrives.

    Args:
        make_node: Makes the node, once ROS is initialised.
        args: ROS arguments; None means those of the command line.
        stop: Signal handling of this process.

    Returns:
        Exit status: 0, or 1 if the node cannot start, with the reason on standard error.

    Raises:
        KeyboardInterrupt: A signal arrived while the node was starting. Everything has been cleaned up.
    """
    keep_freed_memory()
    try:
        context.init(args)
    except PanopticError as error:  # invalid arguments after --ros-args, a missing parameter file, or the environment
        return _report_start_failure(error)
    node = None
    try:
        stop.raises = False  # the constructor takes a moment, and an exception inside of it would leave it half-made
        node = make_node()
        stop.raises = True  # loading the network takes long
        if stop.arrived:
            return 0
        return _run_node(node, stop)
    except ParameterException as error:
        return _report_start_failure(error)
    except ExternalShutdownException:
        return 0
    finally:
        stop.ignore_more()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def _run_node(node: ManagedNode[Any], stop: StopSignals) -> int:
    if not node.get_parameter("autostart").value:
        name = node.get_fully_qualified_name()
        node.get_logger().info(f"Unconfigured, as autostart is off. Next: ros2 lifecycle set {name} configure")
    elif not node.start():
        return 1
    stop.raises = False  # an exception inside of rclpy would leave objects half-made
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.arrived and node.context.ok():
        _spin_once(executor, node)
    return 0


def _spin_once(executor: SingleThreadedExecutor, node: ManagedNode[Any]) -> None:
    """Run one callback. A message that a callback cannot handle must not end the node."""
    try:
        executor.spin_once(timeout_sec=_SIGNAL_POLL_S)  # Python handles a signal between two waits
    except ExternalShutdownException:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        node.report_callback_error(error)


def _report_start_failure(error: Exception) -> int:
    print(f"{Path(sys.argv[0]).name} cannot start: {error}", file=sys.stderr)
    return 1
