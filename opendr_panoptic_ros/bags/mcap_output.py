# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Writing MCAP files, and appending the chunks of other files without decompressing them.

Equal calls give equal bytes. The writer of the package `mcap` puts channels into the first chunk, so that its chunks
cannot be moved to another file.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from opendr_panoptic_ros.bags.channels import BagChannel
from opendr_panoptic_ros.errors import PanopticError

MAGIC = b"\x89MCAP0\r\n"
RECORD_START = struct.Struct("<BQ")
"""Opcode and length of the content of a record."""
COMPRESSIONS = ("zstd", "none")
_CHUNK_BYTES = 2**20
_RESERVE_BYTES = 16 * 2**20  # what the writer still holds, and the index at the end
_MESSAGE_START = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK_START = struct.Struct("<QQQI")  # first time, last time, uncompressed size and checksum
_CHANNEL_ID = struct.Struct("<H")
_INDEX_START = struct.Struct("<HI")  # channel, bytes of the entries
_INDEX_ENTRY = struct.Struct("<QQ")  # log time, offset in the chunk
_COPY_BYTES = 2**20


class McapOutput:
    """A new MCAP file of ROS 2: chunks of about 1 MiB, each with a CRC-32, and a summary with one.

    Args:
        path: The file, which must not exist.
        compression: Compression of the chunks, of `COMPRESSIONS`.

    Attributes:
        counts: Number of messages by channel id.
        start_ns: Record time of the earliest message; 2^63 - 1 if there is none.
        end_ns: Record time of the latest message.
    """

    def __init__(self, path: Path, *, compression: str = "zstd") -> None:
        self.path = path
        self.counts: Counter[int] = Counter()
        self.start_ns, self.end_ns = 2**63 - 1, 0
        self._compressor = zstandard.ZstdCompressor() if compression == "zstd" else None
        self._schemas: dict[tuple[str, str, bytes], Schema] = {}
        self._channels: list[Channel] = []
        self._chunk = _Chunk()
        self._chunk_count, self._chunk_indexes = 0, RecordBuilder()  # serialized: a long bag has many
        self._file = path.open("xb")
        self._file.write(MAGIC)
        self._write(Header("ros2", "opendr_panoptic_ros"))

    def add_channel(self, channel: BagChannel) -> int:
        """Add a channel. Files whose channels were added in the same order can be appended to each other.

        Args:
            channel: The channel.

        Returns:
            The id of the channel in the file, 1 for the first one.
        """
        self.end_chunk()
        key = channel.type_name, channel.schema_encoding, channel.schema
        if key not in self._schemas:
            name, encoding, data = key
            self._schemas[key] = Schema(id=len(self._schemas) + 1, name=name, encoding=encoding, data=data)
            self._write(self._schemas[key])
        record = Channel(
            id=len(self._channels) + 1,
            topic=channel.topic,
            message_encoding=channel.encoding,
            metadata=dict(channel.metadata),
            schema_id=self._schemas[key].id,
        )
        self._channels.append(record)
        self._write(record)
        return record.id

    def check_space(self, size: int) -> None:
        """Check that messages can be written and the file be completed after them.

        Args:
            size: Size of the messages in bytes.

        Raises:
            PanopticError: The disk might become full.
        """
        free = shutil.disk_usage(self.path.parent).free
        if free < _RESERVE_BYTES + 2 * size:
            raise PanopticError(f"The disk is full: {free // 2**20} MB are left, which completing the bag may take.")

    def write(
        self,
        channel_id: int,
        time_ns: int,
        data: bytes | memoryview,
        *,
        publish_ns: int | None = None,
        sequence: int = 0,
    ) -> None:
        """Append a message.

        Args:
            channel_id: Id of its channel.
            time_ns: Record time in ns.
            data: The serialized message.
            publish_ns: When it was published, in ns; None for the record time.
            sequence: Its number, as its publisher counts.
        """
        self._chunk.add(channel_id, time_ns, time_ns if publish_ns is None else publish_ns, sequence, data)
        self._count(channel_id, 1, time_ns, time_ns)
        if self._chunk.size > _CHUNK_BYTES:
            self.end_chunk()

    def end_chunk(self) -> None:
        """Write the messages of the present chunk, so that the next message begins a new one."""
        chunk = self._chunk
        if not chunk.entries:
            return
        content = b"".join(chunk.parts)
        data = content if self._compressor is None else self._compressor.compress(content)
        name = b"zstd" if self._compressor is not None else b""
        start = _CHUNK_START.pack(chunk.start_ns, chunk.end_ns, len(content), zlib.crc32(content))
        record = b"".join((start, struct.pack("<I", len(name)), name, struct.pack("<Q", len(data))))
        offset = self._file.tell()
        self._file.write(RECORD_START.pack(Opcode.CHUNK, len(record) + len(data)))
        self._file.write(record)
        self._file.write(data)
        index = self._begin_index(offset, chunk.start_ns, chunk.end_ns, name.decode(), len(data), len(content))
        for channel_id, entries in chunk.entries.items():
            packed = b"".join(_INDEX_ENTRY.pack(*entry) for entry in entries)
            self._add_to_index(index, channel_id, _INDEX_START.pack(channel_id, len(packed)) + packed)
        index.write(self._chunk_indexes)
        self._chunk = _Chunk()

    def append(self, piece: Path, *, without: Collection[int] = ()) -> None:
        """Append the chunks of another file of this class, whose channels were added in the same order.

        Args:
            piece: The file.
            without: Ids of channels. Chunks that hold messages of these channels only are left out.
        """
        self.end_chunk()
        with piece.open("rb") as file:
            for part in _parts(file):
                if not {channel_id for channel_id, _ in part.indexes} <= set(without):
                    self._append_part(file, part)

    def finish(self, metadata: Mapping[str, Mapping[str, str]]) -> None:
        """Complete the file: metadata, summary and footer.

        Args:
            metadata: Entries by name of the metadata record.
        """
        self.end_chunk()
        indexes = []
        for name, entries in metadata.items():
            offset = self._file.tell()
            self._write(Metadata(name=name, metadata=dict(entries)))
            indexes.append(MetadataIndex(offset=offset, length=self._file.tell() - offset, name=name))
        self._write(DataEnd(0))
        summary_start = self._file.tell()
        groups: dict[Opcode, Sequence[McapRecord]] = {
            Opcode.SCHEMA: list(self._schemas.values()),
            Opcode.CHANNEL: self._channels,
            Opcode.STATISTICS: [self._statistics(len(indexes))],
            Opcode.METADATA_INDEX: indexes,
        }
        content, offsets = b"", []
        for opcode, records in groups.items():
            offsets.append((opcode, len(content)))
            content += b"".join(map(_serialized, records))
        offsets.append((Opcode.CHUNK_INDEX, len(content)))
        content += self._chunk_indexes.end()
        offsets_start = summary_start + len(content)
        ends = [start for _, start in offsets[1:]] + [len(content)]
        for (opcode, start), end in zip(offsets, ends, strict=True):
            if end > start:
                content += _serialized(SummaryOffset(opcode, summary_start + start, end - start))
        start_of_footer = struct.pack("<BQQQ", Opcode.FOOTER, 20, summary_start, offsets_start)
        self._file.write(content)
        self._write(Footer(summary_start, offsets_start, zlib.crc32(start_of_footer, zlib.crc32(content))))
        self._file.write(MAGIC)
        self.close()

    def close(self) -> None:
        """Close the file, which cannot be read unless it was completed."""
        self._file.close()

    def _write(self, record: McapRecord) -> None:
        self._file.write(_serialized(record))

    def _begin_index(
        self, offset: int, start_ns: int, end_ns: int, compression: str, compressed: int, uncompressed: int
    ) -> ChunkIndex:
        """Return the index of the chunk that was just written at `offset`."""
        index = ChunkIndex(
            message_start_time=start_ns,
            message_end_time=end_ns,
            chunk_start_offset=offset,
            chunk_length=self._file.tell() - offset,
            message_index_offsets={},
            message_index_length=0,
            compression=compression,
            compressed_size=compressed,
            uncompressed_size=uncompressed,
        )
        self._chunk_count += 1
        return index

    def _add_to_index(self, index: ChunkIndex, channel_id: int, content: bytes) -> None:
        """Write the message index of a channel behind its chunk."""
        index.message_index_offsets[channel_id] = self._file.tell()
        self._file.write(RECORD_START.pack(Opcode.MESSAGE_INDEX, len(content)))
        self._file.write(content)
        index.message_index_length += RECORD_START.size + len(content)

    def _append_part(self, file: IO[bytes], part: _Part) -> None:
        self.check_space(part.length)
        offset = self._file.tell()
        file.seek(part.offset)
        start = file.read(RECORD_START.size + _CHUNK_START.size + 4)
        start_ns, end_ns, uncompressed, _ = _CHUNK_START.unpack_from(start, RECORD_START.size)
        (name_length,) = struct.unpack_from("<I", start, RECORD_START.size + _CHUNK_START.size)
        name = file.read(name_length)
        self._file.write(start + name)
        compressed = part.length - len(start) - name_length - 8
        _copy(file, self._file, part.length - len(start) - name_length)
        index = self._begin_index(offset, start_ns, end_ns, name.decode(), compressed, uncompressed)
        for channel_id, content in part.indexes:
            self._add_to_index(index, channel_id, content)
            self._count(channel_id, (len(content) - _INDEX_START.size) // _INDEX_ENTRY.size, start_ns, end_ns)
        index.write(self._chunk_indexes)

    def _count(self, channel_id: int, count: int, start_ns: int, end_ns: int) -> None:
        self.counts[channel_id] += count
        self.start_ns, self.end_ns = min(self.start_ns, start_ns), max(self.end_ns, end_ns)

    def _statistics(self, metadata_count: int) -> Statistics:
        total = self.counts.total()
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(sorted(self.counts.items())),
            chunk_count=self._chunk_count,
            message_count=total,
            message_start_time=self.start_ns if total else 0,
            message_end_time=self.end_ns,
            metadata_count=metadata_count,
            schema_count=len(self._schemas),
        )


