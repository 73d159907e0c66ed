# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""JPEG and PNG: what a compressed image message holds."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.codec.compressed import decode_compressed, encode_jpeg
from opendr_panoptic_ros.errors import ImageEncodingError


def message(pixels: np.ndarray, extension: str = ".png", image_format: str = "") -> Any:
    """A compressed image message; colours in OpenCV's order, BGR."""
    data = array("B", cv2.imencode(extension, pixels)[1].tobytes())  # as in rclpy's messages
    return SimpleNamespace(format=image_format, data=data)


COLOUR = [[[10, 20, 30], [40, 50, 60]]]
BGR = np.array([[[30, 20, 10], [60, 50, 40]]], np.uint8)
GREY = np.array([[7, 200]], np.uint8)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (BGR, COLOUR),
        (BGR.astype(np.uint16) * 256 + 99, COLOUR),
        (np.dstack([BGR, GREY]), COLOUR),
        (np.dstack([BGR, GREY]).astype(np.uint16) * 256 + 99, COLOUR),
        (GREY, [[[7] * 3, [200] * 3]]),
        (GREY.astype(np.uint16) * 256 + 99, [[[7] * 3, [200] * 3]]),
    ],
    ids=["colour", "16-bit colour", "alpha", "16-bit alpha", "grey", "16-bit grey"],
)
def test_png(stored, expected):
    rgb = decode_compressed(message(stored))
    assert rgb.dtype == np.uint8
    assert rgb.tolist() == expected


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg(grey):
    stored = np.full((16, 16) if grey else (16, 16, 3), 200, np.uint8)
    if not grey:
        stored[:] = 30, 60, 200
    rgb = decode_compressed(message(stored, ".jpg"))
    expected = (200, 200, 200) if grey else (200, 60, 30)
    assert np.abs(rgb.astype(int) - expected).max() <= 3


# What image_transport_plugins writes. In the second column what cv2.imencode is given: the picture, or a mosaic of it.
FORMATS = {
    # since 2013
    "rgb8; jpeg compressed bgr8": "bgr",
    "bgr8; jpeg compressed bgr8": "bgr",
    "rgba8; jpeg compressed bgr8": "bgr",
    "rgb16; jpeg compressed bgr8": "bgr",
    "yuv422; jpeg compressed bgr8": "bgr",
    "nv12; jpeg compressed bgr8": "bgr",
    "bgr16; png compressed bgr16": "bgr 16",
    "rgb8; png compressed bgr8": "bgr",
    "bayer_rggb8; jpeg compressed bgr8": "bgr",
    # ROS 2 since Galactic: the greyscale picture of a Bayer camera
    "mono8; jpeg compressed mono8": "grey",
    "mono16; jpeg compressed mono8": "grey",
    "bayer_rggb8; jpeg compressed mono8": "grey",
    "bayer_rggb16; jpeg compressed mono8": "grey",
    # the pixels as they are
    "mono8; jpeg compressed ": "grey",
    "mono8; png compressed ": "grey",
    "mono16; png compressed ": "grey 16",
    "bayer_rggb8; jpeg compressed ": "mosaic",
    "bayer_rggb8; png compressed ": "mosaic",
    "bayer_rggb8; png compressed": "mosaic",
    "bayer_rggb16; png compressed ": "mosaic 16",
    "8UC3; jpeg compressed ": "bgr",
    "rgb8; tiff compressed ": "rgb",
    "bgr8; tiff compressed ": "bgr",
    "rgb16; tiff compressed ": "rgb 16",
    "rgba8; tiff compressed ": "rgba",
    "bgra8; tiff compressed ": "bgra",
    "mono8; tiff compressed ": "grey",
    "bayer_rggb8; tiff compressed ": "mosaic",
    # ROS 1 before 2013
    "rgb8; jpeg compressed": "rgb",
    "bgr8; jpeg compressed": "rgb",
    "rgb16; png compressed": "rgb 16",
    "mono8; jpeg compressed": "grey",
    # before it named the encoding, and other programs
    "jpeg": "bgr",
    "jpg": "bgr",
    "png": "bgr",
    "": "bgr",
}


