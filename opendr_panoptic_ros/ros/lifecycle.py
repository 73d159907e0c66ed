# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ManagedNode: what the parts of the node need of it, on top of rclpy's lifecycle node."""

from __future__ import annotations

import math
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode
from typing_extensions import override

from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.settings import read_parameters

if TYPE_CHECKING:
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.parameter import Parameter

_SAME_ERROR_S = 5.0


class ManagedNode(LifecycleNode):
    """A lifecycle node with consistent settings, throttled error logs, and a service that refuses wrong transitions.

    Args:
        name: Name of the node.
        options: Keyword arguments of `rclpy.lifecycle.LifecycleNode`, such as `context`.

    Attributes:
        callback_errors: Number of errors that callbacks have raised.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._settings_lock = threading.RLock()
        self._reported_s: dict[str, float] = {}
        self.callback_errors = 0
        super().__init__(name, **options)

    @property
    def state(self) -> str:
        """State of the lifecycle: unconfigured, inactive, active, finalized, or the name of a transition."""
        # rclpy has no public accessor.
        return str(self._state_machine.current_state[1])

    def settings(self) -> NodeParameters:
        """Return the present parameters. Of parameters that are set together, either all or none have been updated.

        May be called by any thread.
        """
        with self._settings_lock:
            return read_parameters(self)

    @override
    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        with self._settings_lock:
            return super().set_parameters_atomically(parameter_list)

    def report_error(self, source: str, text: str) -> None:
        """Log an error, at most every 5 s for each source. May be called by any thread.

        Args:
            source: Name of the source. (The throttle of rclpy would be a single one for all sources.)
            text: The text to log.
        """
        now_s = time.monotonic()
        if now_s - self._reported_s.get(source, -math.inf) >= _SAME_ERROR_S:
            self._reported_s[source] = now_s
            self.get_logger().error(text)

    def report_callback_error(self, error: Exception) -> None:
        """Count and log an error that a callback raised, such as that of a message rclpy cannot convert.

        Args:
            error: The error.
        """
        self.callback_errors += 1
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        self.report_error("callbacks", f"A callback failed; the node continues. {describe(error)}{place}")

    # Up to Jazzy, rclpy lets the error of an impossible transition out of the service's callback, and the request is
    # never answered. Kilted refuses it. The method is private and named as it is mangled, because there is no public
    # one and the service was created with it.
    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:  # noqa: N802
        state = self.state
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except RuntimeError as error:  # RCLError is one
            self.get_logger().error(f"A {state} node has no transition {request.transition.id}: {error}")
            response.success = False
            return response
