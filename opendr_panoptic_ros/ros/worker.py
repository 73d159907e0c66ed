# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Worker: the thread in which the network runs, so that the executor's thread keeps receiving."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opendr_panoptic_ros.ros.camera import CameraStream


class Worker:
    """Serves the waiting frames, the cameras in turn.

    Cameras whose frames were of one size last time, and that have one waiting now, are served together.

    lock: the cameras' lock. max_batch: how many frames are served together at most. serve: does the work for them; it
    raises nothing.
    """

    def __init__(
        self,
        cameras: Sequence[CameraStream],
        lock: threading.Condition,
        serve: Callable[[list[tuple[CameraStream, Any]]], None],
        *,
        max_batch: int,
    ) -> None:
        self._cameras = list(cameras)
        self._lock = lock
        self._serve = serve
        self._max_batch = max_batch
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="panoptic_worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; frames whose turn has come are finished first."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._stopping or any(camera.has_frame for camera in self._cameras))
                if self._stopping:
                    return
                chosen = self._next_cameras()
                taken = [(camera, camera.take()) for camera in chosen]
            # The cameras just served go to the end of the queue, so that a fast one does not starve the others.
            self._cameras = [camera for camera in self._cameras if camera not in chosen] + chosen
            self._serve(taken)

    def _next_cameras(self) -> list[CameraStream]:
        """The first camera in the queue that has a frame, and those that go with it."""
        first, *others = (camera for camera in self._cameras if camera.has_frame)
        size = first.image_size
        return [first, *(camera for camera in others if size and camera.image_size == size)][: self._max_batch]
