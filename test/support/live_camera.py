# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""A camera process: frames of a synthetic drive, raw and compressed, with CameraInfo, best effort, until it is ended.

python live_camera.py NAME HEIGHT WIDTH ENCODING RATE_HZ [SEED]

The messages are serialised once and only their stamps change, so that a camera costs the processors little.
"""

from __future__ import annotations

import signal
import struct
import sys
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_panoptic_ros.synthetic.drive import SyntheticDrive

_PICTURES = 3


def _yuy2(rgb: np.ndarray) -> np.ndarray:
    yuv = cv2.cvtColor(rgb[:, : rgb.shape[1] // 2 * 2], cv2.COLOR_RGB2YUV)
    packed = np.empty((*yuv.shape[:2], 2), np.uint8)
    packed[..., 0], packed[:, ::2, 1], packed[:, 1::2, 1] = yuv[..., 0], yuv[:, ::2, 1], yuv[:, 1::2, 2]
    return packed


def _bayer(rgb: np.ndarray) -> np.ndarray:
    mosaic = rgb[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = rgb[::2, ::2, 0], rgb[1::2, 1::2, 2]
    return mosaic


ENCODERS = {
    "rgb8": lambda rgb: rgb,
    "bgr8": lambda rgb: rgb[..., ::-1],
    "bgra8": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA),
    "mono8": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
    "mono16": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257,
    "bayer_rggb8": _bayer,
    "yuv422_yuy2": _yuy2,
}
"""How the pixels of an encoding are made of an RGB image."""


def image_of(rgb: np.ndarray, encoding: str, frame_id: str) -> Image:
    pixels = np.ascontiguousarray(ENCODERS[encoding](rgb))
    height, width = pixels.shape[:2]
    message = Image(header=Header(frame_id=frame_id), height=height, width=width, encoding=encoding)
    message.step = pixels.strides[0]
    message.data.frombytes(pixels.tobytes())
    return message


def compressed_of(rgb: np.ndarray, frame_id: str) -> CompressedImage:
    message = CompressedImage(header=Header(frame_id=frame_id), format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes())
    return message


class Stamped:
    """A serialised message whose header's stamp can be replaced."""

    def __init__(self, message: Any) -> None:
        self._bytes = bytearray(serialize_message(message))

    def at(self, stamp_ns: int) -> bytes:
        struct.pack_into("<iI", self._bytes, 4, *divmod(stamp_ns, 10**9))  # behind the four bytes of the CDR header
        return bytes(self._bytes)


def main(name: str, height: int, width: int, encoding: str, rate_hz: float, seed: int = 0) -> None:
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    node = Node(f"camera_{name}")
    best_effort = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    raw = node.create_publisher(Image, f"{name}/image_raw", best_effort)
    compressed = node.create_publisher(CompressedImage, f"{name}/image_raw/compressed", best_effort)
    info = node.create_publisher(CameraInfo, f"{name}/camera_info", best_effort)
    drive = SyntheticDrive(seed, num_frames=60)
    rgbs = [cv2.resize(drive.sample(20 * number)[0], (width, height)) for number in range(_PICTURES)]
    images = [Stamped(image_of(rgb, encoding, name)) for rgb in rgbs]
    jpegs = [Stamped(compressed_of(rgb, name)) for rgb in rgbs]
    infos = Stamped(CameraInfo(header=Header(frame_id=name), height=height, width=width))
    due_s = time.monotonic()
    number = 0
    while True:
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1)
        stamp_ns = time.time_ns()
        if info.get_subscription_count():
            info.publish(infos.at(stamp_ns))
        for publisher, messages in ((raw, images), (compressed, jpegs)):
            if publisher.get_subscription_count():
                publisher.publish(messages[number % _PICTURES].at(stamp_ns))
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5]), *map(int, sys.argv[6:]))
