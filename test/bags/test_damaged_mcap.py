# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""MCAP files that are damaged, cut off or without an index: what is whole is read, and what is lost is named."""

from __future__ import annotations

import random
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import Reader as RosbagsReader
from support.bags import drive, frames_in, message_of, read_bag

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.types import IMAGE, typestore
from opendr_panoptic_ros.bags.writer import BagWriter
from opendr_panoptic_ros.errors import PanopticError

COUNT = 12
COMPRESSIONS = [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD]


def write(path: Path, **options) -> Path:
    """A file with COUNT frames on /image, at the times 1000, 1001, …; a chunk holds about three."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=3000, **options)
        writer.start(profile="ros2", library="test")
        definition = typestore().generate_msgdef(IMAGE, ros_version=2)[0].encode()
        channels = [
            writer.register_channel(topic, "cdr", writer.register_schema(IMAGE, "ros2msg", definition))
            for topic in ("/image", "/other")
        ]
        for i in range(COUNT):
            picture = rng.integers(0, 256, (20, 20, 3), np.uint8)
            message, name = message_of(typestore(), picture, 0, ros1=False, seq=0)
            writer.add_message(channels[0], 1000 + i, bytes(typestore().serialize_cdr(message, name)), 1000 + i)
        writer.finish()
    return path


def read(path: Path, topics=("/image",)) -> tuple[list[int], list[str]]:
    """The numbers of the frames that can be read, and what is named as damaged."""
    with BagReader(path) as reader:
        times = [message.time_ns - 1000 for message in reader.messages(topics)]
        return times, reader.damage


def chunks(path: Path) -> list[tuple[int, int, list[int]]]:
    """Begin and end of the chunks' data within the file, and the numbers of their frames."""
    data = path.read_bytes()
    with path.open("rb") as file:
        found = [chunk for chunk in StreamReader(file, emit_chunks=True).records if isinstance(chunk, Chunk)]
    places = [data.index(chunk.data) for chunk in found]
    frames = [[r.log_time - 1000 for r in breakup_chunk(chunk) if isinstance(r, Message)] for chunk in found]
    return [(place, place + len(c.data), numbers) for place, c, numbers in zip(places, found, frames, strict=True)]


def spoil(path: Path, place: int, garbage: bytes = b"\xa5\x5a\xa5") -> None:
    data = bytearray(path.read_bytes())
    data[place : place + len(garbage)] = garbage
    path.write_bytes(data)


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"index_types": IndexType.NONE},
        {"repeat_schemas": False},
        {"repeat_channels": False, "repeat_schemas": False},
        {"use_statistics": False},
        {"use_chunking": False},
        {"enable_crcs": False},
    ],
    ids=str,
)
def test_whole_files_of_every_layout(tmp_path, compression, options):
    path = write(tmp_path / "in.mcap", compression=compression, **options)
    assert read(path) == (list(range(COUNT)), [])
    assert read(path, ["/other"]) == ([], [])
    with BagReader(path) as reader:
        assert (reader.warnings, reader.start_ns, reader.end_ns) == ([], 1000, 1000 + COUNT)
        assert {name: topic.message_count for name, topic in reader.topics.items()} == {"/image": COUNT, "/other": 0}
        assert [m.time_ns for m in reader.messages(["/image"], start_ns=1003, end_ns=1007)] == [1003, 1004, 1005, 1006]


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("options", [{}, {"index_types": IndexType.NONE}], ids=["index", "no index"])
def test_a_damaged_chunk_is_left_out_and_named(tmp_path, compression, options):
    """Wherever the chunk is hit: behind it, reading goes on."""
    whole = write(tmp_path / "whole.mcap", compression=compression, **options)
    assert len(chunks(whole)) >= 4
    for begin, end, lost in chunks(whole):
        path = Path(shutil.copy(whole, tmp_path / "in.mcap"))
        spoil(path, (begin + end) // 2)
        frames, damage = read(path)
        assert frames == [i for i in range(COUNT) if i not in lost]
        assert len(damage) == 1
        assert str(path) in damage[0]
        if not options:
            times = f"recorded from {1000 + lost[0]} to {1000 + lost[-1]} ns"
            assert f"lost are {len(lost)} messages of /image, {times}" in damage[0]


def test_a_length_that_is_damaged_hides_nothing_else(tmp_path):
    path = write(tmp_path / "in.mcap")
    begin, _, lost = chunks(path)[1]
    header = 9 + 8 + 8 + 8 + 4 + 4 + len("zstd") + 8  # what precedes the data of a chunk
    assert path.read_bytes()[begin - header] == Opcode.CHUNK
    spoil(path, begin - header + 1, b"\xff" * 8)
    frames, damage = read(path)
    assert frames == [i for i in range(COUNT) if i not in lost]
    pattern = rf"the record at byte \d+ of \d+ is cut off or damaged.*{len(lost)} messages of /image"
    assert re.search(pattern, damage[0])


def test_memory_is_not_taken_for_what_a_chunk_claims(tmp_path):
    """A terabyte, claimed by the record and by the header of the compressed data."""
    compressor = zstandard.ZstdCompressor().compressobj(size=2**40)
    bomb = compressor.compress(b"x") + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    path = write(tmp_path / "in.mcap")
    begin, _, lost = chunks(path)[1]
    spoil(path, begin, bomb)
    begin, _, also_lost = chunks(write(tmp_path / "other.mcap"))[2]
    spoil(path, begin - 8 - len("zstd") - 4 - 4 - 8, (2**40).to_bytes(8, "little"))
    tracemalloc.start()
    frames, damage = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames == [i for i in range(COUNT) if i not in lost + also_lost]
    assert len(damage) == 2
    assert all(f"it claims {2**40} bytes" in line for line in damage)
    assert peak < 2**24


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda kind: kind.name)
def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, compression):
    whole = write(tmp_path / "whole.mcap", compression=compression)
    data, parts = whole.read_bytes(), chunks(whole)
    path = tmp_path / "cut.mcap"
    for length in range(60, len(data), 97):
        path.write_bytes(data[:length])
        frames, damage = read(path)
        assert frames == [i for _, end, numbers in parts if end <= length for i in numbers]
        with BagReader(path) as reader:
            assert len(reader.warnings) == 1
            assert "was cut off or is damaged at its end" in reader.warnings[0]
            assert len(frames) == COUNT or damage


