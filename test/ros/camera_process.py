# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A camera that publishes the frames of a video at 25 Hz, best effort, until SIGTERM, and then writes their stamps.

python camera_process.py VIDEO STAMPS
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_panoptic_ros.ros.messages import image_message

PERIOD_S = 1 / 25


def main(video: str, stamps: str) -> None:
    stop = threading.Event()
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    node = Node("camera")
    publisher = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    while publisher.get_subscription_count() == 0 and not stop.wait(0.02):
        pass
    stop.wait(0.5)  # the other side finds us a little later than we find it
    frames, sent = cv2.VideoCapture(video), []
    due_s = time.monotonic()
    while not stop.wait(max(0.0, due_s - time.monotonic())):
        due_s += PERIOD_S
        more, bgr = frames.read()
        if not more:
            break
        stamp = node.get_clock().now()
        message = image_message(bgr, "rgb8", Header(stamp=stamp.to_msg(), frame_id="camera"))
        message.encoding = "bgr8"
        publisher.publish(message)
        sent.append(stamp.nanoseconds)
    Path(stamps).write_text("\n".join(map(str, sent)))


if __name__ == "__main__":
    main(*sys.argv[1:])
