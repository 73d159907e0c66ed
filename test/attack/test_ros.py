# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Layer of the node, its parts that need no other process: stamps, CameraInfo, parameters, paths, messages, rates."""

from __future__ import annotations

import math
import tempfile
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attack.properties import REFUSED, attack, refused
from attack.strategies import mostly, numbers, predictions, scalars, texts
from hypothesis import strategies as st

from opendr_panoptic_ros.errors import ImageEncodingError

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from opendr_panoptic_ros.codec.image import ENCODINGS
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.ros.allowed_paths import AllowedPaths
from opendr_panoptic_ros.ros.camera_info import MAX_BYTES, MAX_MESSAGES, CameraInfoBuffer
from opendr_panoptic_ros.ros.messages import MessageContext, decode_image, make_message, message_types
from opendr_panoptic_ros.ros.parameters import NodeParameters
from opendr_panoptic_ros.ros.rate import RateLimit
from opendr_panoptic_ros.ros.settings import refusal
from opendr_panoptic_ros.ros.stamps import stamp_ns

pytestmark = pytest.mark.ros
STAMPS = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
ROWS = [row.name for row in fields(NodeParameters)]


@attack("ros", stamp=STAMPS)
def test_stamps(stamp: tuple[int, int]) -> str | None:
    time_ns = stamp_ns(SimpleNamespace(sec=stamp[0], nanosec=stamp[1]))
    if time_ns is None:
        assert stamp[0] < 0 or stamp[1] >= 10**9
        return REFUSED
    assert divmod(time_ns, 10**9) == stamp
    return None


@attack("ros", infos=st.lists(st.tuples(STAMPS, st.sampled_from([0, 0, 5, 1000, 200_000])), max_size=130), at=STAMPS)
def test_camera_infos(infos: list[tuple[tuple[int, int], int]], at: tuple[int, int]) -> None:
    buffer = CameraInfoBuffer()
    for (sec, nanosec), size in infos:
        info = CameraInfo()
        info.header.stamp.sec, info.header.stamp.nanosec = sec, nanosec
        info.d = [0.0] * size
        buffer.add(info)
        assert len(buffer) <= MAX_MESSAGES
    assert sum(8 * len(entry.message.d) for entry in buffer._entries) <= MAX_BYTES
    image_ns = stamp_ns(SimpleNamespace(sec=at[0], nanosec=at[1]))
    found = buffer.find(image_ns)
    if found is not None:
        assert image_ns is not None
        assert (stamp_ns(found.header.stamp) or 0) <= image_ns


VALUES = scalars | st.lists(texts, max_size=4).map(list) | st.lists(numbers, max_size=4)


@attack("ros", short=60, name=st.sampled_from(ROWS) | texts, value=VALUES, is_configured=st.booleans())
def test_parameters(name: str, value: Any, is_configured: bool) -> str | None:
    """Every value of every parameter is accepted or has a reason, before and after the start."""
    present = NodeParameters()
    with tempfile.TemporaryDirectory() as folder:
        answer = refusal(
            [SimpleNamespace(name=name, value=value)],
            NodeParameters,
            present=present if is_configured else None,
            class_names=CITYSCAPES.names,
            allowed_paths=AllowedPaths([folder], present),
        )
    assert isinstance(answer, str)
    assert len(answer) < 1000
    return REFUSED if answer else None


@attack(
    "ros",
    path=texts | st.lists(st.sampled_from(["..", ".", "in", "link", "/", "~", "", "x"]), max_size=6).map("/".join),
)
def test_paths(path: str) -> str | None:
    """What is accepted lies in the allowed folder, links included."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "in")
        folder.mkdir()
        (folder / "link").symlink_to("/etc")
        for given in (path, f"{folder}/{path}"):
            if AllowedPaths([str(folder)], NodeParameters()).refusal("config", given) or given in {
                "",
                "cityscapes",
                "kitti",
                "demo",
            }:
                continue
            assert Path(given).expanduser().resolve().is_relative_to(folder.resolve())
            return None
    return REFUSED


@attack(
    "ros",
    height=mostly(st.integers(1, 6), st.integers(0, 2**32 - 1)),
    width=mostly(st.integers(1, 6), st.integers(0, 2**32 - 1)),
    step=mostly(st.integers(20, 60), st.integers(0, 2**32 - 1)),
    encoding=mostly(st.sampled_from(sorted(ENCODINGS)), WORDS),
    is_bigendian=st.integers(0, 255),
    data=mostly(st.integers(500, 1000).map(bytes), st.binary(max_size=1000)),
)
def test_image_messages(
    height: int, width: int, step: int, encoding: str, is_bigendian: int, data: bytes
) -> str | None:
    message = Image(height=height, width=width, step=step, encoding=encoding, is_bigendian=is_bigendian)
    message.data.frombytes(data)
    received = deserialize_message(serialize_message(message), Image)
    try:
        assert decode_image(received).shape == (height, width, 3)
    except ImageEncodingError as error:
        return refused(error)
    return None


@attack("ros", prediction=predictions(), stamp=STAMPS, frame_id=WORDS, quality=st.integers(1, 100))
def test_every_output_is_a_message(prediction: Any, stamp: tuple[int, int], frame_id: str, quality: int) -> None:
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = stamp
    picture = np.zeros((*prediction.shape, 3), np.uint8)
    context = MessageContext(picture, prediction, header=header, camera_info=CameraInfo(), jpeg_quality=quality)
    for topic, message_class in message_types().outputs.items():
        message = make_message(topic, context)
        back = deserialize_message(serialize_message(message), message_class)
        if hasattr(back, "header"):
            assert (back.header.stamp.sec, back.header.stamp.nanosec) == stamp
            assert back.header.frame_id == frame_id


@attack("ros", times_s=st.lists(st.floats(0, 100), max_size=60), rate_hz=st.floats(0.01, 1000))
def test_rates(times_s: list[float], rate_hz: float) -> None:
    """In any interval, no more frames pass than the rate and one early and one late frame allow."""
    limit = RateLimit()
    admitted = [now_s for now_s in sorted(times_s) if limit.admits(now_s, rate_hz)]
    if len(admitted) > 1:
        length_s = admitted[-1] - admitted[0]
        assert len(admitted) <= math.ceil(length_s * rate_hz) + 2