@pytest.mark.parametrize(("image_format", "given"), FORMATS.items(), ids=lambda value: value or "empty")
def test_every_format_of_image_transport_is_read(image_format, given):
    rgb = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (8, 8))
    kind, _, bits = given.partition(" ")
    alpha = np.full((16, 16, 1), 255, np.uint8)
    pixels: np.ndarray = {
        "rgb": rgb, "rgba": np.dstack([rgb, alpha]),
        "bgr": rgb[:, :, ::-1], "bgra": np.dstack([rgb[:, :, ::-1], alpha]),
        "grey": np.full((16, 16), 90, np.uint8), "mosaic": mosaic,
    }[kind]  # fmt: skip
    pixels = pixels.astype(np.uint16) * 256 + 99 if bits else pixels
    extension = next((f".{name}" for name in ("png", "tiff") if name in image_format), ".jpg")
    if kind == "mosaic" and extension == ".jpg":  # of constant grey it is the same in every block of a JPEG
        pixels = np.full_like(mosaic, 100)
    decoded = decode_compressed(message(pixels, extension, image_format))
    expected = (90, 90, 90) if kind == "grey" else (200, 100, 50)
    if kind == "mosaic" and extension == ".jpg":
        expected = (100, 100, 100)
    assert np.abs(decoded.astype(int) - expected).max() <= 3


def test_the_grey_picture_of_a_bayer_camera_is_no_mosaic():
    grey = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    for extension, kind in ((".png", "png"), (".jpg", "jpeg")):
        sent = message(grey, extension, f"bayer_rggb8; {kind} compressed mono8")
        expected = cv2.imdecode(np.frombuffer(sent.data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert expected is not None
        assert np.array_equal(decode_compressed(sent), np.dstack([expected] * 3))


@pytest.mark.parametrize("compression", ["compressedDepth", "compressedDepth png", "compressedDepth rvl"])
def test_depth_images_are_refused_with_a_reason(compression):
    depth = message(np.full((4, 4), 1000, np.uint16), image_format=f"16UC1; {compression}")
    with pytest.raises(ImageEncodingError, match="a depth image of the transport compressedDepth"):
        decode_compressed(depth)


def test_a_mosaic_is_demosaiced():
    """RGGB with red 200, green 100 and blue 50 everywhere."""
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (4, 4))
    for depth, stored in ((8, mosaic), (16, mosaic.astype(np.uint16) * 256)):
        rgb = decode_compressed(message(stored, image_format=f"bayer_rggb{depth}; png compressed"))
        assert (rgb == [200, 100, 50]).all()


def test_data_as_the_rosbags_library_gives_it():
    data = np.frombuffer(cv2.imencode(".png", BGR)[1].tobytes(), np.uint8)
    assert decode_compressed(SimpleNamespace(format="png", data=data)).tolist() == COLOUR


def cut(extension: str) -> bytes:
    data = cv2.imencode(extension, np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))[1].tobytes()
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "data", [b"", b"no picture", cut(".jpg"), cut(".png")], ids=["nothing", "text", "half a JPEG", "half a PNG"]
)
def test_broken_data(data):
    with pytest.raises(
        ImageEncodingError, match=rf"\({len(data)} bytes, format 'jpeg'\) cannot be read; .*JPEG or PNG"
    ):
        decode_compressed(SimpleNamespace(format="jpeg", data=data))


def test_half_a_jpeg_is_refused_where_opencv_reads_it(monkeypatch):
    """OpenCV 4, as Ubuntu has it, repeats the last row in place of the others."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ImageEncodingError, match="cannot be read; expected a whole JPEG"):
        decode_compressed(SimpleNamespace(format="jpeg", data=cut(".jpg")))


def test_half_a_jpeg_with_a_preview_in_its_header(monkeypatch):
    """The preview's end is not that of the picture."""
    preview = cv2.imencode(".jpg", BGR)[1].tobytes()
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    data = cut(".jpg")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ImageEncodingError, match="cannot be read; expected a whole JPEG"):
        decode_compressed(SimpleNamespace(format="jpeg", data=data[:2] + segment + data[2:]))


def test_a_jpeg_may_be_padded():
    padded = message(BGR, ".jpg")
    expected = decode_compressed(padded)
    padded.data.extend([0] * 100)
    assert np.array_equal(decode_compressed(padded), expected)


def test_floating_point_pictures_are_refused():
    data = cv2.imencode(".tiff", np.zeros((2, 2), np.float32))[1].tobytes()
    with pytest.raises(ImageEncodingError, match="float32 in 1 channels; expected 8 or 16 bits"):
        decode_compressed(SimpleNamespace(format="tiff", data=data))


def test_encode_jpeg():
    pixels = np.full((16, 24, 3), (200, 60, 30), np.uint8)
    encoded = encode_jpeg(pixels, quality=90)
    assert encoded.format == "rgb8; jpeg compressed bgr8"  # as image_transport writes it
    assert np.abs(decode_compressed(encoded).astype(int) - pixels).max() <= 3
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encode_jpeg(noise, quality=10).data) < len(encode_jpeg(noise, quality=90).data) / 2
