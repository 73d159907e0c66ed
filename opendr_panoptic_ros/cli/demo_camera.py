"""The demo's camera, a process of its own: publishes frames on `image_raw` at camera pace.

Run as `python -m opendr_panoptic_ros.cli.demo_camera`; the last line on stdout is the number of frames published.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from queue import Queue
from threading import Thread
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

from opendr_panoptic_ros.cli.demo_source import open_source
from opendr_panoptic_ros.ros.image_codec import encode

Frames: TypeAlias = Queue[NDArray[np.uint8] | Exception | None]

_READ_AHEAD = 100


def main() -> None:
    """Publish until the frames are at an end; give up when the process that started this one is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--video", type=Path)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--rate-hz", type=float, required=True)
    parser.add_argument("--subscribers", type=int, required=True, help="publish when there are so many")
    options = parser.parse_args()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("demo_camera")
    publisher = node.create_publisher(Image, options.topic, QoSProfile(depth=10))
    frames: Frames = Queue(maxsize=_READ_AHEAD)
    Thread(target=_read, args=(options.video, options.frames, frames), daemon=True).start()
    parent = os.getppid()
    while publisher.get_subscription_count() < options.subscribers and os.getppid() == parent:
        time.sleep(0.02)
    published = _publish(node, publisher, frames, options.rate_hz)
    publisher.wait_for_all_acked()
    print(published, flush=True)
    node.destroy_node()
    rclpy.shutdown()


def _read(video: Path | None, max_frames: int, frames: Frames) -> None:
    """Put the frames into the queue, then None. So the synthetic drive is painted while the node starts."""
    try:
        for frame in open_source(video, max_frames).frames:
            frames.put(frame)
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
        publisher.publish(encode(frame, "rgb8", header))
        published += 1
    return published


if __name__ == "__main__":
    main()
