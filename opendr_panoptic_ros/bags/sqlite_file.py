# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading the databases of rosbag2 behind damaged pages.

rosbags' reader ends at the first damaged page, and refuses the file if that page holds the beginning of a message.
Here the times come from their index, and each message is read alone; a damaged index is replaced by a search.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat

from opendr_panoptic_ros.bags.channels import QOS, offered_profiles
from opendr_panoptic_ros.errors import PanopticError, plain
from opendr_panoptic_ros.files import open_regular

if TYPE_CHECKING:
    from typing_extensions import Self

_MIN_MESSAGE_BYTES = 4  # of a row and of an entry of the index; a hostile index may list a row without end


class SqliteFile:
    """A database of rosbag2 as a context, with the interface of rosbags' readers.

    Args:
        path: The file.

    Attributes:
        connections: The topics with their types.
        message_count: Number of messages that can be found.
        start_time: Time of the first message, in ns.
        end_time: Time just after the last message, in ns.

    Raises:
        PanopticError: The file is not a database of rosbag2, or the list of its topics is damaged.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.message_count, self.start_time, self.end_time = 0, 2**63 - 1, 0
        self._lost: set[int] = set()  # ids of messages
        self._reasons: dict[str, None] = {}
        with open_regular(path) as file:
            self._max_messages = max(1, file.seek(0, 2) // _MIN_MESSAGE_BYTES)
        self._database = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?immutable=1", uri=True, check_same_thread=False
        )
        try:
            self._database.text_factory = lambda text: text.decode("utf-8", "replace")
            self._database.execute("PRAGMA trusted_schema=OFF")
            self._database.execute("PRAGMA cell_size_check=ON")  # finds damage of a page earlier
            self._check_tables()
            self.connections = self._read_topics()
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                raise PanopticError(
                    f"{path} cannot be read as a bag: {plain(str(error), 120)}. Expected a database of rosbag2; the "
                    "list of its topics must be whole."
                ) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._database.close()

    @property
    def damage(self) -> list[str]:
        """One line about the damaged places that were met so far."""
        if not self._reasons:
            return []
        reasons = ", ".join(self._reasons)
        return [f"{self._path}: the database is damaged ({reasons}); lost are at least {len(self._lost)} messages."]

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield messages in the order of their times.

        Args:
            connections: The connections whose messages are read.
            start: Time of the first message, in ns; None for no limit.
            stop: Time before which messages are taken, in ns; None for no limit.

        Yields:
            Connection, time in ns and data.
        """
        by_id = {connection.id: connection for connection in connections}
        ids = ", ".join(str(int(id_)) for id_ in by_id)
        # The data of other topics are not loaded.
        query = f"SELECT topic_id, CASE WHEN topic_id IN ({ids}) THEN data END FROM messages WHERE id = ?"  # noqa: S608
        for time_ns, row_id in self._rows(start, stop):
            try:
                row = self._database.execute(query, (row_id,)).fetchone()
            except (sqlite3.Error, OverflowError, MemoryError) as error:
                self._note(error, row_id)
                continue
            if row is None or (row[0] in by_id and not isinstance(row[1], bytes)):
                self._note(ValueError("the index of times names a message that is missing"), row_id)
            elif row[0] in by_id:
                yield by_id[row[0]], time_ns, row[1]

    def _rows(self, start: int | None = None, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield time and id of the messages of a range of time, by time; behind damage of the index of times, by id."""
        first_ns = -(2**63) if start is None else start
        stop_ns = 2**63 - 1 if stop is None else stop
        latest_ns = first_ns
        at_latest: set[int] = set()
        try:
            index = self._database.execute(
                "SELECT timestamp, id FROM messages WHERE timestamp >= ? AND timestamp < ? ORDER BY timestamp",
                (first_ns, stop_ns),
            )
            for time_ns, row_id in islice(index, self._max_messages):
                if not isinstance(time_ns, int) or not isinstance(row_id, int):
                    continue
                if time_ns != latest_ns:
                    latest_ns, at_latest = time_ns, set()
                at_latest.add(row_id)
                yield time_ns, row_id
        except sqlite3.Error as error:
            self._note(error)
        else:
            return
        for time_ns, row_id in self._rows_of_table():
            if latest_ns < time_ns < stop_ns or (time_ns == latest_ns and row_id not in at_latest):
                yield time_ns, row_id

    def _rows_of_table(self) -> Iterator[tuple[int, int]]:
        """Yield time and id of the messages by id, without the index of times."""
        query = "SELECT timestamp, id FROM messages WHERE id > ? ORDER BY id LIMIT 1"
        latest_id = -1
        for _ in range(self._max_messages):
            try:
                row = self._database.execute(query, (latest_id,)).fetchone()
            except sqlite3.Error as error:
                self._note(error, latest_id + 1)
                found = self._id_behind_damage(latest_id)
                if found is None:
                    return
                latest_id = found
                continue
            if row is None:
                return
            latest_id = max(row[1], latest_id + 1)
            if isinstance(row[0], int):
                yield row[0], row[1]

    def _id_behind_damage(self, first: int) -> int | None:
        """Return the smallest id above `first` behind which rows can be read; None if there is none."""
        query = "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1"

        def is_damaged(row_id: int) -> bool:
            try:
                self._database.execute(query, (row_id,)).fetchone()
            except sqlite3.Error:
                return True
            return False

        step = 1
        while is_damaged(first + step):
            step *= 2
            if step > self._max_messages:
                return None
        low, high = first + step // 2, first + step  # low is damaged, high is not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_damaged(middle) else (low, middle)
        return high

    def _check_tables(self) -> None:
        """Refuse tables that compute what they hold: their size is not bounded by that of the file."""
        kinds = dict(
            self._database.execute("SELECT name, type FROM sqlite_master WHERE name IN ('messages', 'topics')")
        )
        if kinds != {"messages": "table", "topics": "table"}:
            raise PanopticError(f"{self._path} cannot be read as a bag: it has no tables of topics and messages.")
        for table in ("messages", "topics"):
            columns = self._database.execute(f"PRAGMA table_xinfo({table})").fetchall()
            virtual = self._database.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = ? AND sql LIKE 'CREATE VIRTUAL%'", (table,)
            ).fetchone()
            if virtual[0] or any(column[6] for column in columns):
                raise PanopticError(f"{self._path} cannot be read as a bag: its table {table} has computed columns.")

    def _read_topics(self) -> list[Connection]:
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(topics)")}
        optional = [name if name in columns else "''" for name in ("offered_qos_profiles", "type_description_hash")]
        query = f"SELECT id, name, type, serialization_format, {', '.join(optional)} FROM topics ORDER BY id"  # noqa: S608
        topics = [row for row in self._database.execute(query) if isinstance(row[0], int)]
        counts, definitions = self._count(), self._read_definitions()
        return [
            Connection(
                id_,
                str(name),
                str(type_name),
                definitions.get(str(type_name), MessageDefinition(MessageDefinitionFormat.NONE, "")),
                str(type_hash),
                counts[id_],
                ConnectionExtRosbag2(str(encoding), offered_profiles({QOS: profiles})),
                self,
            )
            for id_, name, type_name, encoding, profiles, type_hash in topics
        ]

    def _read_definitions(self) -> dict[str, MessageDefinition]:
        """Return the definitions of types by name. Databases of rosbag2 have them since Iron."""
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        formats = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
        try:
            return {
                str(name): MessageDefinition(formats[encoding], str(text))
                for name, encoding, text in self._database.execute(query)
                if encoding in formats
            }
        except sqlite3.Error:  # there is no such table, or it is damaged
            return {}

    def _count(self) -> Counter[int]:
        """Count the messages of each topic, and set the times and the number of all of them."""
        counts: Counter[int] = Counter()
        try:
            counts.update(dict(self._database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id")))
            times = self._database.execute("SELECT min(timestamp), max(timestamp) FROM messages").fetchone()
        except (sqlite3.Error, TypeError):
            counts.clear()
            times = None, None
            for time_ns, row_id in self._rows():
                try:
                    row = self._database.execute("SELECT topic_id FROM messages WHERE id = ?", (row_id,)).fetchone()
                except sqlite3.Error:
                    continue
                if row is not None:
                    counts[row[0]] += 1
                    times = min(time_ns, times[0] or time_ns), max(time_ns, times[1] or time_ns)
        first_ns, last_ns = times
        if isinstance(first_ns, int) and isinstance(last_ns, int):
            self.message_count, self.start_time, self.end_time = counts.total(), first_ns, last_ns + 1
        return counts

    def _note(self, error: Exception, lost_id: int | None = None) -> None:
        if lost_id is not None:
            self._lost.add(lost_id)
        self._reasons[plain(str(error) or type(error).__name__, 120)] = None
