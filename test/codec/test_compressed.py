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
