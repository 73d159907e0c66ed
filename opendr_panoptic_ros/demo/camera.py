# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's camera: a node that publishes a video, a folder of images or a synthetic drive on `image_raw`.

    ros2 run opendr_panoptic_ros demo_camera --ros-args -r image_raw:=/camera/image_raw -p video:=/data/drive.mp4

Parameters, read at the start:
    video: Video file or folder of images; empty: the synthetic drive.
    frames: Maximum number of frames; 0: the whole video, or 200 frames of the drive.
    rate_hz: Frames per second; 0: the rate of the video, or 10 for images and the drive.
    depth: Whether to publish the depth of the synthetic drive as well, on depth/image_rect and depth/camera_info. The
        depth has the distortion of the image.
    loop: Whether to start again after the last frame.
    subscribers: Number of subscribers to wait for before the first frame.

The last line on standard output is the number of frames published.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeAlias

import numpy as np
import rclpy
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from opendr_panoptic_ros.demo.source import open_source
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.points import CameraModel
from opendr_panoptic_ros.ros import context
from opendr_panoptic_ros.ros.messages import image_message
from opendr_panoptic_ros.ros.signals import StopSignals

Frames: TypeAlias = Queue[tuple[NDArray[np.uint8], NDArray[np.float32] | None] | Exception | None]
"""Frames to publish with their depth, if any; then None at the end, or the exception that ended the reading."""

_READ_AHEAD = 100
_DRIVE_FRAMES = 200


class DemoCamera(Node):
    """Publishes frames at a constant rate, stamped with the time of their publication.

    Raises:
        DatasetError: If the video cannot be read.
        ParameterException: If a parameter has the wrong type.
    """

    def __init__(self) -> None:
        super().__init__("demo_camera")
        video = str(self._parameter("video", "", "Video file or folder of images; empty: a synthetic drive."))
        frames = int(self._parameter("frames", 0, "Maximum number of frames; 0: all, or 200 of the drive."))
        rate_hz = float(self._parameter("rate_hz", 0.0, "Frames per second; 0: the rate of the video."))
        self._loop = bool(self._parameter("loop", False, "Whether to start again after the last frame."))
        self._subscribers = int(self._parameter("subscribers", 0, "Number of subscribers of each topic to wait for."))
        depth = bool(self._parameter("depth", False, "Whether to publish the depth of the synthetic drive too."))
        self.published = 0
        self.is_done = False
        self._video = Path(video).expanduser() if video else None
        self._max_frames = frames or (sys.maxsize if self._video else _DRIVE_FRAMES)
        source = open_source(self._video, self._max_frames)
        self._drive = source.drive if depth else None
        self._depth_publisher = self.create_publisher(Image, "depth/image_rect", 10) if self._drive else None
        self._info_publisher = self.create_publisher(CameraInfo, "depth/camera_info", 10) if self._drive else None
        self._publisher = self.create_publisher(Image, "image_raw", QoSProfile(depth=10))
        # Reading ahead lets the synthetic drive be rendered while the panoptic node starts.
        self._frames: Frames = Queue(maxsize=_READ_AHEAD)
        self._stopped = Event()
        self._reader = Thread(target=self._read, args=(source.frames,))
        self._reader.start()
        # Simulated time may stand still; the camera runs on.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / (rate_hz or source.rate_hz), self._publish_next, clock=clock)

    def close(self) -> None:
        """Stop reading, and destroy the node."""
        self._stopped.set()
        while self._reader.is_alive():
            with suppress(Empty):  # the reader may be waiting for a free place in the queue
                self._frames.get(timeout=0.05)
        self.destroy_node()

    def _parameter(self, name: str, default: Any, description: str) -> Any:
        is_number = isinstance(default, float)  # an integer is accepted as well
        descriptor = ParameterDescriptor(description=description, read_only=True, dynamic_typing=is_number)
        return self.declare_parameter(name, default, descriptor).value

    def _publish_next(self) -> None:
        publishers = [p for p in (self._publisher, self._depth_publisher, self._info_publisher) if p]
        if self.is_done or min(p.get_subscription_count() for p in publishers) < self._subscribers:
            return
        frame = self._frames.get()
        if isinstance(frame, Exception):
            raise frame
        if frame is None:
            self._publisher.wait_for_all_acked()
            self.is_done = True
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="camera")
        image, depth_m = frame
        if depth_m is not None and self._drive and self._depth_publisher and self._info_publisher:
            self._info_publisher.publish(_info_message(self._drive.camera, header))
            self._depth_publisher.publish(image_message(depth_m, "32FC1", header))
        self._publisher.publish(image_message(image, "rgb8", header))
        self.published += 1

    def _read(self, frames: Iterator[NDArray[np.uint8]]) -> None:
        """Put the frames into the queue, in a thread of its own."""
        try:
            while True:
                for image, depth_m in self._with_depth(frames):
                    if self._stopped.is_set():
                        return
                    self._frames.put((image, depth_m))
                if not self._loop:
                    break
                frames = open_source(self._video, self._max_frames).frames
            self._frames.put(None)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that publishes
            self._frames.put(error)

    def _with_depth(
        self, frames: Iterator[NDArray[np.uint8]]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
        if self._drive is None:
            yield from ((image, None) for image in frames)
            return
        for index in range(len(self._drive)):
            (image, _), depth_m = self._drive.sample_with_depth(index)
            yield image, depth_m


def _info_message(camera: CameraModel, header: Header) -> CameraInfo:
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model,
        k=camera.k.ravel(),
        d=camera.d.tolist(),
        r=np.eye(3).ravel(),
        p=camera.p.ravel(),
    )


def main() -> int:
    """Publish until the last frame, a signal, or the end of the process that started this one.

    Returns:
        The exit status: 0, or 1 after an error, which is printed on standard error.
    """
    StopSignals()
    try:
        _run()
    except KeyboardInterrupt:
        pass
    except (PanopticError, ParameterException) as error:
        print(f"demo_camera: {error}", file=sys.stderr)
        return 1
    return 0


def _run() -> None:
    context.init()
    try:
        camera = DemoCamera()
        executor = SingleThreadedExecutor()
        executor.add_node(camera)
        parent = os.getppid()
        try:
            while not camera.is_done and os.getppid() == parent:
                executor.spin_once(timeout_sec=0.1)
            print(camera.published, flush=True)
        finally:
            executor.shutdown()
            camera.close()
    finally:
        rclpy.shutdown()


if __name__ == "__main__":
    sys.exit(main())
