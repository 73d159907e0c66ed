# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading bags of all kinds as messages of ROS 2, without ROS."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from rosbags.interfaces import Connection, ConnectionExtRosbag1, ConnectionExtRosbag2, Qos

from opendr_panoptic_ros.bags.channels import BagChannel
from opendr_panoptic_ros.bags.decompression import decompressed
from opendr_panoptic_ros.bags.mcap_file import McapFile
from opendr_panoptic_ros.bags.ros1 import Ros1Converter
from opendr_panoptic_ros.bags.ros1_file import Ros1File
from opendr_panoptic_ros.bags.sqlite_file import SqliteFile
from opendr_panoptic_ros.errors import PanopticError, plain
from opendr_panoptic_ros.files import read_small

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # a dependency of rosbags

if TYPE_CHECKING:
    from typing_extensions import Self

_MAX_METADATA_BYTES = 2 << 20  # 10,000 files; YAML takes seconds for a megabyte
_MAX_RATIO = 1000  # of a compressed storage file; recordings of black frames come close
_SMALL_FILE_BYTES = 2**30  # what a compressed file may become in any case
_STORAGE_SUFFIXES = (".mcap", ".db3")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a CDR message begins with 0, so the two cannot be confused


class Message(NamedTuple):
    """One message of a bag.

    Attributes:
        topic: Name of its topic.
        type_name: Its type, such as `sensor_msgs/msg/Image`.
        time_ns: When it was recorded.
        data: Its CDR bytes, as ROS 2 serializes it.
        publish_ns: When it was published; None if the bag does not state it.
        sequence: Its number, as its publisher counts; 0 if the bag does not state it.
        channel: The channel of the bag; None if the message is not of a bag.
    """

    topic: str
    type_name: str
    time_ns: int
    data: bytes | memoryview
    publish_ns: int | None = None
    sequence: int = 0
    channel: BagChannel | None = None


class Topic(NamedTuple):
    """A topic of a bag.

    Attributes:
        name: Its name.
        type_name: Its type, or several joined by " and " where a topic has more than one.
        message_count: Number of messages.
        qos: Profiles that its publishers offered.
    """

    name: str
    type_name: str
    message_count: int
    qos: tuple[Qos, ...]

    def check_type(self) -> None:
        """Raise PanopticError if the topic has messages of more than one type."""
        if " and " in self.type_name:
            raise PanopticError(
                f"{self.name} has messages of several types, {self.type_name}, as a merge of recordings leaves it. "
                "Give the topics of the recordings different names, or choose another topic."
            )


