# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading MCAP files as far as they are whole. The package `mcap` parses the records.

rosbags' reader ends at the first damaged chunk and refuses a file without a summary.
"""

from __future__ import annotations

import heapq
import os
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, Footer, Header, Message, MessageIndex, Schema, Statistics
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat

from opendr_panoptic_ros.bags.channels import BagChannel, offered_profiles
from opendr_panoptic_ros.bags.decompression import MAX_BYTES, decompressed
from opendr_panoptic_ros.errors import PanopticError, plain
from opendr_panoptic_ros.files import open_regular

if TYPE_CHECKING:
    from typing_extensions import Self

_MAGIC = b"\x89MCAP0\r\n"
_RECORD_START = struct.Struct("<BQ")  # opcode and length of the content
_FOOTER_BYTES = _RECORD_START.size + 20 + len(_MAGIC)


class _Part(NamedTuple):
    """A chunk, or a message outside of chunks.

    Attributes:
        offset: Where its record begins in the file.
        start_ns: Time of its first message.
        end_ns: Time of its last message.
        index_offsets: Offset of the message index by channel; empty when not known.
    """

    offset: int
    start_ns: int
    end_ns: int
    index_offsets: dict[int, int]


@dataclass
class _Contents:
    """What a file holds, from its summary or from a scan.

    Attributes:
        schemas: By id.
        channels: By id.
        parts: Chunks and messages outside of chunks, in the order of the file.
        counts: Number of messages by channel.
        start_ns: Time of the first message.
        end_ns: Time of the last message.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    start_ns: int = 2**63 - 1
    end_ns: int = 0

    def add(self, record: Schema | Channel) -> None:
        if isinstance(record, Schema):
            self.schemas[record.id] = record
        else:
            self.channels[record.id] = record

    def add_part(self, part: _Part, messages: Collection[Message]) -> None:
        self.parts.append(part)
        self.counts.update(message.channel_id for message in messages)
        self.start_ns, self.end_ns = min(self.start_ns, part.start_ns), max(self.end_ns, part.end_ns)


