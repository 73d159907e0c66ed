# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The table of faults that a live node must survive; each is a function of a rig and a random generator."""

from __future__ import annotations

import math
import random
import signal
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from opendr_panoptic_ros.msg import PanopticSegmentation
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32, Header

from support.live_camera import ENCODERS
from support.live_rig import CameraKind, LiveRig

SIZES = ((120, 160), (240, 320), (256, 512), (376, 500), (480, 640), (540, 960), (333, 777), (600, 400))
RATES_HZ = (2.0, 5.0, 10.0, 15.0, 20.0)

Fault = Callable[[LiveRig, random.Random], None]

_TOPICS: dict[str, type] = {
    "instance": Image,
    "panoptic": Image,
    "packed": Image,
    "mask": Image,
    "confidence": Image,
    "semantic_color": Image,
    "instance_color": Image,
    "rgb_visualization": Image,
    "rgb_visualization/compressed": CompressedImage,
    "segmentation": PanopticSegmentation,
    "camera_info": CameraInfo,
    "debug/processing_time_ms": Float32,
    "debug/pipeline_latency_ms": Float32,
}
_SENSOR = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_H264 = b"\x00\x00\x00\x01\x67\x42\xc0\x1e\xd9\x00\xa0\x47\xfe\xc8\x00\x00\x00\x01\x68\xce\x3c\x80\x00\x00\x00\x01\x65"
_BOMB = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000040000000400802000000250be689fffffff049444154")
"""A PNG of some bytes with a chunk that claims 4 GB."""


def random_kind(rng: random.Random) -> CameraKind:
    height, width = rng.choice(SIZES)
    return CameraKind(height, width, rng.choice(list(ENCODERS)), rng.choice(RATES_HZ), rng.randrange(4))


def kill_camera(rig: LiveRig, rng: random.Random) -> None:
    """A camera dies; one of another size, encoding and rate takes its place."""
    rig.start_camera(rng.choice(rig.camera_names), random_kind(rng))


def pause_camera(rig: LiveRig, rng: random.Random) -> None:
    """A camera stands still for a while; its network buffers fill up."""
    name = rng.choice(rig.camera_names)
    rig.signal_camera(name, signal.SIGSTOP)
    rig.pause(rng.uniform(0.5, 3))
    rig.signal_camera(name, signal.SIGCONT)


def subscribers(rig: LiveRig, rng: random.Random) -> None:
    """Five subscribers of any outputs of any cameras join; they leave after some moments, in any order."""
    joined = []
    for _ in range(5):
        topic = rng.choice(list(_TOPICS))
        joined.append(rig.subscribe(f"{rng.choice(rig.camera_names)}/panoptic/{topic}", _TOPICS[topic]))
        rig.pause(rng.uniform(0, 0.3))
    rig.pause(rng.uniform(0, 4))
    rng.shuffle(joined)
    for subscription in joined:
        rig.unsubscribe(subscription)
        rig.pause(rng.uniform(0, 0.1))


def parameters(rig: LiveRig, rng: random.Random) -> None:
    """Ten changes of parameters, legal ones and others."""
    for _ in range(10):
        name, value, is_legal = rng.choice(
            [
                ("score_threshold", rng.random(), True),
                ("overlap_threshold", rng.random(), True),
                ("min_stuff_area", rng.randrange(5000), True),
                ("visualization", rng.choice(["overlay", "detailed"]), True),
                ("visualization_opacity", rng.random(), True),
                ("jpeg_quality", rng.randint(1, 100), True),
                ("classes", rng.choice([["car", "road"], [""]]), True),
                ("mask_classes", rng.choice([["car"], [""]]), True),
                ("max_rate_hz", rng.choice([0.0, 1.0, 5.0]), True),
                ("score_threshold", math.nan, False),
                ("score_threshold", "high", False),
                ("classes", ["x" * 10_000], False),
                ("checkpoint", "/etc/passwd", False),
                ("jpeg_quality", -(2**62), False),
                ("max_image_pixels", 2**30, False),
                ("no_such_parameter", 1, False),
            ]
        )
        reasons = rig.set_parameters(**{name: value})
        assert bool(reasons) != is_legal, (name, value, reasons)
    usual: dict[str, Any] = {"score_threshold": -1.0, "overlap_threshold": -1.0, "min_stuff_area": -1, "classes": [""]}
    assert not rig.set_parameters(**usual, max_rate_hz=0.0)


