# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Bags without ROS: all kinds are read as messages of ROS 2; MCAP is written, under its name only when complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags.interfaces import Connection, ConnectionExtRosbag2, Qos
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from opendr_panoptic_ros.errors import PanopticError

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore
    from typing_extensions import Self

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
# Their bytes are those of ROS 2 but for the header, which rosbags turns into ROS 2's; other types have changed.
_FROM_ROS1 = {IMAGE, COMPRESSED_IMAGE, "sensor_msgs/msg/CameraInfo"}

_RESERVE_BYTES = 16 * 2**20  # what the writer still holds, and the index at the end

# msg/*.msg without comments: they are not part of an installation by pip.
DEFINITIONS = {
    "opendr_panoptic_ros/msg/SegmentInfo": (
        "int32 id\nint32 class_id\nstring label\nbool is_thing\nfloat32 score\nuint32 area_px\nint32[4] box_xyxy_px\n"
    ),
    "opendr_panoptic_ros/msg/PanopticSegmentation": (
        "std_msgs/Header header\nsensor_msgs/Image segment_map\nSegmentInfo[] segments\n"
    ),
}


@cache
def typestore() -> Typestore:
    """The message types of ROS 2, and this package's."""
    store = get_typestore(Stores.LATEST)
    for name, definition in DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    return store


class Message(NamedTuple):
    """One message of a bag. time_ns: when it was recorded. data: CDR, as ROS 2 has it."""

    topic: str
    type_name: str
    time_ns: int
    data: bytes | memoryview


class Topic(NamedTuple):
    """A topic of a bag. qos: what its publishers offered."""

    name: str
    type_name: str
    message_count: int
    qos: tuple[Qos, ...]


class BagReader:
    """A ROS 1 bag, or a rosbag2 folder or file (sqlite3, MCAP), as a context.

    topics: by name; of a ROS 1 bag only those of cameras. start_ns, end_ns: the time of the first message, and the
    time just after the last one, of all topics.
    Raises PanopticError when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._reader: Any = Ros1Reader(path) if path.suffix == ".bag" and path.is_file() else Ros2Reader(path)
            self._reader.open()
        except Exception as error:  # damaged files make rosbags raise errors of any kind
            reason = str(error).rstrip(".") or type(error).__name__
            raise PanopticError(
                f"{path} cannot be read as a bag: {reason}. Expected a ROS 1 .bag, a rosbag2 folder, a .mcap or a .db3 "
                "file, complete. One whose recording was cut off is repaired by `rosbag reindex` (.bag), by `mcap "
                "recover` (.mcap), or, without its metadata.yaml, by `ros2 bag reindex`."
            ) from error
        self._is_ros1 = isinstance(self._reader, Ros1Reader)
        self._connections: list[Connection] = [
            connection
            for connection in self._reader.connections
            if not self._is_ros1 or connection.msgtype in _FROM_ROS1
        ]
        self.start_ns, self.end_ns = self._reader.start_time, self._reader.end_time
        self.topics: dict[str, Topic] = {}
        for connection in self._connections:
            count = connection.msgcount + (
                self.topics[connection.topic].message_count if connection.topic in self.topics else 0
            )
            qos = connection.ext.offered_qos_profiles if isinstance(connection.ext, ConnectionExtRosbag2) else []
            self.topics[connection.topic] = Topic(connection.topic, connection.msgtype, count, tuple(qos))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._reader.close()

    def messages(
        self, topics: Collection[str], *, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """The messages of these topics in their recorded order, from `start_ns` on and before `end_ns`.

        Raises PanopticError where the file is damaged.
        """
        connections = [connection for connection in self._connections if connection.topic in topics]
        if not connections:
            return
        try:
            for connection, time_ns, data in self._reader.messages(connections, start=start_ns, stop=end_ns):
                cdr = typestore().ros1_to_cdr(data, connection.msgtype) if self._is_ros1 else data
                yield Message(connection.topic, connection.msgtype, time_ns, cdr)
        except Exception as error:  # as in __init__
            raise PanopticError(f"{self._path} cannot be read on: {str(error) or type(error).__name__}") from error


class BagWriter:
    """A new MCAP bag, `partial` until `close`: a rosbag2 folder, or a single file if `path` ends in .mcap.

    Raises PanopticError when `path` or `path.partial` exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.partial = path.with_name(f"{path.name}.partial")
        self.check_free(path)
        # The bag is a folder in this one, under its final name, which the names of its files are made of.
        self._bag = self.partial / path.name.removesuffix(".mcap")
        # Version 8: Humble refuses a bag whose metadata are of version 9; Jazzy and Kilted read both.
        self._writer = Writer(self._bag, version=8, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise PanopticError when a bag cannot be written there."""
        if path.suffix == ".bag":
            raise PanopticError(f"{path} has the ending of ROS 1 bags; the result is MCAP: a folder, or a file .mcap.")
        if path.exists():
            raise PanopticError(f"{path} exists; choose another name, or remove it.")
        partial = path.with_name(f"{path.name}.partial")
        if partial.exists():
            raise PanopticError(f"{partial} exists, from a run that was killed or still goes on; remove it.")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise PanopticError(f"{path} cannot be written: {parent} is no folder that may be written to.")

    def add_topic(self, name: str, type_name: str, qos: Collection[Qos] = ()) -> None:
        """Announce a topic."""
        self._connections[name] = self._writer.add_connection(
            name, type_name, typestore=typestore(), offered_qos_profiles=list(qos)
        )

    def write(self, time_ns: int, messages: Mapping[str, bytes | memoryview]) -> None:
        """Append serialised messages of announced topics, by topic.

        Raises PanopticError, and appends nothing, when the disk is so full that the bag might not be completed after
        them.
        """
        free = shutil.disk_usage(self.partial).free
        if free < _RESERVE_BYTES + 2 * sum(map(len, messages.values())):
            raise PanopticError(f"The disk is full: {free // 2**20} MB are left, which completing the bag may take.")
        for topic, data in messages.items():
            self._writer.write(self._connections[topic], time_ns, data)
        self.count += len(messages)

    def close(self) -> None:
        """Complete the bag and give it its name; a bag without messages is removed."""
        self._writer.close()
        if self.count:
            whole = self._bag / f"{self._bag.name}.mcap" if self.path.suffix == ".mcap" else self._bag
            whole.rename(self.path)
        shutil.rmtree(self.partial)


def count_by_topic(topics: Mapping[str, Topic]) -> str:
    """The topics in words: `/a (10 sensor_msgs/msg/Image), /b (…)`."""
    return ", ".join(f"{t.name} ({t.message_count} {t.type_name})" for t in topics.values()) or "none"
