# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Starting ROS: a context, with errors of the environment in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from opendr_panoptic_ros.errors import PanopticError

_MAX_DOMAIN_ID = 232
"""Larger ones would need UDP ports above 65535 (RTPS 2.5, section 9.6.2.4)."""

_LOG_FOLDER = "ROS needs a folder for its logs that it can write to: set HOME, or ROS_LOG_DIR"


def init(args: Sequence[str] | None = None, *, context: Context | None = None) -> None:
    """Initialize ROS without its signal handlers, which would close the context in the middle of the work.

    Args:
        args: Command line with ROS arguments; that of the process when None.
        context: The context to initialize; the default one when None.

    Raises:
        PanopticError: The environment or the ROS arguments do not allow it.
    """
    domain_id = os.environ.get("ROS_DOMAIN_ID", "")
    # Fast DDS would end the process with an error of its own for one that is too large.
    if domain_id and not (domain_id.isascii() and domain_id.isdigit() and int(domain_id) <= _MAX_DOMAIN_ID):
        raise PanopticError(
            f"ROS_DOMAIN_ID is {domain_id[:40]!r}; expected a whole number from 0 to {_MAX_DOMAIN_ID}. "
            "Set it to one, or unset it."
        )
    if not any(os.environ.get(name) for name in ("ROS_LOG_DIR", "ROS_HOME", "HOME")):  # rcl would print 12 lines
        raise PanopticError(f"ROS cannot start: failed to initialize logging: HOME is not set. {_LOG_FOLDER}.")
    try:
        rclpy.init(
            args=None if args is None else list(args), context=context, signal_handler_options=SignalHandlerOptions.NO
        )
    except RuntimeError as error:  # RCLError is one
        reason = str(error).partition(", at /")[0]
        if "logging" in reason:
            reason += f". {_LOG_FOLDER}"
        raise PanopticError(f"ROS cannot start: {reason}.") from error


@contextmanager
def ros_node(name: str) -> Iterator[Node]:
    """Yield a node in a context of its own; both are destroyed at the end.

    Args:
        name: Name of the node.

    Raises:
        PanopticError: As `init`.
    """
    context = Context()
    init(context=context, args=[])
    node = Node(name, context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
