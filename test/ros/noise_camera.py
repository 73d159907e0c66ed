# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A camera that publishes noise, best effort, once its topic has a subscriber, and counts its frames in a file.

python noise_camera.py TOPIC RATE_HZ FRAMES COUNT_FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros.ros.messages import image_message


def main(topic: str, rate_hz: float, frames: int, count_file: Path) -> None:
    rclpy.init()
    node = Node("camera")
    publisher = node.create_publisher(Image, topic, qos_profile_sensor_data)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.02)
    time.sleep(0.5)  # the other side finds us a little later than we find it
    random = np.random.default_rng(0)
    due_s = time.monotonic()
    for number in range(1, frames + 1):
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += 1 / rate_hz
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id=topic)
        publisher.publish(image_message(random.integers(0, 256, (48, 64, 3), np.uint8), "rgb8", header))
        written = count_file.with_suffix(".new")
        written.write_text(str(number))
        written.replace(count_file)  # whole, whenever we are killed
    time.sleep(0.5)  # what was published last still leaves


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
