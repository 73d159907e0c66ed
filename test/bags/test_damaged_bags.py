# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Damaged and hostile databases and ROS 1 bags: what is whole is read, and what is lost is named."""

from __future__ import annotations

import bz2
import contextlib
import resource
import sqlite3
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore
from support.bags import ORIGIN_NS, STEP_NS, message_of, write_bag

from opendr_panoptic_ros.bags import reader
from opendr_panoptic_ros.bags.decompression import decompressed
from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.errors import PanopticError

COUNT = 60


def small_frames():
    return [("/image", i * STEP_NS, np.full((8, 8, 3), i, np.uint8)) for i in range(COUNT)]


def read(path: Path, **limits) -> tuple[list[int], list[str]]:
    with BagReader(path) as opened:
        times = [round((m.time_ns - ORIGIN_NS) / STEP_NS) for m in opened.messages(["/image"], **limits)]
        return times, opened.damage


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with about ten messages on a page."""
    (file,) = write_bag(tmp_path / "bag", "sqlite3", small_frames()).glob("*.db3")
    return Path(file.replace(tmp_path / "bag.db3"))


def pages_of(path: Path, name: str) -> dict[int, list[int]]:
    """The leaf pages of a table or index, and offsets of them in the file."""
    data = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    page = data[(root - 1) * size : root * size]
    if page[0] in (10, 13):
        return {root: [(root - 1) * size]}
    cells = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(int.from_bytes(page[3:5], "big"))]
    leaves = [int.from_bytes(page[cell : cell + 4], "big") for cell in cells] + [int.from_bytes(page[8:12], "big")]
    return {leaf: [(leaf - 1) * size] for leaf in leaves}


def spoil(path: Path, offset: int, garbage: bytes = b"\xa5" * 100) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(garbage)] = garbage
    path.write_bytes(data)


def test_a_damaged_page_of_messages_loses_only_these(database):
    whole = database.read_bytes()
    leaves = pages_of(database, "messages")
    assert len(leaves) >= 4
    for (offset,) in leaves.values():
        database.write_bytes(whole)
        spoil(database, offset)
        frames, damage = read(database)
        lost = sorted(set(range(COUNT)) - set(frames))
        assert frames == sorted(frames)
        assert 1 <= len(lost) <= COUNT // 2
        assert lost == list(range(lost[0], lost[-1] + 1)), "one page: messages that follow each other"
        (line,) = damage
        assert line.startswith(f"{database}: the database is damaged")
        assert f"lost are at least {len(lost)} messages" in line
        limits = {"start_ns": ORIGIN_NS + 20 * STEP_NS, "end_ns": ORIGIN_NS + 40 * STEP_NS}
        assert read(database, **limits)[0] == [i for i in frames if 20 <= i < 40]


def test_a_damaged_index_of_times_loses_nothing(database):
    for (offset,) in pages_of(database, "timestamp_idx").values():
        spoil(database, offset)
        frames, damage = read(database)
        assert frames == list(range(COUNT))
        assert len(damage) == 1


def test_index_and_a_page_of_messages(database):
    """The search by id continues behind the damaged page."""
    for (offset,) in pages_of(database, "timestamp_idx").values():
        spoil(database, offset)
    (offset,) = list(pages_of(database, "messages").values())[1]
    spoil(database, offset)
    frames, damage = read(database)
    assert frames[0] == 0
    assert frames[-1] == COUNT - 1
    assert COUNT // 2 <= len(frames) < COUNT
    assert len(damage) == 1


def test_whole_databases_have_no_damage(database):
    assert read(database) == (list(range(COUNT)), [])


def test_a_name_with_characters_of_addresses(database):
    renamed = database.rename(database.with_name("what?mode=rw#50%.db3"))
    assert read(renamed)[0] == list(range(COUNT))


@pytest.mark.parametrize(
    "statement",
    [
        (
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000000000) AS data FROM n"
        ),
        (
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, "
            "data BLOB AS (zeroblob(1000000000)))"
        ),
        "CREATE VIRTUAL TABLE messages USING fts5(topic_id, timestamp, data)",
    ],
    ids=["view", "computed", "virtual"],
)
def test_tables_that_compute_what_they_hold_are_refused(database, statement):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE messages")
        connection.execute(statement)
        connection.commit()
    with pytest.raises(PanopticError, match="cannot be read as a bag: "):
        BagReader(database)


def ros1_bag(path: Path, compression: Ros1Writer.CompressionFormat | None) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = Ros1Writer(path)
    if compression is not None:
        writer.set_compression(compression)
    writer.chunk_threshold = 1000
    with writer:
        connection = writer.add_connection("/image", "sensor_msgs/msg/Image", typestore=store)
        for seq, (_, time_ns, content) in enumerate(small_frames()):
            message, name = message_of(store, content, time_ns, ros1=True, seq=seq)
            writer.write(connection, ORIGIN_NS + time_ns, store.serialize_ros1(message, name))
    return path


@pytest.mark.parametrize("compression", [None, *Ros1Writer.CompressionFormat], ids=str)
def test_a_damaged_chunk_of_ros_1_loses_only_its_messages(tmp_path, compression):
    path = ros1_bag(tmp_path / "in.bag", compression)
    assert read(path) == (list(range(COUNT)), [])
    with BagReader(path) as opened:
        places = [chunk.datapos for chunk in opened._storages[0].chunks.values()]
    assert len(places) > 10
    spoil(path, places[3])
    spoil(path, places[7])
    frames, damage = read(path)
    assert frames[0] == 0
    assert frames[-1] == COUNT - 1
    assert 2 <= COUNT - len(frames) <= 12
    assert len(damage) == 2
    assert all(str(path) in line and "is damaged" in line for line in damage)


def bomb(compression: str) -> bytes:
    """A few kilobytes that become 128 MiB; of zstd, without the size in its header."""
    if compression == "bz2":
        return bz2.compress(bytes(2**22)) * 32
    if compression == "lz4":
        return lz4.frame.compress(bytes(2**22), compression_level=9, store_size=False) * 32
    compressor = zstandard.ZstdCompressor().compressobj()
    return b"".join([compressor.compress(bytes(2**22)) for _ in range(32)]) + compressor.flush()


@pytest.mark.parametrize("compression", ["zstd", "lz4", "bz2"])
def test_compressed_data_cannot_fill_the_memory(compression):
    data = bomb(compression)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="the limit of 1000000 bytes"):
        decompressed(data, compression, limit_bytes=1_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000


def test_large_content_needs_a_file_that_is_large():
    data = zstandard.compress(bytes(2**28))
    assert len(data) < 2**16
    with pytest.raises(ValueError, match=f"it claims {2**28} bytes, and the limit is {2**27}"):
        decompressed(data, "zstd")
    assert len(decompressed(zstandard.compress(bytes(2**26)), "zstd")) == 2**26


def test_a_compressed_file_cannot_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_SMALL_FILE_BYTES", 2**20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "in_0.mcap.zstd").write_bytes(bomb("zstd"))
    with pytest.raises(PanopticError, match=r"in_0\.mcap\.zstd becomes more than 1000 times larger"):
        BagReader(tmp_path / "in")


def test_large_metadata_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "metadata.yaml").write_bytes(b"a: b\n" * 1_000_000)
    with pytest.raises(PanopticError, match="Larger than"):
        BagReader(tmp_path / "in")


def test_messages_that_cannot_be_decompressed_are_left_out(database):
    """`ros2 bag record --compression-mode message`."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for row_id, data in connection.execute("SELECT id, data FROM messages").fetchall():
            packed = zstandard.compress(data) if row_id != 5 else b"\x28\xb5\x2f\xfd damaged"
            connection.execute("UPDATE messages SET data = ? WHERE id = ?", (packed, row_id))
        connection.commit()
    frames, damage = read(database)
    assert frames == [i for i in range(COUNT) if i != 4]
    assert len(damage) == 1
    assert "lost are 1 damaged messages of /image" in damage[0]
