# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags whose parts disagree or are incomplete: all messages are read, or the error states the remedy."""

from __future__ import annotations

import re
import shutil
import sqlite3
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from support.bags import drive, message_of

from opendr_panoptic_ros.bags.reader import BagReader
from opendr_panoptic_ros.bags.types import COMPRESSED_IMAGE, IMAGE, typestore
from opendr_panoptic_ros.errors import PanopticError

NOW = QosTime(0, 0)
KINDS = [StoragePlugin.SQLITE3, StoragePlugin.MCAP]


def serialized(i):
    message, name = message_of(typestore(), np.full((4, 6, 3), i, np.uint8), i * 100, ros1=False, seq=i)
    return typestore().serialize_cdr(message, name)


def recorded(path, kind, numbers=range(4), *, depth=5, compression=None):
    """A bag with these frames on /cam/image_raw, as a recorder that keeps the publisher's QoS writes it."""
    qos = Qos(QosHistory.KEEP_LAST, depth, QosReliability.RELIABLE, QosDurability.VOLATILE, NOW, NOW,
              QosLiveliness.AUTOMATIC, NOW, False)  # fmt: skip
    writer = Writer(path, version=8, storage_plugin=kind)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/cam/image_raw", IMAGE, typestore=typestore(), offered_qos_profiles=[qos])
        for i in numbers:
            writer.write(connection, 1000 + i, serialized(i))
    return path


def edit(bag, pattern, replacement):
    file = bag / "metadata.yaml"
    text = file.read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
    assert changed != text
    file.write_text(changed)


def frames(path):
    """The first pixel of each frame, in the order of reading."""
    with BagReader(path) as reader:
        assert reader.topics["/cam/image_raw"].message_count == len(list(reader.messages(["/cam/image_raw"])))
        images: list[Any] = [
            typestore().deserialize_cdr(m.data, m.type_name) for m in reader.messages(["/cam/image_raw"])
        ]
        return [int(image.data[0]) for image in images]


def merged(path, parts):
    """One split bag made of the files of several, with metadata that name and count all of them."""
    path.mkdir()
    names, count = [], 0
    for number, part in enumerate(parts):
        (file,) = (f for f in part.iterdir() if f.suffix in {".db3", ".mcap"})
        names.append(f"split_{number}{file.suffix}")
        shutil.copy(file, path / names[-1])
        metadata = yaml.safe_load((part / "metadata.yaml").read_text())
        count += metadata["rosbag2_bagfile_information"]["message_count"]
    metadata["rosbag2_bagfile_information"] |= {"relative_file_paths": names, "message_count": count, "files": []}
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"offered_qos_profiles:.*?(?=\n      \w)", "offered_qos_profiles: ''"),
        ("depth: 5", "depth: 10"),
        ("reliability: 1", "reliability: 2"),
        (r"type_description_hash: [^\s]*", "type_description_hash: RIHS01_" + "0" * 64),
        (r"storage_identifier: \S+", "storage_identifier: ''"),
        ("version: 8", "version: 11"),
        (r"message_count: 4(?=\n)", "message_count: 3"),
    ],
    ids=["no QoS", "depth", "reliability", "type hash", "no storage", "later version", "fewer"],
)
def test_what_the_metadata_say_does_not_hide_messages(tmp_path, kind, pattern, replacement):
    bag = recorded(tmp_path / "in", kind)
    edit(bag, pattern, replacement)
    assert frames(bag) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_split_bag_may_differ_in_qos(tmp_path, kind):
    first = recorded(tmp_path / "a", kind, range(2))
    second = recorded(tmp_path / "b", kind, range(2, 4), depth=7)
    assert frames(merged(tmp_path / "in", [first, second])) == [0, 1, 2, 3]


def test_missing_messages_are_reported(tmp_path):
    bag = recorded(tmp_path / "in", StoragePlugin.MCAP)
    edit(bag, r"message_count: 4\n(?=  \w)", "message_count: 6\n")
    with BagReader(bag) as reader:
        assert reader.warnings == [
            f"{bag}: metadata.yaml counts 6 messages, the files hold 4; the recording may be incomplete."
        ]


def test_without_metadata_files_are_read_in_the_order_of_their_numbers(tmp_path):
    parts = [recorded(tmp_path / str(i), StoragePlugin.SQLITE3, [i]) for i in range(11)]
    bag = merged(tmp_path / "in", parts)
    (bag / "metadata.yaml").unlink()
    assert frames(bag) == list(range(11))


def test_message_compression_is_recognised_by_the_data(tmp_path):
    bag = recorded(tmp_path / "in", StoragePlugin.SQLITE3, compression=CompressionMode.MESSAGE)
    assert frames(bag) == [0, 1, 2, 3]
    (file,) = bag.glob("*.db3")
    assert frames(file) == [0, 1, 2, 3]


