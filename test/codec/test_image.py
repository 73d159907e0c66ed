# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Every encoding, small enough to check on paper."""

from __future__ import annotations

import re
import sys
from array import array
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from opendr_panoptic_ros.codec.image import ENCODINGS, decode, encode, refusal
from opendr_panoptic_ros.errors import ImageEncodingError

PADDING = 170  # a value that no expected picture holds


def message(encoding, rows, *, padding=0, big_endian=False, width=None):
    """An image message whose rows are the given bytes, each followed by `padding` bytes more."""
    rows = np.array(rows, np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=PADDING)
    return SimpleNamespace(
        height=len(rows),
        width=rows.shape[1] if width is None else width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=array("B", padded.tobytes()),  # as in rclpy's messages
    )


# Two rows of two pixels.
COLOUR_ROWS = {
    "rgb8": [[10, 20, 30, 40, 50, 60], [1, 2, 3, 4, 5, 6]],
    "bgr8": [[30, 20, 10, 60, 50, 40], [3, 2, 1, 6, 5, 4]],
    "8UC3": [[30, 20, 10, 60, 50, 40], [3, 2, 1, 6, 5, 4]],
    "rgba8": [[10, 20, 30, 9, 40, 50, 60, 9], [1, 2, 3, 9, 4, 5, 6, 9]],
    "bgra8": [[30, 20, 10, 9, 60, 50, 40, 9], [3, 2, 1, 9, 6, 5, 4, 9]],
    "8UC4": [[30, 20, 10, 9, 60, 50, 40, 9], [3, 2, 1, 9, 6, 5, 4, 9]],
}
COLOURS = [[[10, 20, 30], [40, 50, 60]], [[1, 2, 3], [4, 5, 6]]]
GREY = [[[7] * 3, [8] * 3], [[200] * 3, [0] * 3]]
BLACK_WHITE = [[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]]

both_endiannesses = pytest.mark.parametrize("big_endian", [False, True])
paddings = pytest.mark.parametrize("padding", [0, 1, 5, 64])


@both_endiannesses
@paddings
@pytest.mark.parametrize("encoding", COLOUR_ROWS)
def test_colours(encoding, padding, big_endian):
    image = message(encoding, COLOUR_ROWS[encoding], padding=padding, big_endian=big_endian, width=2)
    rgb = decode(image)
    assert rgb.dtype == np.uint8
    assert rgb.tolist() == COLOURS


@both_endiannesses
@paddings
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey(encoding, padding, big_endian):
    image = message(encoding, [[7, 8], [200, 0]], padding=padding, big_endian=big_endian)
    assert decode(image).tolist() == GREY


@paddings  # an odd step, too: then 16-bit values are not aligned
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_16_bit_grey_keeps_the_high_byte(encoding, padding):
    little = message(encoding, [[255, 7, 1, 8], [99, 200, 255, 0]], padding=padding, width=2)
    big = message(encoding, [[7, 255, 8, 1], [200, 99, 0, 255]], padding=padding, width=2, big_endian=True)
    assert decode(little).tolist() == GREY
    assert decode(big).tolist() == GREY


# u = v = 128 is grey; video range: y 16 is black, 235 is white.
@both_endiannesses
@paddings
@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        ("yuv422", [[128, 16, 128, 235], [128, 235, 128, 16]]),
        ("uyvy", [[128, 16, 128, 235], [128, 235, 128, 16]]),
        ("yuv422_yuy2", [[16, 128, 235, 128], [235, 128, 16, 128]]),
        ("yuyv", [[16, 128, 235, 128], [235, 128, 16, 128]]),
    ],
)
def test_yuv422_brightness(encoding, rows, padding, big_endian):
    image = message(encoding, rows, padding=padding, big_endian=big_endian, width=2)
    assert decode(image).tolist() == BLACK_WHITE


@pytest.mark.parametrize(("encoding", "row"), [("yuv422", [90, 81, 240, 81]), ("yuv422_yuy2", [81, 90, 81, 240])])
def test_yuv422_colour(encoding, row):
    """BT.601's red: y 81, u 90, v 240. Swapped chroma would be blue."""
    red, green, blue = decode(message(encoding, [row], width=2))[0, 1]
    assert (red, green, blue) == pytest.approx((255, 0, 0), abs=2)