def unknown_parameter_type(rig: LiveRig, rng: random.Random) -> None:
    """A request with a type of parameter that does not exist; rclpy raises in its callback."""
    rig.set_parameters(jpeg_quality=80)
    rig.send_parameter(ParameterMessage(name="jpeg_quality", value=ParameterValue(type=rng.randint(10, 255))))


def deactivate(rig: LiveRig, rng: random.Random) -> None:
    """Deactivate and activate under load."""
    assert rig.transition("deactivate")
    rig.pause(rng.uniform(0, 1))
    assert rig.transition("activate")


def reconfigure(rig: LiveRig, rng: random.Random) -> None:
    """All four transitions under load; the images come compressed afterwards, or raw again."""
    assert rig.transition("deactivate")
    assert rig.transition("cleanup")
    assert not rig.set_parameters(image_transport=rng.choice(["raw", "compressed"]), track_ids=rng.random() < 0.5)
    assert rig.transition("configure")
    assert rig.transition("activate")


def wrong_transition(rig: LiveRig, rng: random.Random) -> None:
    """A transition that an active node does not have."""
    assert not rig.transition(rng.choice(["configure", "cleanup", "activate"]))


def jump_clock(rig: LiveRig, rng: random.Random) -> None:
    """Simulated time that stands, leaps ahead, goes back and becomes negative; then the system's time again."""
    clock = rig.client.create_publisher(Clock, "/clock", 10)
    assert not rig.set_parameters(use_sim_time=True)
    for _ in range(10):
        sec = rng.choice([0, 1, 1_000_000_000, 2_000_000_000, rng.randrange(-(2**31), 2**31)])
        clock.publish(Clock(clock=Time(sec=sec, nanosec=rng.randrange(10**9))))
        rig.pause(rng.uniform(0, 0.3))
    assert not rig.set_parameters(use_sim_time=False)
    rig.client.destroy_publisher(clock)


def bad_images(rig: LiveRig, rng: random.Random) -> None:
    """Images whose fields contradict each other, of odd encodings and stamps, among those of a camera."""
    messages = []
    for _ in range(10):
        message = Image(header=_header(rng), height=48, width=64, encoding="rgb8", step=192)
        message.data.frombytes(rng.randbytes(48 * 192))
        field, value = rng.choice(
            [
                ("height", rng.choice([0, 1, 47, 49, 2**32 - 1])),
                ("width", rng.choice([0, 1, 63, 65, 2**32 - 1])),
                ("step", rng.choice([0, 1, 191, 193, 2**32 - 1])),
                ("encoding", rng.choice(["", "h264", "8UC3", "32FC1", "TYPE_77", "\t%s", "x" * 1_000_000])),
                ("is_bigendian", rng.randrange(256)),
                ("header", _header(rng)),
            ]
        )
        setattr(message, field, value)
        messages.append(message)
    _send(rig, rng, Image, "image_raw", messages)


def bad_compressed(rig: LiveRig, rng: random.Random) -> None:
    """H.264, a PNG bomb, noise and cut JPEGs among compressed images."""
    import cv2

    jpeg = cv2.imencode(".jpg", np.random.default_rng(rng.randrange(100)).integers(0, 256, (64, 96, 3), np.uint8))[1]
    messages = []
    for _ in range(10):
        content = rng.choice(
            [
                _H264 + rng.randbytes(3000),
                _BOMB,
                rng.randbytes(rng.randrange(2000)),
                jpeg.tobytes()[: rng.randrange(len(jpeg))],
            ]
        )
        message = CompressedImage(header=_header(rng), format=rng.choice(["h264", "jpeg", "png", "", "x" * 1000]))
        message.data.frombytes(content)
        messages.append(message)
    _send(rig, rng, CompressedImage, "image_raw/compressed", messages)