class BagReader:
    """A ROS 1 bag, or a rosbag2 folder or file (sqlite3, MCAP), as a context.

    In a rosbag2 folder, the storage files decide which messages there are. `metadata.yaml` gives the order of the
    files; where it is missing, the files are taken in the order of their names. Damaged places are left out and listed
    in `damage`.

    Args:
        path: The bag.

    Attributes:
        topics: The topics by name, without those that are not serialized as ROS 2 does it.
        channels: The channels of all topics.
        start_ns: Time of the first message of all topics.
        end_ns: Time just after the last message of all topics.
        warnings: One line for each thing that is suspicious, such as fewer messages than `metadata.yaml` counts.

    Raises:
        PanopticError: The bag cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.warnings: list[str] = []
        self._undecodable: dict[tuple[str, int], str] = {}  # by topic and record time
        self._is_ros1 = path.suffix == ".bag" and path.is_file()
        with ExitStack() as stack:
            try:
                self._storages = self._open(stack)
            except PanopticError:
                raise
            except Exception as error:  # damaged files make rosbags raise errors of any kind
                reason = str(error).rstrip(".") or type(error).__name__
                raise PanopticError(
                    f"{path} cannot be read as a bag: {reason}. Expected a ROS 1 .bag, a rosbag2 folder, a .mcap or a "
                    ".db3 file, complete. One whose recording was cut off is repaired by `rosbag reindex` (.bag) or, "
                    "without its metadata.yaml, by `ros2 bag reindex`."
                ) from error
            self._open_files = stack.pop_all()
        not_empty = [storage for storage in self._storages if storage.message_count]
        self.start_ns = min((storage.start_time for storage in not_empty), default=0)
        self.end_ns = max((storage.end_time for storage in not_empty), default=0)
        self._converters: dict[tuple[str, str], Ros1Converter] = {}
        self._channels = self._channels_of_connections()
        self.channels = list(dict.fromkeys(self._channels.values()))
        self.topics = _topics_of(
            (connection, self._channels[place, connection.id])
            for place, storage in enumerate(self._storages)
            for connection in storage.connections
            if self._is_readable(connection)
        )
        self._check_encodings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._open_files.close()

    @property
    def damage(self) -> list[str]:
        """One line for each damaged place that was met and left out so far."""
        lines = [line for storage in self._storages for line in storage.damage]
        undecodable: dict[str, list[str]] = {}
        for (topic, _), why in self._undecodable.items():
            undecodable.setdefault(topic, []).append(why)
        for topic, reasons in undecodable.items():
            lines.append(f"{self._path}: lost are {len(reasons)} damaged messages of {topic} ({reasons[-1]}).")
        return lines

    def messages(
        self, topics: Collection[str] | None, *, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        """Yield the messages of some topics in their recorded order.

        Args:
            topics: Names of the topics; None for all, those that are not serialized as ROS 2 does it included.
            start_ns: Record time of the first message, in ns; None for no limit.
            end_ns: Record time before which messages are taken, in ns; None for no limit.

        Yields:
            The messages.

        Raises:
            PanopticError: A named topic has messages of more than one type, or the files can no longer be read.
        """
        for name in topics or ():
            if name in self.topics:
                self.topics[name].check_type()
        for place, storage in enumerate(self._storages):
            connections = [c for c in storage.connections if self._is_chosen(place, c, topics)]
            if not connections:
                continue
            try:
                for connection, time_ns, stored, *published in storage.messages(connections, start_ns, end_ns):
                    channel = self._channels[place, connection.id]
                    try:
                        data = self._as_cdr(connection, channel, stored)
                    except Exception as error:  # noqa: BLE001 - rosbags and zstd raise errors of any kind
                        why = plain(str(error) or type(error).__name__, 120)
                        self._undecodable[channel.topic, time_ns] = why
                        continue
                    publish_ns, sequence = published or (None, 0)
                    yield Message(channel.topic, channel.type_name, time_ns, data, publish_ns, sequence, channel)
            except Exception as error:  # damaged files make rosbags raise errors of any kind
                reason = str(error) or type(error).__name__
                raise PanopticError(f"{self._path} cannot be read further: {reason}") from error

    def _is_chosen(self, place: int, connection: Connection, topics: Collection[str] | None) -> bool:
        if topics is None:
            return (place, connection.id) in self._channels
        return connection.topic in topics and self._is_readable(connection)

    def _channels_of_connections(self) -> dict[tuple[int, int], BagChannel]:
        """Return the channel by place of the storage and id of the connection. Parts of a channel share one object."""
        channels: dict[tuple[int, int], BagChannel] = {}
        by_key: dict[tuple[str, str, str, bytes], BagChannel] = {}
        for place, storage in enumerate(self._storages):
            for connection in storage.connections:
                channel = None
                if self._is_ros1:
                    channel = self._ros1_channel(storage, connection)
                elif isinstance(storage, McapFile):
                    channel = storage.channel(connection)
                elif isinstance(connection.ext, ConnectionExtRosbag2):
                    channel = BagChannel.of_database(connection, connection.ext)
                if channel is not None:
                    known = by_key.setdefault(channel.key, channel)
                    if not known.qos and channel.qos:
                        known = by_key[channel.key] = channel
                    channels[place, connection.id] = known
        return {place: by_key[channel.key] for place, channel in channels.items()}

    def _ros1_channel(self, storage: Any, connection: Connection) -> BagChannel | None:
        key = connection.msgtype, connection.msgdef.data
        try:
            if key not in self._converters:
                self._converters[key] = Ros1Converter(*key)
            latched = [
                c
                for c in storage.connections
                if c.topic == connection.topic and isinstance(c.ext, ConnectionExtRosbag1) and c.ext.latching
            ]
            return self._converters[key].channel(connection.topic, len(latched))
        except Exception as error:  # noqa: BLE001 - illegal definitions make rosbags raise errors of any kind
            reason = plain(str(error) or type(error).__name__, 120)
            self.warnings.append(
                f"{self._path}: {connection.topic} is left out, as {connection.msgtype} cannot be converted to ROS 2: "
                f"{reason}."
            )
            return None

    def _open(self, stack: ExitStack) -> list[Any]:
        """Return the open readers of the bag's files in their order; `stack` closes them."""
        if self._is_ros1:
            return [stack.enter_context(Ros1File(self._path))]
        if not self._path.is_dir():
            _check_file(self._path)
            return [self._open_file(self._path, stack)]
        files, message_count = self._files_of_folder()
        storages = [self._open_file(file, stack) for file in _decompressed(files, stack)]
        found = sum(storage.message_count for storage in storages)
        if message_count is not None and found < message_count:
            self.warnings.append(
                f"{self._path}: metadata.yaml counts {message_count} messages, the files hold {found}; "
                "the recording may be incomplete."
            )
        return storages

    def _open_file(self, path: Path, stack: ExitStack) -> Any:
        if path.suffix == ".db3":
            return stack.enter_context(SqliteFile(path))
        if path.suffix != ".mcap":
            raise ValueError("its name has another ending" if path.exists() else "there is no such file")
        file = stack.enter_context(McapFile(path))
        self.warnings += file.warnings
        return file

    def _files_of_folder(self) -> tuple[list[Path], int | None]:
        """Return the storage files of a rosbag2 folder in their order, and the message count of its metadata."""
        present = sorted(
            (p for p in self._path.iterdir() if p.name.removesuffix(".zstd").endswith(_STORAGE_SUFFIXES)),
            key=lambda p: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", p.name)],
        )
        metadata_file = self._path / "metadata.yaml"
        if not metadata_file.is_file():
            if not present:
                raise PanopticError(
                    f"{self._path} is not a bag: it has neither metadata.yaml nor files ending in .mcap or .db3. "
                    "Give a rosbag2 folder, a .mcap or .db3 file, or a ROS 1 .bag."
                )
            files, count = present, None
        else:
            try:
                content = yaml.safe_load(read_small(metadata_file, limit_bytes=_MAX_METADATA_BYTES))
                metadata = content["rosbag2_bagfile_information"]
                files = [self._path / PurePath(name).name for name in metadata["relative_file_paths"]]
                count = int(metadata["message_count"])
                if not files:
                    raise ValueError("it names no files")
            except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
                raise PanopticError(
                    f"{metadata_file} is not the metadata of a bag ({type(error).__name__}). Make it again with `ros2 "
                    f"bag reindex`, or give one of the files: {', '.join(p.name for p in present) or 'there are none'}."
                ) from error
            missing = [file.name for file in files if not file.exists()]
            if missing:
                raise PanopticError(
                    f"{self._path} is incomplete: metadata.yaml names {', '.join(missing)}, which is missing. Add it, "
                    f"or give one of the files that are there: {', '.join(p.name for p in present) or 'none'}."
                )
        for file in files:
            _check_file(file, in_folder=True)
        return files, count

    def _is_readable(self, connection: Connection) -> bool:
        if self._is_ros1:
            return (0, connection.id) in self._channels
        return _encoding(connection) == "cdr"

    def _check_encodings(self) -> None:
        """Warn of topics that are not serialized as ROS 2 does it; raise PanopticError when there are no others."""
        every = [c for storage in self._storages for c in storage.connections]
        foreign = {} if self._is_ros1 else {c.topic: _encoding(c) for c in every if not self._is_readable(c)}
        if not foreign:
            return
        kinds = ", ".join(sorted(set(foreign.values())))
        advice = "Convert the original .bag instead: it is read as it is." if "ros1" in foreign.values() else ""
        problem = f"{self._path}: {', '.join(foreign)} not serialized as CDR but as {kinds}. {advice}".rstrip()
        if not self.topics:
            raise PanopticError(problem)
        self.warnings.append(problem)

    def _as_cdr(self, connection: Connection, channel: BagChannel, data: bytes) -> bytes | memoryview:
        if self._is_ros1:
            return self._converters[connection.msgtype, connection.msgdef.data](data)
        # `ros2 bag record --compression-mode message`, detected from the data, because the metadata may be missing.
        return decompressed(data, "zstd") if channel.encoding == "cdr" and data[:4] == _ZSTD_MAGIC else data