def test_messages_outside_of_chunks_are_read_up_to_the_cut(tmp_path):
    whole = write(tmp_path / "whole.mcap", use_chunking=False)
    data = whole.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) // 2])
    frames, damage = read(tmp_path / "cut.mcap")
    assert 4 <= len(frames) <= COUNT // 2
    assert frames == list(range(len(frames)))
    assert "what follows is lost" in damage[0]


def test_no_damage_ends_in_another_error_and_none_passes_unnoticed(tmp_path):
    """With checksums, a message is the one that was recorded, or it is missing and the damage is named."""
    path = write(tmp_path / "in.mcap")
    data, rng = path.read_bytes(), random.Random(0)
    with BagReader(path) as reader:
        recorded = {message.time_ns: bytes(message.data) for message in reader.messages(["/image"])}
    inside = [place for begin, end, _ in chunks(path) for place in range(begin, end)]
    lost = 0
    for _ in range(400):
        place = rng.choice(inside) if rng.random() < 0.5 else rng.randrange(len(data))
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            with BagReader(path) as reader:
                got = {m.time_ns: bytes(m.data) for m in reader.messages(list(reader.topics))}
                if not {"/image"} <= reader.topics.keys():
                    continue  # the name of the topic was hit
                assert got.items() <= recorded.items()
                if got != recorded:
                    lost += 1
                    assert reader.damage or reader.warnings, place
        except PanopticError as error:
            assert str(path) in str(error)  # noqa: PT017 - most changes raise nothing
    assert lost > 100


def test_bags_that_are_written_carry_checksums(tmp_path):
    writer = BagWriter(tmp_path / "out")
    writer.add_topic("/image", IMAGE)
    for i in range(3):
        writer.write(1000 + i, {"/image": bytes(800_000)})
    writer.close()
    path = tmp_path / "out" / "out.mcap"
    with path.open("rb") as file:
        crcs = [c.uncompressed_crc for c in StreamReader(file, emit_chunks=True).records if isinstance(c, Chunk)]
    assert len(crcs) == 2
    assert all(crcs)
    with path.open("rb") as file:
        assert [m.log_time for _, _, m in make_reader(file, validate_crcs=True).iter_messages()] == [1000, 1001, 1002]
    with RosbagsReader(tmp_path / "out") as reader:
        assert [time_ns for _, time_ns, _ in reader.messages()] == [1000, 1001, 1002]


def test_the_command_goes_on_behind_a_damaged_chunk(run_bag, make_bag, tmp_path):
    """In a bag that it has written itself: the checksum shows damage of pixels, too."""
    assert run_bag(make_bag(drive(6, height=400, width=600)), "labelled", "--outputs", "semantic")[0] == 0
    path = tmp_path / "labelled" / "labelled.mcap"
    begin, end, lost = chunks(path)[1]
    spoil(path, (begin + end) // 2)
    assert lost
    code, out, err = run_bag("labelled", "out", "--topic", "/cam/image_raw", "--outputs", "semantic")
    (count,) = (int(n) for n in re.findall(r"is damaged .* (\d) messages of /cam/image_raw", err))
    assert 0 < count < 4
    assert (code, out) == (1, f"{6 - count} frames segmented, results in out\n")
    messages = read_bag(tmp_path / "out")
    frames = frames_in(messages)
    assert frames_in(messages, "/cam/panoptic/semantic") == frames
    assert (len(frames), frames[0], frames[-1]) == (6 - count, 0, 5)


def test_the_command_reads_a_bag_that_was_cut_off(run_bag, make_bag, tmp_path):
    source = make_bag(drive(6, height=400, width=600))
    path = source / "in.mcap"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    (source / "metadata.yaml").unlink()
    code, out, err = run_bag(source, "out", "--outputs", "semantic")
    assert (code, out) == (1, "2 frames segmented, results in out\n")
    assert "was cut off or is damaged at its end" in err
    assert "what follows is lost" in err
    assert frames_in(read_bag(tmp_path / "out")) == [0, 1]
