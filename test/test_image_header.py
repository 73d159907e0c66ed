# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Sizes and lengths of stored images are checked before anything is decoded."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros.codec.compressed import decode_compressed
from opendr_panoptic_ros.codec.image import decode
from opendr_panoptic_ros.data import Image
from opendr_panoptic_ros.errors import ConfigError, DatasetError, ImageEncodingError
from opendr_panoptic_ros.image_header import FORMATS, MAX_IMAGE_PIXELS, read_image_file, refusal
from opendr_panoptic_ros.media import read_image
from opendr_panoptic_ros.postprocess import read_ego_mask

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
ENCODED = {
    "png": (".png", []),
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "webp": (".webp", []),
    "lossless webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "tiff": (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
    "bmp": (".bmp", []),
    "ppm": (".ppm", []),
    "pgm": (".pgm", []),
}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes = b"\0" * 40, *, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A JPEG that claims a size."""
    data = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def tiff(width: int, height: int, *more: tuple[int, int], order: str = "<") -> bytes:
    entries = sorted([(256, width), (257, height), *more])
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return start + b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in entries) + b"\0" * 4


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


# The 41 bytes at which a decoder reserves 4 GB: an ordinary header, then a chunk that claims 0xfffffff0 bytes.
TINY_BOMB = png(64, 64)[:33] + b"\xff\xff\xff\xf0IDAT"
BOMBS = {
    "a chunk of 4 GB": TINY_BOMB,
    "jpeg of 14 KB": jpeg(65500, 2000) + b"\0" * 12_000,
    "png of 900 megapixels": png(30_000, 30_000),
    "png at the limit without data": png(10_000, 10_000),
    "webp": webp(16_000, 16_000),
    "tiff": tiff(60_000, 60_000),
    "big-endian tiff": tiff(60_000, 60_000, order=">"),
    "tiff of large tiles": tiff(10, 10, (322, 30_000), (323, 30_000)),
    "big tiff with an offset of 64 bits": b"II+\0\x08\0\0\0" + b"\xff" * 16,
    "tiff of many channels": tiff(100, 100, (277, 60_000)),
    "bmp": b"BM" + b"\0" * 12 + struct.pack("<IiiHH", 40, 30_000, -30_000, 1, 24) + b"\0" * 24,
    "ppm": b"P6\n# a comment\n30000 30000\n255\n\0",
    "jpeg of 10,000 scans": jpeg(50, 30)[:-2] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" * 10_000 + b"\xff\xd9",
}


@pytest.mark.parametrize(("suffix", "parameters"), ENCODED.values(), ids=ENCODED)
def test_the_size_is_that_which_the_decoder_finds(suffix, parameters):
    pixels = PIXELS[:, :, 0] if suffix == ".pgm" else PIXELS
    data = np.asarray(cv2.imencode(suffix, pixels, parameters)[1], np.uint8).reshape(-1)
    assert refusal(data, max_pixels=1500) == ""
    assert "50x30 pixels, and the limit is 1499 pixels" in refusal(data, max_pixels=1499)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG", "JPEG", "BMP", "PPM"])
def test_files_of_another_library(kind, tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    image_module.fromarray(PIXELS).save(tmp_path / "image", kind, **({"dpi": (72, 72)} if kind == "JPEG" else {}))
    data = read_image_file(tmp_path / "image")
    assert refusal(data) == ""
    assert "50x30" in refusal(data, max_pixels=1)


def test_a_preview_in_the_header_is_not_the_image():
    preview = jpeg(30_000, 30_000)
    data = jpeg(50, 30)
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    assert refusal(np.frombuffer(data[:2] + segment + data[2:], np.uint8)) == ""


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_everywhere(data, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    reason = refusal(np.frombuffer(data, np.uint8))
    assert reason
    message = SimpleNamespace(format="png", data=data)
    with pytest.raises(ImageEncodingError, match="cannot be read; expected a whole JPEG or PNG, but it "):
        decode_compressed(message)
    with pytest.raises(DatasetError) as caught:
        read_image(path)
    assert reason in str(caught.value)
    with pytest.raises(ValueError, match="is not an image") as refused:
        Image.open(str(path))
    assert reason in str(refused.value)
    with pytest.raises(ConfigError, match="is not a file that contains an image"):
        read_ego_mask(path)


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_prepare(data, tmp_path):
    pytest.importorskip("PIL")
    from opendr_panoptic_ros.formats.image_files import read_pixels

    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(DatasetError, match=r"bomb\.png: cannot be read: it "):
        read_pixels(tmp_path / "bomb.png")


def test_a_large_image_within_the_limit_is_read_without_a_warning(tmp_path, recwarn):
    """Pillow itself warns from 89 megapixels."""
    pytest.importorskip("PIL")
    from opendr_panoptic_ros.formats.image_files import read_pixels

    rows = zlib.compress(b"\0" * ((9500 * 10_000 + 7) // 8 + 9500))
    header = struct.pack(">IIBBBBB", 10_000, 9500, 1, 0, 0, 0, 0)
    (tmp_path / "large.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    assert read_pixels(tmp_path / "large.png").shape == (9500, 10_000)
    assert not recwarn


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".ppm"])
def test_messages_have_fewer_formats_than_files(suffix):
    message = SimpleNamespace(format="webp", data=cv2.imencode(suffix, PIXELS)[1].tobytes())
    with pytest.raises(ImageEncodingError, match="but it is not PNG, JPEG or TIFF"):
        decode_compressed(message)


def test_the_limit_is_a_parameter_of_messages():
    compressed = SimpleNamespace(format="png", data=cv2.imencode(".png", PIXELS)[1].tobytes())
    assert decode_compressed(compressed, max_pixels=1500).shape == (30, 50, 3)
    with pytest.raises(ImageEncodingError, match="50x30 pixels, and the limit is 1499 pixels"):
        decode_compressed(compressed, max_pixels=1499)
    raw = SimpleNamespace(height=30, width=50, encoding="rgb8", is_bigendian=0, step=150, data=PIXELS.tobytes())
    assert decode(raw, max_pixels=1500).shape == (30, 50, 3)
    with pytest.raises(ImageEncodingError, match="50x30 pixels; expected at most 1499 pixels"):
        decode(raw, max_pixels=1499)


@pytest.mark.parametrize("claim", [{"height": 10_000}, {"width": 10_000}, {"step": 0}, {"step": 2**32 - 1}])
def test_raw_images_that_claim_more_than_their_data(claim):
    fields = {"height": 30, "width": 50, "encoding": "rgb8", "is_bigendian": 0, "step": 150, "data": PIXELS.tobytes()}
    with pytest.raises(ImageEncodingError, match=r"data holds 4500 bytes|step is"):
        decode(SimpleNamespace(**{**fields, **claim}))


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes_behind_a_signature_give_an_answer(name):
    suffix = {"JPEG": ".jpg", "TIFF": ".tif", "PNM": ".ppm"}.get(name, f".{name.lower()}")
    whole = cv2.imencode(suffix, PIXELS[:4, :4])[1].tobytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        data = np.frombuffer(whole[: rng.integers(2, len(whole) + 1)], np.uint8).copy()
        places = rng.integers(min(len(data) - 1, 4), len(data), 3)
        data[places] = rng.integers(0, 256, 3)
        assert isinstance(refusal(data), str)


def test_a_file_beyond_every_image_is_not_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        os.truncate(file.fileno(), 11 * MAX_IMAGE_PIXELS)
    with pytest.raises(DatasetError, match=r"huge\.png cannot be read: Larger than 1000000000 bytes"):
        read_image(tmp_path / "huge.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DatasetError, match=r"pipe\.png cannot be read: Not a regular file"):
        read_image(tmp_path / "pipe.png")


MEASURE = """if True:
    import resource, sys, time
    from pathlib import Path
    from types import SimpleNamespace
    from opendr_panoptic_ros.codec.compressed import decode_compressed
    from opendr_panoptic_ros.errors import PanopticError
    from opendr_panoptic_ros.media import read_image
    def refused(function, *arguments):
        try:
            function(*arguments)
        except PanopticError:
            return
        sys.exit("not refused")
    Path("text.png").write_text("no image")
    refused(read_image, Path("text.png"))
    for name in sys.argv[1:]:
        before_kb, start_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        refused(read_image, Path(name))
        refused(decode_compressed, SimpleNamespace(format="", data=Path(name).read_bytes()))
        used_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
        print(round(used_mb), round(time.process_time() - start_s, 3))
"""


def test_a_refusal_takes_neither_memory_nor_time(tmp_path):
    for i, data in enumerate(BOMBS.values()):
        (tmp_path / str(i)).write_bytes(data)
    names = [str(i) for i in range(len(BOMBS))]
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *names],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert len(measured) == len(BOMBS)
    for name, (used_mb, time_s) in zip(BOMBS, measured, strict=True):
        assert used_mb < 200, name
        assert time_s < 1, name
