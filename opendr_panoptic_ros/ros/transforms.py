# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Transforms: from the frame of a LiDAR to that of a camera, by a parameter or by tf2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rclpy.time import Time

from opendr_panoptic_ros.errors import ConfigError, PanopticError, quoted

if TYPE_CHECKING:
    from rclpy.node import Node
    from std_msgs.msg import Header

_FROM_TF2 = (0.0,)


class Transforms:
    """Finds the transform between two frames.

    Args:
        node: The node that subscribes to /tf and /tf_static, if needed.
        pose: x, y, z in metres and a quaternion x, y, z, w; or a single 0 for the transforms of tf2.

    Raises:
        ConfigError: tf2 is needed and not installed.
    """

    def __init__(self, node: Node, pose: Sequence[float]) -> None:
        self._fixed = None if tuple(pose) == _FROM_TF2 else matrix_of(pose)
        self._listener: Any = None
        if self._fixed is not None:
            return
        try:
            from tf2_ros import Buffer, TransformListener
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"The parameter transform is not set, and {error.name} is missing. Install tf2_ros, or set transform "
                "to the pose of the LiDAR in the camera's optical frame: x, y, z, qx, qy, qz, qw."
            ) from error
        self._buffer = Buffer(node=node)
        self._listener = TransformListener(self._buffer, node)

    def find(self, target: str, source: Header) -> NDArray[np.float64]:
        """Return the transform from a message's frame to another one.

        Args:
            target: Name of the other frame.
            source: Header of the message.

        Returns:
            `(3, 4)`: rotation and translation in metres.

        Raises:
            PanopticError: tf2 does not know the transform at the message's stamp.
        """
        if self._fixed is not None:
            return self._fixed
        try:
            found = self._buffer.lookup_transform(target, source.frame_id, Time.from_msg(source.stamp)).transform
        except Exception as error:  # tf2 has several types of errors
            raise PanopticError(
                f"There is no transform from the frame {quoted(source.frame_id)} to {quoted(target)}: {error}"
            ) from error
        t, q = found.translation, found.rotation
        return matrix_of((t.x, t.y, t.z, q.x, q.y, q.z, q.w))

    def close(self) -> None:
        """Unsubscribe from the transforms."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None


def matrix_of(pose: Sequence[float]) -> NDArray[np.float64]:
    """Return the matrix of a pose.

    Args:
        pose: x, y, z in metres and a quaternion x, y, z, w of any length above 0.

    Returns:
        `(3, 4)`: rotation and translation.
    """
    x, y, z, w = np.asarray(pose[3:], np.float64) / np.linalg.norm(pose[3:])
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.column_stack([np.array(rotation), np.asarray(pose[:3], np.float64)])