def odd_camera_info(rig: LiveRig, rng: random.Random) -> None:
    """CameraInfo with impossible stamps, a million coefficients, NaN and endless names."""
    messages = []
    for _ in range(10):
        message = CameraInfo(header=_header(rng), height=2**32 - 1, width=0, k=[math.nan] * 9)
        message.d = [0.0] * rng.choice([0, 5, 100_000])
        message.distortion_model = "x" * rng.choice([0, 100_000])
        messages.append(message)
    name = rng.choice(rig.camera_names)
    subscription = rig.subscribe(f"{name}/panoptic/camera_info", CameraInfo)
    rig.spin(0.5)
    _send(rig, rng, CameraInfo, "camera_info", messages, name=name)
    rig.unsubscribe(subscription)


def cut_messages(rig: LiveRig, rng: random.Random) -> None:
    """Serialised messages that end too early or claim lengths that they do not have."""
    name = rng.choice(rig.camera_names)
    publisher = rig.client.create_publisher(Image, f"{name}/image_raw", _SENSOR)
    rig.spin(0.5)
    for _ in range(10):
        body = struct.pack("<4BiII", 0, 1, 0, 0, 0, 0, rng.choice([0, 1, 2**31, 2**32 - 1]))
        publisher.publish(body + rng.randbytes(rng.randrange(200)))
        rig.spin(0.05)
    rig.client.destroy_publisher(publisher)


FAULTS: dict[str, tuple[Fault, float]] = {
    "camera killed and restarted with another size, encoding and rate": (kill_camera, 3),
    "camera stands still for a while": (pause_camera, 1),
    "five subscribers join and leave": (subscribers, 3),
    "ten parameter changes": (parameters, 3),
    "parameter of a type that does not exist": (unknown_parameter_type, 1),
    "deactivated and activated": (deactivate, 2),
    "cleaned up and configured again, image transport changed": (reconfigure, 1),
    "transition that does not exist": (wrong_transition, 1),
    "use_sim_time with a clock that jumps": (jump_clock, 1),
    "ten bad images": (bad_images, 2),
    "ten bad compressed images, H.264 among them": (bad_compressed, 2),
    "ten odd CameraInfos": (odd_camera_info, 2),
    "ten cut messages": (cut_messages, 1),
}
"""By description: the fault, and how often it comes, relative to the others."""


def _header(rng: random.Random) -> Header:
    header = Header(frame_id=rng.choice(["", "camera", "x" * 100_000]))
    header.stamp.sec = rng.choice([0, -1, 2**31 - 1, -(2**31), rng.randrange(2**31)])
    header.stamp.nanosec = rng.choice([0, 10**9, 2**32 - 1, rng.randrange(10**9)])
    return header


def _send(rig: LiveRig, rng: random.Random, message_type: Any, topic: str, messages: list[Any], name: str = "") -> None:
    """Send messages in place of a camera, which stands still meanwhile: newer frames would replace them."""
    name = name or rng.choice(rig.camera_names)
    publisher = rig.client.create_publisher(message_type, f"{name}/{topic}", _SENSOR)
    rig.signal_camera(name, signal.SIGSTOP)
    try:
        rig.spin(0.5)  # until both sides have found each other; of the other transport nothing is received
        for message in messages:
            publisher.publish(message)
            rig.pause(rng.uniform(0, 1))
    finally:
        rig.signal_camera(name, signal.SIGCONT)
    rig.client.destroy_publisher(publisher)
