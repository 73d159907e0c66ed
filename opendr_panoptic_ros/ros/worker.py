"""Worker: the thread in which the network runs, so that the executor's thread keeps receiving."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sensor_msgs.msg import Image

from opendr_panoptic_ros.ros.camera import CameraStream


class Worker:
    """Serves the waiting frames, one at a time, the cameras in turn.

    lock: the cameras' lock. serve: does the work for one frame; it raises nothing.
    """

    def __init__(
        self, cameras: Sequence[CameraStream], lock: threading.Condition, serve: Callable[[CameraStream, Image], None]
    ) -> None:
        self._cameras = list(cameras)
        self._lock = lock
        self._serve = serve
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="panoptic_worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a frame whose turn has come is finished first."""
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
                camera = next(camera for camera in self._cameras if camera.has_frame)
                message = camera.take()
            # The camera just served goes to the end of the queue, so that a fast one does not starve the others.
            self._cameras.remove(camera)
            self._cameras.append(camera)
            self._serve(camera, message)