class McapFile:
    """An MCAP file of ROS 2 as a context.

    A file without a summary, as a recording that was cut off leaves it, is scanned up to the last whole record.
    Chunks that are damaged are left out. Checksums are verified where the file has them.

    Args:
        path: The file.

    Attributes:
        connections: The channels with their topics and types.
        message_count: Number of messages, those of damaged chunks included if the file has a summary.
        start_time: Time of the first message, in ns.
        end_time: Time just after the last message, in ns.
        warnings: One line about a file that has no summary.

    Raises:
        PanopticError: The file is not MCAP of ROS 2.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._damage: dict[int, str] = {}
        self.warnings: list[str] = []
        self._file = open_regular(path)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._data_start = self._check_start()
            self._contents = self._read_contents()
        except BaseException:
            self._file.close()
            raise
        counts = self._contents.counts
        self.connections = [self._connection(channel, counts[id_]) for id_, channel in self._contents.channels.items()]
        self.message_count = counts.total()
        self.start_time, self.end_time = self._contents.start_ns, self._contents.end_ns + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._file.close()

    @property
    def damage(self) -> list[str]:
        """One line for each damaged place that was met so far."""
        return list(self._damage.values())

    def channel(self, connection: Connection) -> BagChannel:
        """Return what the file states about a connection.

        Args:
            connection: One of `connections`.
        """
        record = self._contents.channels[connection.id]
        schema = self._contents.schemas.get(record.schema_id)
        name, encoding, data = (schema.name, schema.encoding, schema.data) if schema else ("", "", b"")
        return BagChannel(record.topic, name, record.message_encoding, encoding, data, tuple(record.metadata.items()))

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes, int, int]]:
        """Yield messages in the order of their times.

        Args:
            connections: The connections whose messages are read.
            start: Time of the first message, in ns; None for no limit.
            stop: Time before which messages are taken, in ns; None for no limit.

        Yields:
            Connection, time in ns, data, time of publication in ns, and sequence number.
        """
        by_id = {connection.id: connection for connection in connections}
        first_ns, stop_ns = start or 0, 2**64 if stop is None else stop
        parts = {part.offset: part for part in self._contents.parts}.values()  # a damaged index may repeat one
        # By time, offset of the part and place in it. Parts, which have place 0, are read when their time has come.
        waiting: list[tuple[int, int, int, _Part | Message]] = [
            (part.start_ns, part.offset, 0, part)
            for part in parts
            if part.start_ns < stop_ns
            and part.end_ns >= first_ns
            and (not part.index_offsets or not by_id.keys().isdisjoint(part.index_offsets))
        ]
        heapq.heapify(waiting)
        while waiting:
            time_ns, offset, _, item = heapq.heappop(waiting)
            if isinstance(item, Message):
                yield by_id[item.channel_id], time_ns, item.data, item.publish_time, item.sequence
                continue
            try:
                messages = self._load(offset)
            except Exception as error:  # noqa: BLE001 - damaged bytes make decompressors raise errors of any kind
                self._note_lost(item, by_id, error)
                continue
            for place, message in enumerate(messages, 1):
                if message.channel_id in by_id and first_ns <= message.log_time < stop_ns:
                    heapq.heappush(waiting, (message.log_time, offset, place, message))

    def _check_start(self) -> int:
        """Return where the first record behind the header begins."""
        start = self._file.read(len(_MAGIC))
        if start != _MAGIC:
            reason = "is not an MCAP file: it does not begin with the signature of MCAP" if start else "is empty"
            raise PanopticError(f"{self._path} cannot be read as a bag: it {reason}.")
        opcode, content = _record_at(self._file, len(_MAGIC), self._size)
        if opcode != Opcode.HEADER:
            raise PanopticError(f"{self._path} cannot be read as a bag: it begins with record {opcode}, not a header.")
        if Header.read(_stream(content)).profile != "ros2":
            raise _not_ros2(self._path)
        return len(_MAGIC) + _RECORD_START.size + len(content)

    def _read_contents(self) -> _Contents:
        """Return what the summary at the end of the file lists, or what a scan finds where it lists too little."""
        contents, statistics = _Contents(), None
        try:
            footer_start = self._size - _FOOTER_BYTES
            self._file.seek(max(0, footer_start))
            ending = self._file.read(_FOOTER_BYTES)
            if not ending.startswith(_RECORD_START.pack(Opcode.FOOTER, 20)) or not ending.endswith(_MAGIC):
                raise _DamageError("there is no footer")
            footer = Footer.read(_stream(ending[_RECORD_START.size :]))
            if footer.summary_start:
                self._file.seek(footer.summary_start)
                # The checksum of the summary ends before its own four bytes.
                summary = self._file.read(footer_start + _RECORD_START.size + 16 - footer.summary_start)
                if footer.summary_crc and zlib.crc32(summary) != footer.summary_crc:
                    raise _DamageError("the checksum of its summary is wrong")
                contents, statistics = self._parse_summary(footer.summary_start, footer_start)
        except Exception as error:  # noqa: BLE001 - damaged bytes make parsers raise errors of any kind
            self.warnings.append(
                f"{self._path} was cut off or is damaged at its end ({_reason(error)}): it is read as far as possible."
            )
        schema_ids = {channel.schema_id for channel in contents.channels.values()}
        is_complete = (
            statistics is not None
            and len(contents.channels) >= statistics.channel_count
            and schema_ids <= {0, *contents.schemas}
            and (contents.parts or not statistics.message_count)
        )
        return contents if is_complete else self._scan(contents)

    def _parse_summary(self, start: int, end: int) -> tuple[_Contents, Statistics | None]:
        contents, statistics = _Contents(), None
        for _, opcode, content in _records(self._file, start, end):
            if opcode == Opcode.SCHEMA:
                contents.add(Schema.read(_stream(content)))
            elif opcode == Opcode.CHANNEL:
                contents.add(Channel.read(_stream(content)))
            elif opcode == Opcode.CHUNK_INDEX:
                index = ChunkIndex.read(_stream(content))
                contents.parts.append(
                    _Part(
                        index.chunk_start_offset,
                        index.message_start_time,
                        index.message_end_time,
                        index.message_index_offsets,
                    )
                )
            elif opcode == Opcode.STATISTICS:
                statistics = Statistics.read(_stream(content))
        if statistics and statistics.message_count:
            contents.counts.update(statistics.channel_message_counts)
            contents.start_ns, contents.end_ns = statistics.message_start_time, statistics.message_end_time
        return contents, statistics

    def _scan(self, summary: _Contents) -> _Contents:
        """Return what the records of the file hold, up to the last whole one."""
        # The chunk that defines a channel may be damaged: what the summary repeats is used, too.
        contents = _Contents(summary.schemas, summary.channels)
        try:
            for offset, opcode, content in _records(self._file, self._data_start, self._size):
                if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                    break
                self._scan_record(contents, offset, opcode, content)
        except _DamageError as error:
            self._damage[error.offset] = f"{self._path}: {error}; what follows is lost."
        return contents

    def _scan_record(self, contents: _Contents, offset: int, opcode: int, content: bytes) -> None:
        try:
            if opcode == Opcode.SCHEMA:
                contents.add(Schema.read(_stream(content)))
            elif opcode == Opcode.CHANNEL:
                contents.add(Channel.read(_stream(content)))
            elif opcode == Opcode.MESSAGE:
                message = _message(content)
                contents.add_part(_Part(offset, message.log_time, message.log_time, {}), [message])
            elif opcode == Opcode.CHUNK:
                records = _records_of_chunk(content)
                messages = [record for record in records if isinstance(record, Message)]
                for record in records:
                    if not isinstance(record, Message):
                        contents.add(record)
                if messages:
                    times = [message.log_time for message in messages]
                    contents.add_part(_Part(offset, min(times), max(times), {}), messages)
        except Exception as error:  # noqa: BLE001 - damaged bytes make parsers raise errors of any kind
            self._damage[offset] = (
                f"{self._path}: the record at byte {offset} is damaged ({_reason(error)}); its messages are lost."
            )

    def _load(self, offset: int) -> list[Message]:
        """Return the messages of the part at an offset."""
        opcode, content = _record_at(self._file, offset, self._size)
        if opcode == Opcode.MESSAGE:
            return [_message(content)]
        if opcode != Opcode.CHUNK:
            raise _DamageError(f"the index leads to a record of type {opcode}", offset)
        return [record for record in _records_of_chunk(content) if isinstance(record, Message)]

    def _note_lost(self, part: _Part, connections: dict[int, Connection], error: Exception) -> None:
        lost: Counter[str] = Counter()
        try:
            for id_, offset in part.index_offsets.items():
                if id_ in connections:
                    _, content = _record_at(self._file, offset, self._size)
                    lost[connections[id_].topic] += len(MessageIndex.read(_stream(content)).records)
            what = ", ".join(f"{count} messages of {topic}" for topic, count in lost.items()) or "its messages"
        except Exception:  # noqa: BLE001 - the index is damaged too
            what = "its messages"
        self._damage[part.offset] = (
            f"{self._path}: the chunk at byte {part.offset} is damaged ({_reason(error)}); lost are {what}, "
            f"recorded from {part.start_ns} to {part.end_ns} ns."
        )

    def _connection(self, channel: Channel, count: int) -> Connection:
        schema = self._contents.schemas.get(channel.schema_id)
        if schema is not None and schema.encoding == "ros1msg":
            raise _not_ros2(self._path)
        return Connection(
            channel.id,
            channel.topic,
            schema.name if schema else "",
            MessageDefinition(MessageDefinitionFormat.NONE, ""),
            "",
            count,
            ConnectionExtRosbag2(channel.message_encoding, offered_profiles(channel.metadata)),
            self,
        )


class _DamageError(Exception):
    """A place of a file cannot be read.

    Args:
        reason: Why.
        offset: Where in the file, in bytes.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset


def _records(file: IO[bytes], start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield offset, opcode and content of the records between two places of a file.

    Raises _DamageError when a record reaches beyond `end`.
    """
    offset = start
    while offset < end:
        opcode, content = _record_at(file, offset, end)
        yield offset, opcode, content
        offset += _RECORD_START.size + len(content)


def _record_at(file: IO[bytes], offset: int, end: int) -> tuple[int, bytes]:
    """Return opcode and content of the record at an offset."""
    file.seek(offset)
    start = file.read(_RECORD_START.size)
    length = _RECORD_START.unpack(start)[1] if len(start) == _RECORD_START.size else end
    if offset + _RECORD_START.size + length > end:
        raise _DamageError(f"the record at byte {offset} of {end} is cut off or damaged", offset)
    return start[0], file.read(length)


def _records_of_chunk(content: bytes) -> list[Schema | Channel | Message]:
    """Return the records of a chunk, decompressed and compared with its checksum."""
    chunk = Chunk.read(_stream(content))
    if chunk.uncompressed_size > MAX_BYTES:
        raise _DamageError(f"it claims {chunk.uncompressed_size} bytes, and the limit is {MAX_BYTES}")
    data = decompressed(chunk.data, chunk.compression, limit_bytes=chunk.uncompressed_size)
    length = len(data)
    if length != chunk.uncompressed_size:
        raise _DamageError(f"it has {length} bytes instead of {chunk.uncompressed_size}")
    if chunk.uncompressed_crc not in {0, zlib.crc32(data)}:
        raise _DamageError("its checksum is wrong")
    read = {Opcode.SCHEMA: Schema.read, Opcode.CHANNEL: Channel.read}
    records: list[Any] = []
    for _, opcode, record in _records(BytesIO(data), 0, length):
        if opcode == Opcode.MESSAGE:
            records.append(_message(record))
        elif opcode in read:
            records.append(read[Opcode(opcode)](_stream(record)))
    return records


def _message(content: bytes) -> Message:
    return Message.read(_stream(content), len(content))


def _stream(content: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(content))


def _not_ros2(path: Path) -> PanopticError:
    return PanopticError(f"{path} is MCAP, but not of ROS 2. For a recording of ROS 1, give the original .bag.")


def _reason(error: Exception) -> str:
    return plain(str(error) or type(error).__name__, 120)
