# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Worker: the thread that runs the network, so that the executor's thread keeps receiving."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opendr_panoptic_ros.ros.camera import Camera
from opendr_panoptic_ros.ros.processing import FrameProcessor
from opendr_panoptic_ros.ros.publishing import ResultPublisher


class Worker:
    """Takes waiting frames and processes them, in rounds.

    In each round, every camera that has a frame is processed once, so that a camera with more frames, or one whose
    images share their size with those of many others, does not delay the rest. Cameras whose last frames had the same
    size are processed together. The thread runs from construction to `stop`.

    Args:
        cameras: The cameras, in the order in which they take turns.
        frame_waits: Condition that is notified when a frame arrives at one of the cameras, or the publisher has room.
        processor: Processes the frames.
        publisher: Publishes their results; frames are taken only while it has room.
        max_batch: Largest number of frames that are processed together, 1 or more.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        frame_waits: threading.Condition,
        processor: FrameProcessor,
        publisher: ResultPublisher,
        *,
        max_batch: int,
    ) -> None:
        self._cameras = cameras
        self._frame_waits = frame_waits
        self._processor = processor
        self._publisher = publisher
        self._max_batch = max_batch
        self._processed: set[Camera] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="panoptic_worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. The network finishes the frames in progress."""
        with self._frame_waits:
            self._stopping = True
            self._frame_waits.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._frame_waits:
                self._frame_waits.wait_for(
                    lambda: (
                        self._stopping
                        or (self._publisher.has_room and any(camera.mailbox.has_frame for camera in self._cameras))
                    )
                )
                if self._stopping:
                    return
                taken = [(camera, camera.mailbox.take()) for camera in self._next_cameras()]
            self._processor.process([(camera, delivery) for camera, delivery in taken if delivery is not None])

    def _next_cameras(self) -> list[Camera]:
        """Return the cameras to process now. The caller holds `frame_waits`, and at least one frame is waiting."""
        waiting = [camera for camera in self._cameras if camera.mailbox.has_frame]
        if self._processed.issuperset(waiting):
            self._processed.clear()  # a new round
        remaining = [camera for camera in waiting if camera not in self._processed]
        size = remaining[0].mailbox.image_size
        chosen = [remaining[0], *_of_size(size, remaining[1:])][: self._max_batch]
        self._processed.update(chosen)
        if len(chosen) == len(remaining):  # the rest of the batch may begin the next round
            next_round = [camera for camera in waiting if camera not in chosen]
            early = _of_size(size, next_round)[: self._max_batch - len(chosen)]
            if early:
                self._processed = set(early)
            chosen += early
        return chosen


def _of_size(size: tuple[int, int] | None, cameras: Sequence[Camera]) -> list[Camera]:
    return [camera for camera in cameras if size and camera.mailbox.image_size == size]