def test_yuv422_of_odd_width_has_half_a_pair_at_the_end():
    image = message("yuv422", [[128, 16, 128, 235, 128, 235, 128, 16]], width=3)
    assert decode(image).tolist() == [[[0] * 3, [255] * 3, [255] * 3]]


# 4x4 mosaics of R = 10, 20, 30, 40 (per 2x2 cell), G = 100 everywhere, B = 50, 60, 70, 80.
MOSAICS = {
    "bayer_rggb8": [[10, 100, 20, 100], [100, 50, 100, 60], [30, 100, 40, 100], [100, 70, 100, 80]],
    "bayer_bggr8": [[50, 100, 60, 100], [100, 10, 100, 20], [70, 100, 80, 100], [100, 30, 100, 40]],
    "bayer_gbrg8": [[100, 50, 100, 60], [10, 100, 20, 100], [100, 70, 100, 80], [30, 100, 40, 100]],
    "bayer_grbg8": [[100, 10, 100, 20], [50, 100, 60, 100], [100, 30, 100, 40], [70, 100, 80, 100]],
}
# The inner pixels: the colour measured there, and for the others the mean of the neighbours that measured it.
INNER = {
    "bayer_rggb8": [[[25, 100, 50], [30, 100, 55]], [[35, 100, 60], [40, 100, 65]]],
    "bayer_bggr8": [[[10, 100, 65], [15, 100, 70]], [[20, 100, 75], [25, 100, 80]]],
    "bayer_gbrg8": [[[15, 100, 60], [20, 100, 65]], [[25, 100, 70], [30, 100, 75]]],
    "bayer_grbg8": [[[20, 100, 55], [25, 100, 60]], [[30, 100, 65], [35, 100, 70]]],
}


@both_endiannesses
@paddings
@pytest.mark.parametrize("encoding", MOSAICS)
def test_bayer(encoding, padding, big_endian):
    image = message(encoding, MOSAICS[encoding], padding=padding, big_endian=big_endian)
    assert decode(image)[1:3, 1:3].tolist() == INNER[encoding]


@pytest.mark.parametrize("encoding", MOSAICS)
@pytest.mark.parametrize("size", [(2, 2), (2, 6), (6, 2), (3, 3), (5, 7)])
def test_bayer_of_one_colour_at_any_size(encoding, size):
    height, width = size
    cell = {"r": 200, "g": 100, "b": 50}
    pattern = np.array([cell[letter] for letter in encoding[6:10]], np.uint8).reshape(2, 2)
    mosaic = np.tile(pattern, (4, 4))[:height, :width]
    assert (decode(message(encoding, mosaic)) == [200, 100, 50]).all()


def deep(rows, *, big_endian):
    """The same rows with values of 16 bits, whose high bytes are the given ones."""
    low = np.full_like(np.array(rows, np.uint8), 99)
    pair = (rows, low) if big_endian else (low, rows)
    return np.stack([np.array(part, np.uint8) for part in pair], -1).reshape(len(rows), -1)


DEEP_COLOURS = {
    "rgb16": "rgb8", "bgr16": "bgr8", "16UC3": "bgr8", "rgba16": "rgba8", "bgra16": "bgra8", "16UC4": "bgra8"
}  # fmt: skip


@both_endiannesses
@paddings
@pytest.mark.parametrize("encoding", DEEP_COLOURS)
def test_16_bit_colours_keep_the_high_bytes(encoding, padding, big_endian):
    rows = deep(COLOUR_ROWS[DEEP_COLOURS[encoding]], big_endian=big_endian)
    assert decode(message(encoding, rows, padding=padding, big_endian=big_endian, width=2)).tolist() == COLOURS


@both_endiannesses
@paddings
@pytest.mark.parametrize("encoding", MOSAICS)
def test_16_bit_bayer_keeps_the_high_bytes(encoding, padding, big_endian):
    rows = deep(MOSAICS[encoding], big_endian=big_endian)
    image = message(encoding.replace("8", "16"), rows, padding=padding, big_endian=big_endian, width=4)
    assert decode(image)[1:3, 1:3].tolist() == INNER[encoding]


# BT.601 with video range: y, u, v of some colours.
YUV = {
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
    (255, 255, 255): (235, 128, 128),
}


