# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ManagedNode: what the parts of the node need of it, on top of rclpy's lifecycle node."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from typing_extensions import override

from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.ros.errors import describe
from opendr_panoptic_ros.ros.settings import read_parameters

if TYPE_CHECKING:
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.lifecycle import LifecycleState
    from rclpy.parameter import Parameter

Parameters = TypeVar("Parameters")
_SAME_ERROR_S = 5.0


class ManagedNode(LifecycleNode, Generic[Parameters]):
    """A lifecycle node with consistent settings, throttled error logs, and a service that refuses wrong transitions.

    Subclasses implement `_configure`, `_activate`, `_stop` and `_unwind`. A transition that fails is undone, logged and
    described in `last_error`.

    Args:
        name: Name of the node.
        table: Its parameters, a dataclass of parameters.py.
        options: Keyword arguments of `rclpy.lifecycle.LifecycleNode`, such as `context`.

    Attributes:
        last_error: Description of the error of the last transition, or an empty string.
        callback_errors: Number of errors that callbacks have raised.
    """

    def __init__(self, name: str, table: type[Parameters], **options: Any) -> None:
        self.last_error = ""
        self._table = table
        self._settings_lock = threading.RLock()
        self._reported_s: dict[str, float] = {}
        self.callback_errors = 0
        super().__init__(name, **options)

    @property
    def state(self) -> str:
        """State of the lifecycle: unconfigured, inactive, active, finalized, or the name of a transition."""
        # rclpy has no public accessor.
        return str(self._state_machine.current_state[1])

    def settings(self) -> Parameters:
        """Return the present parameters. Of parameters that are set together, either all or none have been updated.

        May be called by any thread.
        """
        with self._settings_lock:
            return read_parameters(self, self._table)

    @override
    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        with self._settings_lock:
            return super().set_parameters_atomically(parameter_list)

    def start(self) -> bool:
        """Configure and activate the node.

        Returns:
            Whether both transitions succeeded. If not, `last_error` describes the reason.
        """
        return all(
            transition() == TransitionCallbackReturn.SUCCESS
            for transition in (self.trigger_configure, self.trigger_activate)
        )

    @override
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._configure(self.settings())
        except Exception as error:  # noqa: BLE001 - after any failure the node must be as it was before
            result = self._fail(state, error)
        else:
            self.last_error = ""
            return super().on_configure(state)
        self._unwind()  # not in the except clause, where the traceback of the error may still refer to the network
        return result

    @override
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._activate(self.settings())
        except Exception as error:  # noqa: BLE001 - as above
            self._stop()
            return self._fail(state, error)
        self.last_error = ""
        self.get_logger().info(f"Active: {self._inputs()}")
        return super().on_activate(state)

    @override
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._undo(self._stop) or super().on_deactivate(state)

    @override
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._undo(self._unwind) or super().on_cleanup(state)

    @override
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._undo(self._unwind) or super().on_shutdown(state)

    @override
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        # An error in a transition leaves the node unconfigured, or finalized if this fails as well.
        return self._undo(self._unwind) or TransitionCallbackReturn.SUCCESS

    @override
    def destroy_node(self) -> None:
        self._unwind()
        super().destroy_node()

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

    def _configure(self, settings: Parameters) -> None:
        """Make what the node needs; after an error, `_unwind` is called."""
        raise NotImplementedError

    def _activate(self, settings: Parameters) -> None:
        """Start to process; after an error, `_stop` is called."""
        raise NotImplementedError

    def _inputs(self) -> str:
        """Return the names of the input topics."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Undo activate, as far as it was completed."""
        raise NotImplementedError

    def _unwind(self) -> None:
        """Undo activate and configure, as far as they were completed."""
        raise NotImplementedError

    def _fail(self, state: LifecycleState, error: Exception) -> TransitionCallbackReturn:
        """Log the error of a transition that may be tried again."""
        is_expected = isinstance(error, PanopticError | ValueError | OSError)
        self._log_failure(f"The node stays {state.label}.", error, with_traceback=not is_expected)
        return TransitionCallbackReturn.FAILURE

    def _undo(self, action: Callable[[], None]) -> TransitionCallbackReturn | None:
        """Run the action of a transition. Log an error, which rclpy would not, and return ERROR if there is one."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the lifecycle has a state for errors
            self._log_failure(f"An error while {self.state}.", error, with_traceback=True)
            return TransitionCallbackReturn.ERROR
        return None

    def _log_failure(self, what: str, error: Exception, *, with_traceback: bool) -> None:
        self.last_error = describe(error)
        lines = "\n" + "".join(traceback.format_tb(error.__traceback__)) if with_traceback else ""
        self.get_logger().error(f"{what} {self.last_error}{lines}")

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