class _Chunk:
    """Messages that have not been written yet."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.entries: dict[int, list[tuple[int, int]]] = {}
        self.size = 0
        self.start_ns, self.end_ns = 2**63 - 1, 0

    def add(self, channel_id: int, time_ns: int, publish_ns: int, sequence: int, data: bytes | memoryview) -> None:
        length = _MESSAGE_START.size - RECORD_START.size + len(data)
        self.entries.setdefault(channel_id, []).append((time_ns, self.size))
        self.parts += (
            _MESSAGE_START.pack(Opcode.MESSAGE, length, channel_id, sequence, time_ns, publish_ns),
            data,
        )
        self.size += RECORD_START.size + length
        self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)


class _Part(NamedTuple):
    """A chunk with its message indexes.

    Attributes:
        offset: Where the record of the chunk begins.
        length: Its length in bytes.
        indexes: Channel id and content of each message index.
    """

    offset: int
    length: int
    indexes: list[tuple[int, bytes]]


def _serialized(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return builder.end()


def _parts(file: IO[bytes]) -> Iterator[_Part]:
    """Yield the chunks of a file that McapOutput has completed."""
    part: _Part | None = None
    offset = len(MAGIC)
    while True:
        file.seek(offset)
        opcode, length = RECORD_START.unpack(file.read(RECORD_START.size))
        if opcode == Opcode.MESSAGE_INDEX and part is not None:
            content = file.read(length)
            part.indexes.append((_CHANNEL_ID.unpack_from(content)[0], content))
        else:
            if part is not None:
                yield part
            part = _Part(offset, RECORD_START.size + length, []) if opcode == Opcode.CHUNK else None
        if opcode == Opcode.DATA_END:
            return
        offset += RECORD_START.size + length


def _copy(source: IO[bytes], target: IO[bytes], length: int) -> None:
    while length:
        data = source.read(min(length, _COPY_BYTES))
        target.write(data)
        length -= len(data)
