# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""ManagedNode: a lifecycle node that survives a request for a transition that its state does not have."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode


class ManagedNode(LifecycleNode):
    """rclpy's LifecycleNode, whose service refuses an impossible transition in every release.

    Up to Jazzy, rclpy lets the state machine's error out of the service's callback instead: the request is never
    answered, and the error ends the process that spins the node. Kilted refuses by itself.
    """

    # rclpy's private method by its mangled name: the service was created with it, and there is no public one.
    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:  # noqa: N802
        state = self._state_machine.current_state[1]
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except RuntimeError as error:  # RCLError is one
            self.get_logger().error(f"A {state} node has no transition {request.transition.id}: {error}")
            response.success = False
            return response
