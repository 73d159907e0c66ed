# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading ROS 1 bags behind damaged chunks. rosbags parses the records; its own reader ends at the first damage."""

from __future__ import annotations

import heapq
import os
from collections.abc import Collection, Generator
from io import BytesIO
from typing import Any, BinaryIO

from rosbags.interfaces import Connection
from rosbags.rosbag1.reader import Chunk, Header, IndexData, Reader, RecordType, read_bytes, read_uint32
from typing_extensions import override

from opendr_panoptic_ros.bags.decompression import MAX_BYTES, decompressed
from opendr_panoptic_ros.errors import plain


class Ros1File(Reader):
    """A ROS 1 bag as a context. Messages in damaged places are left out; the index at its end must be whole.

    Args:
        path: The file.
    """

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self._lost: dict[int, tuple[int, str]] = {}  # number of messages and reason by the place of the chunk
        self._unreadable: dict[int, Exception] = {}
        self._chunk: tuple[int, bytes] = (-1, b"")

    @property
    def damage(self) -> list[str]:
        """One line for each damaged chunk that was met so far."""
        return [
            f"{self.path}: the chunk at byte {place} is damaged ({why}); lost are {count} messages."
            for place, (count, why) in self._lost.items()
        ]

    @override
    def read_chunk(self) -> Chunk:
        file = self._file()
        header = Header.read(file, RecordType.CHUNK)
        compression, claimed_bytes = header.get_string("compression"), header.get_uint32("size")
        size_bytes = read_uint32(file)
        place = file.tell()
        file.seek(size_bytes, os.SEEK_CUR)

        def content_of(data: bytes) -> bytes:
            content = decompressed(data, compression, limit_bytes=min(claimed_bytes, MAX_BYTES))
            if len(content) != claimed_bytes:
                raise ValueError(f"it has {len(content)} bytes instead of {claimed_bytes}")
            return content

        return Chunk(size_bytes, place, content_of)

    @override
    def messages(
        self, connections: Collection[Connection] = (), start: int | None = None, stop: int | None = None
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        by_id = {connection.id: connection for connection in connections}
        lost: dict[int, tuple[int, str]] = {}
        for entry in heapq.merge(*(self.indexes[id_] for id_ in by_id)):
            if start is not None and entry.time < start:
                continue
            if stop is not None and entry.time >= stop:
                break
            try:
                connection_id, data = self._message_at(entry)
                connection = by_id[connection_id]
            except Exception as error:  # noqa: BLE001 - damaged bytes make the parsers raise errors of any kind
                count = lost.get(entry.chunk_pos, (0, ""))[0]
                lost[entry.chunk_pos] = count + 1, plain(str(error) or type(error).__name__, 120)
                self._lost |= lost
                continue
            yield connection, entry.time, data

    def _file(self) -> BinaryIO:
        if self.bio is None:
            raise ValueError("the bag is closed")
        return self.bio

    def _message_at(self, entry: IndexData) -> tuple[int, bytes]:
        """Return connection and data of a message."""
        chunk = BytesIO(self._content_of(entry.chunk_pos))
        chunk.seek(entry.offset)
        header = Header.read(chunk)
        while header.get_uint8("op") == RecordType.CONNECTION:
            chunk.seek(read_uint32(chunk), os.SEEK_CUR)
            header = Header.read(chunk)
        if header.get_uint8("op") != RecordType.MSGDATA or header.get_time("time") != entry.time:
            raise ValueError("a message in it is not where the index has it")
        return header.get_uint32("conn"), read_bytes(chunk, read_uint32(chunk))

    def _content_of(self, place: int) -> bytes:
        """Return the content of a chunk. The newest one is kept; a damaged one is not tried again."""
        if place in self._unreadable:
            raise self._unreadable[place]
        if self._chunk[0] != place:
            file, header = self._file(), self.chunks[place]
            try:
                file.seek(header.datapos)
                self._chunk = place, header.decompressor(read_bytes(file, header.datasize))
            except Exception as error:
                self._unreadable[place] = error
                raise
        return self._chunk[1]
