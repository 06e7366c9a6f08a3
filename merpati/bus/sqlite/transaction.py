"""What one write transaction knows and gathers: the topics, the ends of the partitions, the records to insert.

Called by the writer's thread, and by the jobs it runs.  Records are gathered and inserted in few statements, since each
statement gives the interpreter lock away and has to win it back from a busy event loop.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from merpati.bus.api import Record
from merpati.bus.records import admit, no_such_topic, partition_of
from merpati.bus.sqlite.schema import TopicRow, pack_headers, row_id, topic_id, topics

Row = tuple[int, float, float, bytes, bytes, bytes]
INSERT_SIZES = (64, 16, 4, 1)
"""Rows of one INSERT statement."""
INSERTS = {n: "INSERT INTO record VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?)"] * n) for n in INSERT_SIZES}
MOVE_ENDS = """
UPDATE lane SET next = json_extract(moved.value, '$[1]'), stamp = json_extract(moved.value, '$[2]')
FROM json_each(?) AS moved WHERE lane.id = json_extract(moved.value, '$[0]')
"""


class Ends:
    """Topics and ends of partitions as the last transaction of this connection left them.

    They hold as long as nobody else has written, which `data_version` tells.
    """

    def __init__(self) -> None:
        self.topics: dict[str, TopicRow] = {}
        self.lanes: dict[int, tuple[int, float]] = {}
        self._version = -1

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Read them again if another process or a job has changed them."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self.topics = topics(connection)
            self.lanes = {
                lane: (end, stamp) for lane, end, stamp in connection.execute("SELECT id, next, stamp FROM lane")
            }
            self._version = version

    def forget(self) -> None:
        """Have the next transaction read them again."""
        self._version = -1


class Transaction:
    """One write transaction under way.  Jobs write through `connection`; what they `touch` is rung for after it."""

    def __init__(self, connection: sqlite3.Connection, ends: Ends, now: float) -> None:
        self.connection = connection
        self.now = now
        self.touched: set[int] = set()
        self._ends = ends
        self._rows: list[Row] = []
        self._moved: dict[int, tuple[int, float]] = {}

    @property
    def topics(self) -> dict[str, TopicRow]:
        """All topics by name."""
        return self._ends.topics

    def topic(self, name: str) -> TopicRow:
        """The topic of this name; raises `Permanent` if there is none."""
        row = self._ends.topics.get(name)
        if row is None:
            raise no_such_topic(name)
        return row

    def touch(self, lane: int) -> None:
        """Whoever listens to this lane's topic is to look again."""
        self.touched.add(topic_id(lane))

    def changed_topics(self) -> None:
        """A job has written to the tables of topics or lanes itself."""
        self._ends.forget()
        self._ends.refresh(self.connection)

    def forget(self) -> None:
        """A job that may have written there was undone."""
        self._ends.forget()

    def publish(self, records: Sequence[Record]) -> None:
        """Gather records; all of them, or none if one of them is refused with `Permanent`."""
        admitted = [(self._admit(record), pack_headers(record.headers), record) for record in records]
        for topic, headers, record in admitted:
            self._append(topic, headers, record)

    def _admit(self, record: Record) -> TopicRow:
        topic = self.topic(record.topic)
        admit(record, topic.max_record)
        return topic

    def _append(self, topic: TopicRow, headers: bytes, record: Record) -> None:
        lane = topic.lane(partition_of(record.key, topic.partitions))
        offset, stamp = self._moved.get(lane) or self._ends.lanes[lane]
        stamp = max(stamp, self.now)
        row = (row_id(lane, offset), self.now, stamp, record.key, headers, record.value)
        self._rows.append(row)
        self._moved[lane] = (offset + 1, stamp)
        self.touched.add(topic.id)

    def flush(self) -> None:
        """Write what was gathered; the transaction can then be committed."""
        start = 0
        for size in INSERT_SIZES:
            while len(self._rows) - start >= size:
                values = [column for row in self._rows[start : start + size] for column in row]
                self.connection.execute(INSERTS[size], values)
                start += size
        if self._moved:
            moved = [(lane, end, stamp) for lane, (end, stamp) in self._moved.items()]
            self.connection.execute(MOVE_ENDS, (json.dumps(moved),))

    def committed(self) -> None:
        """It is durable: what was gathered is how things stand."""
        self._ends.lanes |= self._moved