def count_by_topic(topics: Mapping[str, Topic]) -> str:
    """Return the topics in words: `/a (10 sensor_msgs/msg/Image), /b (…)`.

    Args:
        topics: The topics by name.
    """
    return ", ".join(f"{t.name} ({t.message_count} {t.type_name})" for t in topics.values()) or "none"


def _topics_of(connections: Iterable[tuple[Connection, BagChannel]]) -> dict[str, Topic]:
    counts: Counter[str] = Counter()
    types: dict[str, dict[str, None]] = {}
    profiles: dict[str, tuple[Qos, ...]] = {}
    for connection, channel in connections:
        counts[channel.topic] += connection.msgcount
        types.setdefault(channel.topic, {})[channel.type_name] = None
        profiles[channel.topic] = profiles.get(channel.topic) or tuple(channel.qos)
    return {name: Topic(name, " and ".join(types[name]), counts[name], profiles[name]) for name in types}


def _encoding(connection: Connection) -> str:
    extra = connection.ext
    return extra.serialization_format if isinstance(extra, ConnectionExtRosbag2) else "cdr"


def _check_file(file: Path, *, in_folder: bool = False) -> None:
    """Raise PanopticError for a file that rosbags would read wrongly or refuse without saying what to do."""
    if file.suffix == ".zstd" and not in_folder:
        raise PanopticError(f"{file} is compressed. Run `zstd -d {file.name}`, or give the folder of the bag.")
    if file.exists() and not file.is_file():
        raise PanopticError(f"{file} is not a regular file; expected a .bag, .mcap or .db3 file.")
    for suffix, what in (("-wal", "write-ahead log"), ("-journal", "rollback journal")):
        log = file.with_name(file.name + suffix)
        if file.suffix == ".db3" and log.exists() and log.stat().st_size:
            raise PanopticError(
                f"{log} is the {what} of a recording that was cut off: {file.name} is not complete without it. Merge "
                f"them, in a copy of the folder, with `sqlite3 {file.name} 'PRAGMA journal_mode=DELETE'`."
            )


def _decompressed(files: Iterable[Path], stack: ExitStack) -> Iterator[Path]:
    """Yield the files; one that ends in .zstd as a temporary copy that `stack` removes."""
    for file in files:
        if file.suffix != ".zstd":
            yield file
            continue
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        left_bytes = max(_SMALL_FILE_BYTES, _MAX_RATIO * file.stat().st_size)
        with zstd.open(file, "rb") as source, (folder / file.stem).open("wb") as copy:
            while block := source.read(1 << 20):
                left_bytes -= copy.write(block)
                if left_bytes < 0:
                    raise PanopticError(f"{file} becomes more than {_MAX_RATIO} times larger when it is decompressed.")
        yield folder / file.stem
