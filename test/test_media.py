# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Image and video files: whole ones, truncated ones, with any name and orientation."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from opendr_panoptic_ros import media
from opendr_panoptic_ros.errors import DatasetError, PanopticError
from opendr_panoptic_ros.media import VideoWriter, open_video, read_image

RGB = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 3)
KINDS = {
    "png": (".png", []),
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "webp": (".webp", []),
    "tiff": (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
    "tiff lzw": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
    "bmp": (".bmp", []),
    "ppm": (".ppm", []),
}


def encoded(suffix: str, parameters: list[int] = []) -> bytes:  # noqa: B006 - not changed
    return cv2.imencode(suffix, RGB[:, :, ::-1], parameters)[1].tobytes()


@pytest.mark.parametrize(("suffix", "parameters"), KINDS.values(), ids=KINDS)
def test_an_image_is_read(tmp_path, suffix, parameters):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encoded(suffix, parameters))
    assert media.is_image(path)
    assert not media.is_video(path)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RGB).max() <= (0 if suffix in {".png", ".tif", ".tiff", ".bmp", ".ppm"} else 40)


@pytest.mark.parametrize(("suffix", "parameters"), KINDS.values(), ids=KINDS)
def test_a_truncated_image_is_named(tmp_path, suffix, parameters):
    whole = encoded(suffix, parameters)
    path = tmp_path / f"cut{suffix}"
    for length in (0, 1, 10, len(whole) // 3, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=rf"cut\{suffix} is not an image .* truncated \({length} bytes\)"):
            read_image(path)


def test_a_truncated_jpeg_is_refused_where_opencv_reads_it(tmp_path, monkeypatch):
    """OpenCV 4, as Ubuntu has it, fills the missing rows."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "cut.jpg").write_bytes(encoded(".jpg")[:-100])
    with pytest.raises(DatasetError, match="truncated"):
        read_image(tmp_path / "cut.jpg")


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"missing\.png cannot be read: No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        read_image(tmp_path)


def test_deep_and_transparent_pixels(tmp_path):
    bgra = np.dstack([RGB[:, :, ::-1], np.full((48, 64), 9, np.uint8)])
    for name, pixels in (("deep", RGB[:, :, ::-1].astype(np.uint16) * 256 + 99), ("alpha", bgra)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        assert np.array_equal(read_image(tmp_path / f"{name}.png"), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_file_is_applied_as_in_prepare(tmp_path, kind, orientation):
    """`prepare` reads with Pillow, everything else with OpenCV."""
    image_module = pytest.importorskip("PIL.Image")
    operations = pytest.importorskip("PIL.ImageOps")
    image = image_module.fromarray(RGB)
    exif = image_module.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "image"
    path.write_bytes(data.getvalue())
    expected = np.asarray(operations.exif_transpose(image_module.open(path)).convert("RGB"))
    pixels = read_image(path)
    assert pixels.shape == expected.shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    assert np.abs(pixels.astype(int) - expected).max() <= 2


def write_video(path: Path, count: int = 20) -> Path:
    rng = np.random.default_rng(1)
    with VideoWriter(path, rate_hz=5, size_px=(64, 48)) as writer:
        for _ in range(count):
            writer.write(np.asarray(cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 2), np.uint8))
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".webm"])
def test_a_video_that_is_written_is_read(tmp_path, suffix):
    colours = [(200, 30, 60), (20, 180, 90), (10, 20, 220)]
    path = tmp_path / "new" / f"video{suffix}"
    with VideoWriter(path, rate_hz=5, size_px=(64, 48)) as writer:
        for colour in colours:
            writer.write(np.full((48, 64, 3), colour, np.uint8))
        assert not path.exists()
        with pytest.raises(ValueError, match=r"\(48, 64\) pixels; the video is \(64, 48\)"):
            writer.write(np.zeros((64, 48, 3), np.uint8))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    video = open_video(path)
    assert (video.rate_hz, video.frame_count) == (5, 3)
    frames = list(video.frames)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    for frame, colour in zip(frames, colours, strict=True):
        assert np.abs(frame.mean((0, 1)) - colour).max() < 12


def test_a_video_that_is_not_completed_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "video.avi", rate_hz=5, size_px=(64, 48)):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_video_in_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((PanopticError, OSError)):
        VideoWriter(tmp_path / "file" / "video.avi", rate_hz=5, size_px=(64, 48))


@pytest.mark.parametrize("suffix", [".avi", ".webm", ".mp4"])
@pytest.mark.parametrize("part", [0.6, 0.95])
def test_a_truncated_video_is_named_after_its_last_frame(tmp_path, suffix, part):
    path = write_video(tmp_path / f"video{suffix}")
    data = path.read_bytes()
    if suffix == ".mp4":
        data = with_index_first(data)
        path.write_bytes(data)
        assert len(list(open_video(path).frames)) == 20
    path.write_bytes(data[: int(len(data) * part)])
    frames = open_video(path).frames
    read: list[np.ndarray] = []
    with pytest.raises(DatasetError, match=rf"video\{suffix} is truncated: \d+ of 20 frames"):
        read.extend(frames)
    assert 3 <= len(read) < 20


def with_index_first(data: bytes) -> bytes:
    """Move the index of an MP4 before its frames, as programs for the web do."""
    boxes, place = {}, 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        boxes[data[place + 4 : place + 8]] = data[place : place + size]
        place += size
    index = bytearray(boxes.pop(b"moov"))
    table = index.index(b"stco") + 8
    count = int.from_bytes(index[table : table + 4], "big")
    for i in range(table + 4, table + 4 + 4 * count, 4):
        struct.pack_into(">I", index, i, struct.unpack_from(">I", index, i)[0] + len(index))
    return boxes.pop(b"ftyp") + bytes(index) + b"".join(boxes.values())


@pytest.mark.parametrize("data", [b"", b"no video", b"RIFF\0\0\0\0AVI "], ids=["empty", "text", "only a header"])
def test_what_is_no_video_is_named(tmp_path, data):
    (tmp_path / "text.avi").write_bytes(data)
    with pytest.raises(DatasetError, match=r"text\.avi is not a video that OpenCV can read"):
        open_video(tmp_path / "text.avi")


def test_names_that_are_not_utf_8(tmp_path):
    """OpenCV ends the process on them, so this runs in one of its own."""
    folder = tmp_path / os.fsdecode(b"Stra\xdfe")
    folder.mkdir()
    (folder / os.fsdecode(b"\xdf.png")).write_bytes(encoded(".png"))
    code = """if True:
        import os, sys
        from pathlib import Path
        import numpy as np
        from opendr_panoptic_ros.media import VideoWriter, open_video, printable, read_image
        folder = Path(sys.argv[1])
        (image,) = folder.iterdir()
        video = folder / os.fsdecode(b"\\xdf.avi")
        with VideoWriter(video, rate_hz=5, size_px=(64, 48)) as writer:
            writer.write(read_image(image))
        frames = list(open_video(video).frames)
        print(printable(video), len(frames), frames[0].shape)
        video.write_bytes(b"no video")
        open_video(video)
    """
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.decode().endswith("Stra�e/�.avi 1 (48, 64, 3)\n")
    assert "Stra�e/�.avi is not a video" in done.stderr.decode()
    assert sorted(os.fsencode(path.name) for path in folder.iterdir()) == [b"\xdf.avi", b"\xdf.png"]
