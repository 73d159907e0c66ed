# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writing MCAP bags, which get their name only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from mcap.writer import Writer as McapWriter
from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer

from opendr_panoptic_ros.bags.types import typestore
from opendr_panoptic_ros.errors import PanopticError
from opendr_panoptic_ros.files import WorkFolder

_RESERVE_BYTES = 16 * 2**20  # what the writer still holds, and the index at the end
_UNLIMITED = QosTime(9223372036, 854775807)  # 2^63 - 1 ns
LATCHED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_UNLIMITED,
    lifespan=_UNLIMITED,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_UNLIMITED,
    avoid_ros_namespace_conventions=False,
)
"""Profile of topics whose last message is delivered to late subscribers as well."""


class _McapStorage:
    """The storage file of a bag: chunks of 1 MiB, compressed with zstd, each with a CRC-32, and a summary with one.

    Args:
        folder: The folder of the bag, after which the file is named.
    """

    def __init__(self, folder: Path, _compression: CompressionMode) -> None:
        self.path = folder / f"{folder.name}.mcap"
        self._file = self.path.open("xb")
        self._writer = McapWriter(self._file)
        self._writer.start(profile="ros2", library="opendr_panoptic_ros")
        self._schema_ids: dict[str, int] = {}
        self._channel_ids: dict[int, int] = {}

    def add_msgtype(self, connection: Connection) -> None:
        encoding = "ros2msg" if connection.msgdef.format == MessageDefinitionFormat.MSG else "ros2idl"
        self._schema_ids[connection.msgtype] = self._writer.register_schema(
            connection.msgtype, encoding, connection.msgdef.data.encode()
        )

    def add_connection(self, connection: Connection, offered_qos_profiles: str) -> None:
        schema_id = self._schema_ids[connection.msgtype]
        metadata = {"offered_qos_profiles": offered_qos_profiles}
        self._channel_ids[connection.id] = self._writer.register_channel(connection.topic, "cdr", schema_id, metadata)

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        self._writer.add_message(self._channel_ids[connection.id], timestamp, bytes(data), timestamp)

    def close(self, version: int, metadata: str) -> None:  # noqa: ARG002 - the interface of rosbags
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata})
        self._writer.finish()
        self._file.close()

    def abort(self) -> None:
        self._file.close()


class _Rosbag2Writer(Writer):
    """rosbags' writer with a storage that writes checksums, which its own does not."""

    STORAGE_PLUGINS = {StoragePlugin.MCAP: _McapStorage}  # noqa: RUF012 - overrides the table of rosbags


class BagWriter:
    """A new MCAP bag. Until `close` it lies in the folder `partial`, which replaces that of a killed process.

    Args:
        path: A rosbag2 folder to make, or a single file if it ends in .mcap.

    Attributes:
        count: Number of messages written.

    Raises:
        PanopticError: `path` exists, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.partial = path.with_name(f"{path.name}.partial")
        self.check_free(path)
        try:
            self._folder = WorkFolder(self.partial)
        except OSError as error:
            raise PanopticError(f"{self.partial} cannot be made: {error.strerror}.") from error
        # The bag is a folder in this one, under its final name, which the names of its files are made of.
        self._bag = self.partial / path.name.removesuffix(".mcap")
        # Version 8: Humble refuses a bag whose metadata are of version 9; Jazzy and Kilted read both.
        self._writer = _Rosbag2Writer(self._bag, version=8, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    @staticmethod
    def check_free(path: Path) -> None:
        """Check that a bag can be written.

        Args:
            path: Where the bag is to be.

        Raises:
            PanopticError: The path exists already, another process writes the bag, or the folder is not writable.
        """
        if path.suffix == ".bag":
            raise PanopticError(f"{path} has the ending of ROS 1 bags; the result is MCAP: a folder, or a file .mcap.")
        if path.is_symlink() and not path.exists():
            raise PanopticError(f"{path} is a link to {path.readlink()}, which is missing; choose another name.")
        if path.exists():
            raise PanopticError(f"{path} exists; choose another name, or remove it.")
        partial = path.with_name(f"{path.name}.partial")
        try:
            WorkFolder.check(partial)
        except OSError as error:
            raise PanopticError(f"{partial} cannot be replaced: {error.strerror}. Choose another name.") from error
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise PanopticError(f"{path} cannot be written: {parent} is not a writable folder.")

    def add_topic(self, name: str, type_name: str, qos: Collection[Qos] = ()) -> None:
        """Add a topic; to be called before its first message.

        Args:
            name: Name of the topic.
            type_name: Its type, one of `typestore()`.
            qos: Profiles that its publishers offer.
        """
        self._connections[name] = self._writer.add_connection(
            name, type_name, typestore=typestore(), offered_qos_profiles=list(qos)
        )

    def write(self, time_ns: int, messages: Mapping[str, bytes | memoryview]) -> None:
        """Append messages of topics that were added before.

        Args:
            time_ns: Their record time.
            messages: Serialized messages by topic.

        Raises:
            PanopticError: The disk is so full that the bag might not be completed after them. Nothing was appended.
        """
        free = shutil.disk_usage(self.partial).free
        if free < _RESERVE_BYTES + 2 * sum(map(len, messages.values())):
            raise PanopticError(f"The disk is full: {free // 2**20} MB are left, which completing the bag may take.")
        for topic, data in messages.items():
            self._writer.write(self._connections[topic], time_ns, data)
        self.count += len(messages)

    def close(self) -> None:
        """Complete the bag and give it its name. A bag without messages is removed."""
        self._writer.close()
        if self.count:
            whole = self._bag / f"{self._bag.name}.mcap" if self.path.suffix == ".mcap" else self._bag
            whole.rename(self.path)
        self._folder.remove()
