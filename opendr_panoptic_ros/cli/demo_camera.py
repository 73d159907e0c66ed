"""The demo's camera, a process of its own: publishes frames on `image_raw` at camera pace.

Run as `python -m opendr_panoptic_ros.cli.demo_camera`; the last line on stdout is the number of frames published.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
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

Frames: TypeAlias = Iterator[NDArray[np.uint8]]

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
    frames = open_source(options.video, options.frames).frames
    published = _publish(node, publisher, _read_ahead(frames, publisher, options.subscribers), options.rate_hz)
    publisher.wait_for_all_acked()
    print(published, flush=True)
    node.destroy_node()
    rclpy.shutdown()


def _read_ahead(frames: Frames, publisher: Publisher[Image], subscribers: int) -> Frames:
    """The frames, as soon as there are enough subscribers. The wait is used to make the first ones."""
    ready: deque[NDArray[np.uint8]] = deque()
    parent = os.getppid()
    while publisher.get_subscription_count() < subscribers and os.getppid() == parent:
        frame = next(frames, None) if len(ready) < _READ_AHEAD else None
        if frame is None:
            time.sleep(0.02)
        else:
            ready.append(frame)
    while ready:
        yield ready.popleft()
    yield from frames


def _publish(node: Node, publisher: Publisher[Image], frames: Frames, rate_hz: float) -> int:
    """Publish the frames at this rate, stamped with the time of their publication; return how many there were."""
    published, parent = 0, os.getppid()
    due = time.monotonic()
    for frame in frames:
        if os.getppid() != parent:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic() - 1 / rate_hz) + 1 / rate_hz  # a late frame is not made good by a burst
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        publisher.publish(encode(frame, "rgb8", header))
        published += 1
    return published


if __name__ == "__main__":
    main()
