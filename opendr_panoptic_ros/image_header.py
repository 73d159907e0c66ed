# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Decides, by the headers of a stored image, whether it may be decoded. All images of files and messages pass here.

A decoder reserves memory for the sizes that a file claims. A file of a few bytes can therefore take gigabytes unless
its size in pixels, and the lengths of its parts, are checked first.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Callable, Collection, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_panoptic_ros.files import open_regular

MAX_IMAGE_PIXELS = 100_000_000
"""Largest number of pixels of an image that is decoded. The node's parameter `max_image_pixels` replaces it."""
_MAX_FILE_BYTES = 10 * MAX_IMAGE_PIXELS  # four uncompressed channels of 16 bits, and metadata
_MAX_JPEG_SCANS = 100  # a progressive JPEG has about 10; each one is a pass over the whole image
_MAX_DEFLATE_RATIO = 1032  # the compression of PNG cannot shrink data further


def read_image_file(path: Path) -> NDArray[np.uint8]:
    """Read the bytes of an image file, without decoding them.

    Args:
        path: The file; links are followed.

    Returns:
        Its content, `(N,)` uint8.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger than any image that is decoded.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"Larger than {_MAX_FILE_BYTES} bytes", os.fspath(path))
        return np.frombuffer(file.read(_MAX_FILE_BYTES), np.uint8)


def refusal(
    data: NDArray[np.uint8], *, formats: Collection[str] | None = None, max_pixels: int = MAX_IMAGE_PIXELS
) -> str:
    """Return why a stored image must not be decoded.

    Args:
        data: The content of a file or message, `(N,)` uint8.
        formats: The formats that are accepted, of `FORMATS`; None for all of them.
        max_pixels: Largest number of pixels.

    Returns:
        The reason, as a clause that follows "because"; an empty string if the image may be decoded.
    """
    start = data[:16].tobytes()
    name = next((name for name, (pattern, _) in _READERS.items() if pattern.match(start)), "")
    expected = [known for known in FORMATS if formats is None or known in formats]
    if name not in expected:
        return f"it is not {', '.join(expected[:-1])} or {expected[-1]}"
    try:
        width, height = _READERS[name][1](data.tobytes())
    except (_DamageError, struct.error, IndexError, OverflowError) as error:
        return f"it is a damaged or truncated {name}" + (f": {error}" if isinstance(error, _DamageError) else "")
    if width < 1 or height < 1:
        return f"it is a {name} of {width}x{height} pixels"
    if width * height > max_pixels:
        return f"it has {width}x{height} pixels, and the limit is {max_pixels} pixels"
    return ""


class _DamageError(Exception):
    """The headers contradict each other or the length of the data."""


def _png(data: bytes) -> tuple[int, int]:
    size, compressed_bytes, raw_bytes = (0, 0), 0, 0
    place, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise _DamageError(f"a chunk claims {length} bytes, {max(0, len(data) - place - 12)} follow")
        if place == 8:
            if kind != b"IHDR" or length != 13:
                raise _DamageError("it does not begin with its header")
            *size_px, depth, color = struct.unpack_from(">IIBB", data, place + 8)
            size = size_px[0], size_px[1]
            raw_bytes = size[0] * size[1] * depth * {2: 3, 4: 2, 6: 4}.get(color, 1) // 8
        compressed_bytes += length if kind == b"IDAT" else 0
        place = end
    if raw_bytes > _MAX_DEFLATE_RATIO * compressed_bytes:
        raise _DamageError(f"{compressed_bytes} bytes cannot hold {size[0]}x{size[1]} pixels")
    return size


def _jpeg(data: bytes) -> tuple[int, int]:
    # The end marker is searched for behind the last scan, because a preview in the header has one of its own. OpenCV 4
    # fills the missing rows and reports success.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise _DamageError("it has no end")
    if data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise _DamageError(f"it has more than {_MAX_JPEG_SCANS} scans")
    place = 2
    while True:
        place = data.find(b"\xff", place)  # decoders skip what lies between segments
        if place < 0:
            raise _DamageError("it has no size")
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
        if marker in {0xD8, 0xD9, 0xDA}:
            raise _DamageError("it has no size")
        if marker not in _JPEG_STANDALONE:
            place += int(struct.unpack_from(">H", data, place)[0])


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})


def _webp(data: bytes) -> tuple[int, int]:
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise _DamageError(f"it claims {riff_bytes + 8} bytes, and there are {len(data)}")
    sizes = [_webp_chunk_size(data, place, kind) for place, kind in _webp_chunks(data, 8 + riff_bytes)]
    found = [size for size in sizes if size is not None]
    if not found:
        raise _DamageError("it has no size")
    return max(width for width, _ in found), max(height for _, height in found)


def _webp_chunks(data: bytes, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the place of the content and the name of each chunk."""
    place = 12
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, place)
        if place + 8 + length > end:
            raise _DamageError(f"a chunk claims {length} bytes, {end - place - 8} follow")
        yield place + 8, kind
        place += 8 + length + length % 2


def _webp_chunk_size(data: bytes, place: int, kind: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[place + 4 : place + 7], "little"), 1 + int.from_bytes(
            data[place + 7 : place + 10], "little"
        )
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, place + 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, place + 1)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in {b"+\0", b"\0+"}
    (directory,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    count_code, entry_bytes, value_place = ("Q", 20, 12) if is_big else ("H", 12, 8)
    (count,) = struct.unpack_from(order + count_code, data, directory)
    first = directory + struct.calcsize("=" + count_code)
    if first + count * entry_bytes > len(data):
        raise _DamageError(f"its directory claims {count} entries")
    values: dict[int, int] = {}
    for place in range(first, first + count * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if code is not None:
            (value,) = struct.unpack_from(order + code, data, place + value_place)
            values[tag] = max(values.get(tag, 0), int(value))
    if values.get(277, 1) > 4:
        raise _DamageError(f"it has {values[277]} channels")
    # A tile may be larger than the image, and is decoded as a whole.
    return max(values.get(256, 0), values.get(322, 0)), max(values.get(257, 0), values.get(323, 0))


def _bmp(data: bytes) -> tuple[int, int]:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    return abs(width), abs(height)  # rows from top to bottom have a negative height


def _pnm(data: bytes) -> tuple[int, int]:
    words = []
    for line in BytesIO(data[2:4096]):
        words += line.partition(b"#")[0].split()
        if len(words) >= 2:
            break
    if len(words) < 2 or not all(re.fullmatch(rb"\d{1,9}", word) for word in words[:2]):
        raise _DamageError("it has no size")
    return int(words[0]), int(words[1])


_READERS: dict[str, tuple[re.Pattern[bytes], Callable[[bytes], tuple[int, int]]]] = {
    "PNG": (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    "JPEG": (re.compile(rb"\xff\xd8"), _jpeg),
    "WebP": (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    "TIFF": (re.compile(rb"II[*+]\0|MM\0[*+]"), _tiff),
    "BMP": (re.compile(rb"BM"), _bmp),
    "PNM": (re.compile(rb"P[1-6]\s"), _pnm),
}
FORMATS = tuple(_READERS)
"""The formats that are read from files. PNM stands for PPM, PGM and PBM."""
