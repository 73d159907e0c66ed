# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writes the seeds of the corpora: small valid files of every kind. `python test/attack/make_corpus.py`."""

from __future__ import annotations

import io
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]


def codec_seeds() -> Iterator[tuple[str, bytes]]:
    from attack.targets import _ENCODINGS

    for number, name in enumerate(_ENCODINGS):
        yield name, struct.pack("<HHIBB", 4, 4, 16, number & 1, number) + bytes(range(16)) * 12


def compressed_seeds() -> Iterator[tuple[str, bytes]]:
    import cv2
    import numpy as np

    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    pictures: dict[str, Any] = {"grey": grey, "color": np.dstack([grey] * 3), "alpha": np.dstack([grey] * 4)}
    pictures["deep"] = grey.astype(np.uint16) * 1000
    for number, suffix in enumerate((".png", ".jpg", ".tiff", ".webp")):
        for name, pixels in pictures.items():
            if suffix in {".jpg", ".webp"} and name == "deep":
                continue
            ok, data = cv2.imencode(suffix, pixels)
            if ok:
                yield f"{name}{suffix}", bytes([number]) + data.tobytes()
    ok, data = cv2.imencode(".jpg", pictures["color"], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    yield "progressive.jpg", b"\x02" + data.tobytes()


def bag_seeds() -> Iterator[tuple[str, bytes]]:
    import numpy as np
    from mcap.writer import CompressionType, Writer
    from rosbags.rosbag1 import Writer as Ros1Writer
    from support.bags import message_of, write_bag

    from opendr_panoptic_ros.bags.types import IMAGE, typestore

    sent = [("/image", i, np.full((2, 2, 3), i, np.uint8)) for i in range(3)] + [("/text", 5, "words")]
    with tempfile.TemporaryDirectory() as scratch:
        for compression in CompressionType:
            file = io.BytesIO()
            writer = Writer(file, chunk_size=300, compression=compression)
            writer.start(profile="ros2", library="test")
            channel = writer.register_channel("/image", "cdr", writer.register_schema(IMAGE, "ros2msg", b"uint8 x"))
            for i in range(4):
                message, name = message_of(typestore(), np.full((2, 2, 3), i, np.uint8), i, ros1=False, seq=0)
                writer.add_message(channel, i, bytes(typestore().serialize_cdr(message, name)), i)
            writer.finish()
            name = "whole_mcap" if compression == CompressionType.NONE else f"{compression.name.lower()}_mcap"
            yield name, b"\x00" + file.getvalue()
        (database,) = write_bag(Path(scratch, "db"), "sqlite3", sent).glob("*.db3")
        yield "whole_db3", b"\x01" + _small_database(database)
        yield "whole_bag", b"\x02" + write_bag(Path(scratch, "ros1"), "ros1", sent[:2]).read_bytes()
        for kind in Ros1Writer.CompressionFormat:
            from rosbags.typesys import Stores, get_typestore

            store = get_typestore(Stores.ROS1_NOETIC)
            path = Path(scratch, f"{kind.name}.bag")
            ros1 = Ros1Writer(path)
            ros1.set_compression(kind)
            with ros1:
                connection = ros1.add_connection("/a", "std_msgs/msg/String", typestore=store)
                ros1.write(connection, 7, b"\x02\x00\x00\x00ab")
            yield f"{kind.name.lower()}_bag", b"\x02" + path.read_bytes()
        metadata = (write_bag(Path(scratch, "mc"), "mcap", sent) / "metadata.yaml").read_bytes()
        yield "metadata", b"\x03" + metadata.replace(b"mc.mcap", b"in_0.mcap")


def _small_database(path: Path) -> bytes:
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM message_definitions")
        connection.commit()
        connection.execute("PRAGMA page_size=512")
        connection.execute("VACUUM")
    return path.read_bytes()


def checkpoint_seeds() -> Iterator[tuple[str, bytes]]:
    import numpy as np
    import torch
    from safetensors.torch import save

    tensors = {"a": torch.ones(2, 3), "b": torch.arange(4), "c": torch.nn.Parameter(torch.ones(2, dtype=torch.half))}
    meta = {"best": np.float64(0.5), "history": np.arange(3), "CLASSES": ("person", "car"), "tags": {"x"}}
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"meta": meta, "state_dict": tensors}, file, _use_new_zipfile_serialization=zipped)
        yield f"{'zip' if zipped else 'legacy'}_pth", b"\x00" + file.getvalue()
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    yield "safetensors", b"\x01" + save(plain, {"format": "opendr_panoptic_ros", "config": "{}", "sha256": "0"})


def config_seeds() -> Iterator[tuple[str, bytes]]:
    presets = ROOT / "opendr_panoptic_ros" / "presets"
    for path in sorted(presets.glob("*.yaml")):
        yield path.stem, b"\x00" + path.read_bytes()
    for path in sorted((presets / "label_maps").glob("*.yaml")):
        yield path.stem, b"\x01" + path.read_bytes()
    yield "aliases", b"\x00a: &a [1]\nb: [*a, *a]\n"
    yield (
        "numbers",
        b"\x00model: {fpn_channels: 0x10, anchor_scale: 1e-4, num_stuff: 1_0, pixel_std: [.inf, .nan, 1]}\n",
    )
    yield "tags", b"\x00!!python/object/apply:os.system ['x']\n"
    yield "date", b"\x00name: 2026-13-45\ntest: {long_side_px: 1:20:30}\n"


def main() -> None:
    """Write the seeds that are missing or have changed."""
    for seeds in (codec_seeds, compressed_seeds, bag_seeds, checkpoint_seeds, config_seeds):
        folder = Path(__file__).parent / "corpus" / seeds.__name__.removesuffix("_seeds")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
