# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The demo's camera, a process of its own: publishes frames on `image_raw` at camera pace.

Run as `python -m opendr_panoptic_ros.demo.camera`, by the demo and by demo.launch.py; the last line on stdout is
the number of frames published.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeAlias

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros.demo.source import FrameSource, open_source
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.ros.messages import image_message
from opendr_panoptic_ros.ros.signals import StopSignals

Frames: TypeAlias = Queue[NDArray[np.uint8] | Exception | None]

_READ_AHEAD = 100
_DRIVE_FRAMES = 200


def main() -> None:
    """Publish until the frames are at an end, or Ctrl-C; give up when the process that started this one is gone."""
    StopSignals()
    try:
        _main()
    except KeyboardInterrupt:
        pass
    except PanopticError as error:
        sys.exit(f"demo_camera: {error}")


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--video", type=Path)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--frames", type=int, help="at most; by default a whole video, or 20 s of the drive")
    parser.add_argument("--rate-hz", type=float, help="by default the source's")
    parser.add_argument("--subscribers", type=int, default=0, help="publish when there are so many")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    options = parser.parse_args()
    max_frames = options.frames or (sys.maxsize if options.video else _DRIVE_FRAMES)
    source = open_source(options.video, max_frames)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("demo_camera")
    publisher = node.create_publisher(Image, options.topic, QoSProfile(depth=10))
    frames: Frames = Queue(maxsize=_READ_AHEAD)
    again = (lambda: open_source(options.video, max_frames)) if options.loop else None
    stopped = Event()
    reader = Thread(target=_read, args=(source, frames, again, stopped))
    reader.start()
    parent = os.getppid()
    try:
        while publisher.get_subscription_count() < options.subscribers and os.getppid() == parent:
            time.sleep(0.02)
        published = _publish(node, publisher, frames, options.rate_hz or source.rate_hz)
        publisher.wait_for_all_acked()
        print(published, flush=True)
    finally:
        stopped.set()
        while reader.is_alive():
            with suppress(Empty):  # it may be waiting for room
                frames.get(timeout=0.05)
        node.destroy_node()
        rclpy.shutdown()


def _read(source: FrameSource, frames: Frames, again: Callable[[], FrameSource] | None, stopped: Event) -> None:
    """Put the frames into the queue, then None. So the synthetic drive is painted while the node starts.

    again: opens the source once more at its end, and so on. stopped: set when no more frames are wanted.
    """
    try:
        while True:
            for frame in source.frames:
                if stopped.is_set():
                    return
                frames.put(frame)
            if again is None:
                break
            source = again()
        frames.put(None)
    except Exception as error:  # noqa: BLE001 - it ends the other thread, and with it the process
        frames.put(error)


def _publish(node: Node, publisher: Publisher[Image], frames: Frames, rate_hz: float) -> int:
    """Publish the frames at this rate, stamped with the time of their publication; return how many there were."""
    published, parent = 0, os.getppid()
    due = time.monotonic()
    while (frame := frames.get()) is not None and os.getppid() == parent:
        if isinstance(frame, Exception):
            raise frame
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic() - 1 / rate_hz) + 1 / rate_hz  # a late frame is not made good by a burst
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        publisher.publish(image_message(frame, "rgb8", header))
        published += 1
    return published


if __name__ == "__main__":
    main()
