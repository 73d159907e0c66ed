# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""CameraInfoBuffer: the CameraInfo messages received last, found by the stamp of an image."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from sensor_msgs.msg import CameraInfo

from opendr_panoptic_ros.ros.stamps import stamp_ns

MAX_MESSAGES = 100
MAX_BYTES = 2**20


class _Entry(NamedTuple):
    stamp_ns: int
    size_bytes: int
    message: CameraInfo


class CameraInfoBuffer:
    """The last CameraInfo messages of a camera, at most 100 messages and 1 MiB. Any thread may call the methods.

    Attributes:
        skipped: Number of messages that could not be used: their stamp is not a time, or they are larger than 1 MiB.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: CameraInfo) -> None:
        """Store a message; the oldest ones are removed if there is no room for it.

        Args:
            message: The message.
        """
        time_ns, size_bytes = stamp_ns(message.header.stamp), _size_bytes(message)
        with self._lock:
            if time_ns is None or size_bytes > MAX_BYTES:
                self.skipped += 1
                return
            self._entries.append(_Entry(time_ns, size_bytes, message))
            while len(self._entries) > MAX_MESSAGES or sum(entry.size_bytes for entry in self._entries) > MAX_BYTES:
                self._entries.popleft()

    def find(self, image_stamp_ns: int | None) -> CameraInfo | None:
        """Return the latest message that is stamped at or before an image.

        Args:
            image_stamp_ns: Stamp of the image in nanoseconds, or None if it is not a time.

        Returns:
            The message, or None if there is none.
        """
        if image_stamp_ns is None:
            return None
        with self._lock:
            earlier = [entry for entry in self._entries if entry.stamp_ns <= image_stamp_ns]
        return max(earlier, key=lambda entry: entry.stamp_ns).message if earlier else None

    def clear(self) -> None:
        """Remove all messages."""
        with self._lock:
            self._entries.clear()


def _size_bytes(message: CameraInfo) -> int:
    """Return the size of the parts whose length the publisher chooses."""
    return 8 * len(message.d) + len(message.distortion_model) + len(message.header.frame_id)
