# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""`opendr-panoptic bag --points`: the clouds in a bag are those of its depth images and results."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.checkpoint import load_checkpoint
from opendr_panoptic_ros.cli.main import app
from opendr_panoptic_ros.codec.image import encode
from opendr_panoptic_ros.points import CLOUD_DTYPE

INFO = "sensor_msgs/msg/CameraInfo"
K = np.array([50.0, 0, 31.5, 0, 50, 23.5, 0, 0, 1])
DISTORTION = np.array([-0.1, 0.01, 0, 0, 0])


@pytest.fixture
def recorded(tmp_path):
    """A bag with three frames; the depth of the second comes 10 ms later, that of the third is missing."""
    types = typestore().types
    rng = np.random.default_rng(0)
    writer = BagWriter(tmp_path / "in")
    for topic, type_name in (("/image_raw", IMAGE), ("/depth/image_rect", IMAGE), ("/depth/camera_info", INFO)):
        writer.add_topic(topic, type_name, [])

    def header(ns: int) -> Any:
        return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(ns, 10**9)), "optical")

    def write(topic: str, type_name: str, ns: int, message: Any) -> None:
        writer.write(ns, {topic: typestore().serialize_cdr(message, type_name)})

    def write_image(topic: str, ns: int, pixels: np.ndarray, encoding: str) -> None:
        f = encode(pixels, encoding)
        message = types[IMAGE](header(ns), f.height, f.width, f.encoding, f.is_bigendian, f.step, f.data)
        write(topic, IMAGE, ns, message)

    p = np.column_stack([K.reshape(3, 3), np.zeros(3)]).ravel()
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    info = types[INFO](header(0), 48, 64, "plumb_bob", DISTORTION, K, np.eye(3).ravel(), p, 0, 0, roi)
    write("/depth/camera_info", INFO, 1, info)
    for number in (1, 2, 3):
        write_image("/image_raw", number * 10**9, rng.integers(0, 256, (48, 64, 3), np.uint8), "rgb8")
        if number < 3:
            depth = np.full((48, 64), number, np.float32)
            write_image("/depth/image_rect", number * 10**9 + (number - 1) * 10**7, depth, "32FC1")
    writer.close()
    return tmp_path / "in"


def test_clouds(recorded, tmp_path, tiny_checkpoint) -> None:
    options = ["--points", "--topic", "/image_raw", "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    done = CliRunner().invoke(app, ["bag", str(recorded), str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    assert "1 frames have no depth image with their stamp on /depth/image_rect" in done.output
    clouds: dict[int, Any] = {}
    labels: dict[int, Any] = {}
    with AnyReader([tmp_path / "out"]) as reader:
        for connection, _, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
            if connection.topic == "/panoptic/points":
                clouds[message.header.stamp.sec] = message
            elif connection.topic == "/panoptic/semantic":
                labels[message.header.stamp.sec] = message
    assert list(clouds) == [1, 2]
    for number, cloud in clouds.items():
        points = np.frombuffer(cloud.data, CLOUD_DTYPE).reshape(48, 64)
        assert (points["z"] == number).all()
        assert points["x"][0] == pytest.approx((np.arange(64) - 31.5) * number / 50)
        assert np.array_equal(points["label"], np.reshape(labels[number].data, (48, 64)))


def test_depth_that_is_not_rectified(recorded, tmp_path, tiny_checkpoint) -> None:
    """The distortion of the camera moves the points as OpenCV does; rectified images have none."""
    options = ["--points", "--topic", "/image_raw", "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    found = {}
    for flag in ("--depth-is-rectified", "--no-depth-is-rectified"):
        done = CliRunner().invoke(app, ["bag", str(recorded), str(tmp_path / flag), *options, flag])
        assert done.exit_code == 0, done.output
        with AnyReader([tmp_path / flag]) as reader:
            connections = [c for c in reader.connections if c.topic == "/panoptic/points"]
            connection, _, data = next(reader.messages(connections))
            message: Any = reader.deserialize(data, connection.msgtype)
        found[flag] = np.frombuffer(message.data, CLOUD_DTYPE).reshape(48, 64)
    corner = found["--depth-is-rectified"][0, 0]
    assert (corner["x"], corner["y"]) == (pytest.approx(-31.5 / 50), pytest.approx(-23.5 / 50))
    (expected,) = cv2.undistortPoints(np.zeros((1, 1, 2)), K.reshape(3, 3), DISTORTION)[0]
    corner = found["--no-depth-is-rectified"][0, 0]
    assert (corner["x"], corner["y"]) == (pytest.approx(expected[0], rel=1e-3), pytest.approx(expected[1], rel=1e-3))
    assert expected[0] < -0.65


def test_the_clouds_have_the_ids_and_colors_of_the_label_map(recorded, tmp_path, tiny_checkpoint) -> None:
    names = load_checkpoint(tiny_checkpoint).config.classes.names
    classes = [{"name": name, "id": 100 + i, "of": [name], "color": [i, 200, 7]} for i, name in enumerate(names)]
    label_map = tmp_path / "map.yaml"
    label_map.write_text(yaml.safe_dump({"classes": classes}))
    options = ["--points", "--topic", "/image_raw", "--checkpoint", str(tiny_checkpoint), "--label-map", str(label_map)]
    done = CliRunner().invoke(app, ["bag", str(recorded), str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    with AnyReader([tmp_path / "out"]) as reader:
        (cloud, *_) = [
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == "/panoptic/points"
        ]
    points = np.frombuffer(cloud.data, CLOUD_DTYPE)  # type: ignore[attr-defined]
    known = points[points["label"] != 255]
    assert (known["label"] >= 100).all()
    assert len(known)
    assert np.array_equal(known["rgba"], 0xFF00C807 | (known["label"] - 100) << 16)


def test_what_is_missing_is_named(recorded, tmp_path) -> None:
    options = ["--points", "--topic", "/image_raw", "--depth-info-topic", "/no/info"]
    done = CliRunner().invoke(app, ["bag", str(recorded), str(tmp_path / "out"), *options])
    assert done.exit_code == 1
    assert "The bag has no sensor_msgs/msg/CameraInfo on /no/info" in str(done.exception)
    assert not (tmp_path / "out").exists()