def test_file_compression(tmp_path):
    bag = recorded(tmp_path / "in", StoragePlugin.SQLITE3, compression=CompressionMode.FILE)
    assert frames(bag) == [0, 1, 2, 3]
    (file,) = bag.glob("*.zstd")
    with pytest.raises(PanopticError, match=r"is compressed. Run `zstd -d \S+.db3.zstd`, or give the folder"):
        BagReader(file)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_log_beside_the_database_is_named(tmp_path, suffix):
    bag = recorded(tmp_path / "in", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    log = file.with_name(file.name + suffix)
    log.touch()
    assert frames(bag) == frames(file) == [0, 1, 2, 3], "an empty one holds nothing"
    log.write_bytes(b"frames")
    for path in (bag, file):
        with pytest.raises(PanopticError, match=f"{log.name} is the .* `sqlite3 {file.name} 'PRAGMA journal_mode"):
            BagReader(path)


def test_the_advised_command_merges_the_log(tmp_path):
    """The remedy in the error about a -wal file recovers all messages."""
    bag = recorded(tmp_path / "in", StoragePlugin.SQLITE3)
    (file,) = bag.glob("*.db3")
    recorder = sqlite3.connect(file)
    recorder.execute("pragma journal_mode=WAL")
    recorder.execute("pragma wal_autocheckpoint=0")
    recorder.execute("insert into messages(topic_id, timestamp, data) values (1, 1004, ?)", (serialized(4),))
    recorder.commit()
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    recorder.close()
    with pytest.raises(PanopticError, match="-wal is the write-ahead log"):
        BagReader(copy / file.name)
    tool = sqlite3.connect(copy / file.name)
    tool.execute("PRAGMA journal_mode=DELETE")
    tool.close()
    assert frames(copy / file.name) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("profile", "schema_encoding", "reason"),
    [
        ("ros1", "ros1msg", "is MCAP, but not of ROS 2. For a recording of ROS 1, give the original .bag"),
        ("ros2", "ros1msg", "is MCAP, but not of ROS 2. For a recording of ROS 1, give the original .bag"),
        ("ros2", "ros2msg", "/cam/image_raw not serialized as CDR but as ros1. Convert the original .bag"),
    ],
)
def test_ros_1_messages_in_mcap_are_refused(tmp_path, profile, schema_encoding, reason):
    from mcap.writer import Writer as McapWriter

    path = tmp_path / "converted.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile=profile, library="test")
        schema = writer.register_schema("sensor_msgs/msg/Image", schema_encoding, b"std_msgs/Header header")
        channel = writer.register_channel("/cam/image_raw", "ros1", schema)
        writer.add_message(channel, 1, b"\0", 1)
        writer.finish()
    with pytest.raises(PanopticError, match=reason):
        BagReader(path)


def test_a_topic_with_two_types_is_refused_and_the_others_are_read(run_bag, tmp_path):
    from mcap.writer import Writer as McapWriter

    path = tmp_path / "merged.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="ros2", library="test")
        for topic, name in (("/cam", IMAGE), ("/cam", COMPRESSED_IMAGE), ("/cam/image_raw", IMAGE)):
            definition = typestore().generate_msgdef(name, ros_version=2)[0].encode()
            schema = writer.register_schema(name, "ros2msg", definition)
            channel = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channel, 1, bytes(serialized(7)), 1)
        writer.finish()
    assert frames(path) == [7]
    with BagReader(path) as reader, pytest.raises(PanopticError, match=r"/cam has messages of several types, .* and "):
        list(reader.messages(["/cam"]))
    code, _, err = run_bag(path, "out", "--topic", "/cam")
    assert code == 1
    assert err.startswith("opendr-panoptic: /cam has messages of several types, ")
    assert "--start" not in err
    assert not (tmp_path / "out").exists()
    assert run_bag(path, "out", "--topic", "/cam/image_raw")[0] == 0


def test_an_error_at_the_first_message_gives_no_time_to_continue_at(run_bag, tmp_path, monkeypatch):
    def fails(*_arguments, **_options):
        raise PanopticError("the disk is gone")

    monkeypatch.setattr(BagReader, "messages", fails)
    code, out, err = run_bag(recorded(tmp_path / "in", StoragePlugin.MCAP), "out")
    assert (code, out) == (1, "0 frames segmented, nothing was written\n")
    assert err.endswith("opendr-panoptic: the disk is gone\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda bag: [f.unlink() for f in bag.iterdir()], "neither metadata.yaml nor files ending in .mcap or .db3"),
        (lambda bag: (bag / "metadata.yaml").write_text("no: bag"), "is not the metadata of a bag"),
        (lambda bag: (bag / "metadata.yaml").write_bytes(b"\xff\xfe\0{"), "is not the metadata of a bag"),
        (
            lambda bag: (bag / "in.mcap").rename(bag / "other.mcap"),
            "names in.mcap, which is missing",
        ),
        (lambda bag: ((bag / "in.mcap").unlink(), (bag / "in.mcap").mkdir()), "in.mcap is not a regular file"),
    ],
    ids=["empty", "other YAML", "not YAML", "renamed", "a folder"],
)
def test_what_is_not_a_bag(tmp_path, spoil, reason):
    bag = recorded(tmp_path / "in", StoragePlugin.MCAP)
    spoil(bag)
    with pytest.raises(PanopticError, match=reason):
        BagReader(bag)


def test_a_drive_is_unchanged(make_bag):
    """The regular case, for comparison."""
    with BagReader(make_bag(drive(3), "sqlite3")) as reader:
        assert (len(list(reader.messages(["/cam/image_raw"]))), reader.warnings) == (3, [])