def semi_planar(encoding, colours, height, width, padding):
    """An image of 2x2 blocks of these colours, from left to right, as nv12, nv21 or nv24."""
    yuv = np.array([YUV[colour] for colour in colours], np.uint8)
    block = np.arange(width) // 2 % len(colours)
    luma = np.tile(yuv[block, 0], (height, 1))
    if encoding == "nv24":
        chroma, step = np.tile(yuv[block, 1:].reshape(-1), (height, 1)), width + padding
        chroma_step = 2 * step
    else:
        pairs = yuv[np.arange((width + 1) // 2) % len(colours), 1:]
        pairs = pairs[:, ::-1] if encoding == "nv21" else pairs
        chroma = np.tile(pairs.reshape(-1), ((height + 1) // 2, 1))
        step = chroma_step = max(width + padding, chroma.shape[1])
    planes = [
        np.pad(plane, ((0, 0), (0, length - plane.shape[1])), constant_values=PADDING)
        for plane, length in ((luma, step), (chroma, chroma_step))
    ]
    data = array("B", b"".join(plane.tobytes() for plane in planes))
    return SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data)


@paddings
@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 8), (3, 5), (4, 7), (5, 6), (7, 9)])
def test_semi_planar_yuv(encoding, size, padding):
    colours = list(YUV)
    image = semi_planar(encoding, colours, size[0], size[1], padding)
    rgb = decode(image)
    expected = np.array([colours[x // 2 % len(colours)] for x in range(size[1])])
    assert rgb.shape == (*size, 3)
    assert np.abs(rgb.astype(int) - expected).max() <= 2
    image.data.pop()
    with pytest.raises(ImageEncodingError, match=f"data holds {len(image.data)} bytes; .* The message is truncated"):
        decode(image)


@both_endiannesses
@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        ("32FC1", "one floating-point channel, such as a depth image"),
        ("64FC1", "one floating-point channel"),
        ("32FC3", "floating-point channels without a defined range"),
        ("16SC1", "signed values"),
        ("32SC1", "signed values, such as labels"),
        ("8UC2", "two channels, which are not colours"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(encoding, reason, big_endian):
    with pytest.raises(ImageEncodingError, match=f"'{encoding}': {reason}.*convert the images to rgb8") as error:
        decode(message(encoding, [[0] * 24], width=2, big_endian=big_endian))
    assert "cv_bridge" not in str(error.value)


def test_every_encoding_of_ros_is_read_or_refused_with_a_reason():
    """Those of sensor_msgs/image_encodings.hpp, read from there where it is installed."""
    header = next(Path(sys.prefix).glob("include/**/image_encodings.hpp"), None)
    if header is None:
        pytest.skip("sensor_msgs is not installed in this environment")
    encodings = re.findall(r'const char \w+\[\] =\s*"([^"]+)"', header.read_text("utf-8"))
    assert len(encodings) > 50
    for encoding in encodings:
        if encoding not in ENCODINGS:
            assert "Expected a picture" in refusal(encoding), encoding


@pytest.mark.parametrize("encoding", [*COLOUR_ROWS, "mono8", "mono16", "yuv422", "yuv422_yuy2", *MOSAICS])
def test_one_pixel(encoding):
    assert decode(message(encoding, [[128] * 4], width=1)).shape == (1, 1, 3)


@pytest.mark.parametrize("encoding", [*COLOUR_ROWS, "mono8", "mono16", "yuv422", "bayer_rggb8"])
def test_the_message_stays_as_it_was(encoding):
    image = message(encoding, np.arange(96).reshape(4, 24), width=3, big_endian=True)
    before = image.data.tobytes()
    rgb = decode(image)
    if rgb.flags.writeable:
        rgb[...] = PADDING
    assert image.data.tobytes() == before
    assert image.encoding == encoding
    assert image.is_bigendian == 1


@pytest.mark.parametrize("encoding", ["rgb8", "rgba8"])
def test_rgb_is_a_view_not_a_copy(encoding):
    image = message(encoding, COLOUR_ROWS[encoding], padding=3, width=2)
    rgb = decode(image)
    image.data[0] = 99
    assert rgb[0, 0, 0] == 99
    assert not rgb.flags.writeable


def test_data_of_other_buffer_types():
    image = message("rgb8", COLOUR_ROWS["rgb8"], width=2)
    for data in (image.data.tobytes(), np.array(image.data)):  # as the rosbags library gives them
        from_a_bag = SimpleNamespace(height=2, width=2, encoding="rgb8", is_bigendian=False, step=6, data=data)
        assert decode(from_a_bag).tolist() == COLOURS


def test_more_data_than_needed_is_no_error():
    image = message("mono8", [[7, 8], [200, 0]])
    image.data.frombytes(b"more")
    assert decode(image).tolist() == GREY


def test_unknown_encoding_names_the_known_ones():
    with pytest.raises(ImageEncodingError, match=r"'h264'; expected one of .*bayer_rggb8.*rgb8"):
        decode(message("h264", [[0] * 6], width=2))
    with pytest.raises(ImageEncodingError, match="''; expected"):
        decode(message("", [[0] * 6], width=2))


@pytest.mark.parametrize(
    ("encoding", "row_bytes"), [("rgb8", 6), ("rgba8", 8), ("mono8", 2), ("mono16", 4), ("yuv422", 4), ("8UC4", 8)]
)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_step_shorter_than_a_row(encoding, row_bytes, missing):
    image = message(encoding, [[0] * 32], width=2)
    image.step = row_bytes - missing
    with pytest.raises(ImageEncodingError, match=f"step is {row_bytes - missing} bytes; .* at least {row_bytes}"):
        decode(image)


def test_data_cut_short():
    image = message("rgb8", COLOUR_ROWS["rgb8"], width=2)
    image.data.pop()
    with pytest.raises(ImageEncodingError, match="data holds 11 bytes; 2 rows of step 6 take 12"):
        decode(image)


@pytest.mark.parametrize(("height", "width"), [(0, 2), (2, 0), (0, 0)])
def test_an_image_without_pixels(height, width):
    image = SimpleNamespace(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width, data=b"")
    with pytest.raises(ImageEncodingError, match=f"{width}x{height} pixels; expected at least 1x1"):
        decode(image)


@pytest.mark.parametrize(
    ("encoding", "pixels", "step", "data"),
    [
        ("rgb8", np.array(COLOURS, np.uint8), 6, [10, 20, 30, 40, 50, 60, 1, 2, 3, 4, 5, 6]),
        ("mono8", np.array([[7, 8], [200, 0]], np.uint8), 2, [7, 8, 200, 0]),
        ("mono16", np.array([[1, 258], [65535, 0]], np.uint16), 4, [1, 0, 2, 1, 255, 255, 0, 0]),
        ("32SC1", np.array([[-1, 26001]], np.int32), 8, [255, 255, 255, 255, 0x91, 0x65, 0, 0]),
    ],
)
def test_encode(encoding, pixels, step, data):
    image = encode(pixels, encoding)
    assert (image.height, image.width) == pixels.shape[:2]
    assert (image.encoding, image.is_bigendian, image.step) == (encoding, 0, step)
    assert image.data.dtype == np.uint8
    assert image.data.tolist() == data
    assert np.shares_memory(image.data, pixels)


def test_encode_takes_a_view_with_gaps():
    wide = np.arange(24, dtype=np.uint16).reshape(4, 6)
    image = encode(wide[::2, 1:3], "mono16")
    assert np.frombuffer(image.data, np.uint16).tolist() == [1, 2, 13, 14]


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
def test_what_is_encoded_is_decoded(encoding):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    pixels = pixels if encoding == "rgb8" else pixels[..., 0]
    rgb = decode(encode(pixels, encoding))
    assert np.array_equal(rgb, pixels if encoding == "rgb8" else np.repeat(pixels[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "pixels", "problem"),
    [
        ("rgb8", np.zeros((2, 2), np.uint8), r"uint8 of shape \(2, 2\); rgb8 needs uint8 of shape \(H, W, 3\)"),
        ("mono8", np.zeros((2, 2), np.int32), "int32 of shape"),
        ("mono16", np.zeros((2, 2, 1), np.uint16), r"shape \(2, 2, 1\)"),
        ("32SC1", np.zeros((0, 2), np.int32), r"shape \(0, 2\)"),
        ("jpeg", np.zeros((2, 2), np.uint8), "'jpeg'; expected one of rgb8, mono8, mono16, 32SC1"),
    ],
)
def test_pixels_that_do_not_fit_the_encoding(encoding, pixels, problem):
    with pytest.raises(ImageEncodingError, match=problem):
        encode(pixels, encoding)
