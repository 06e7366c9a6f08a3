"""The tables of the embedded bus, how a connection to them is opened, and how a record's place becomes a row id.

Called by the writer and the readers.  Records of one partition lie side by side in one b-tree and are read by range, so
they need no index: the row id is the topic, the partition and the offset in one number.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec

from merpati.bus.api import Consumed, Headers
from merpati.errors import Misconfigured

VERSION = 1
BUSY_SECONDS = 10.0
"""How long SQLite waits for a lock that something other than our writers holds."""
CHECKPOINT_PAGES = 4000
"""Pages (of 4 KiB) of write-ahead log after which a commit copies them into the file."""
WAL_BYTES = 64 << 20
"""What the write-ahead log is cut down to after a burst."""
CACHE_KIB = 16 * 1024

OFFSET_BITS = 40
PARTITION_BITS = 10
MAX_TOPICS = 1 << (63 - OFFSET_BITS - PARTITION_BITS)

TABLES = """
CREATE TABLE topic (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL, keeps REAL NOT NULL, max_record INTEGER NOT NULL);
-- next and floor are counters of their own: an offset never comes back, however much is deleted.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY, next INTEGER NOT NULL, floor INTEGER NOT NULL, stamp REAL NOT NULL);
-- at is when it was published. stamp is the same, but never falls within a partition, so that it can be searched.
CREATE TABLE record (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, stamp REAL NOT NULL,
    key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB NOT NULL);
CREATE TABLE grp (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE member (
    id INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, process TEXT NOT NULL, token TEXT NOT NULL,
    topics TEXT NOT NULL);
CREATE TABLE lease (
    grp TEXT NOT NULL, lane INTEGER NOT NULL, position INTEGER NOT NULL, member INTEGER,
    PRIMARY KEY (grp, lane)) WITHOUT ROWID;
CREATE TABLE probe (id INTEGER PRIMARY KEY, at REAL NOT NULL);
"""

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(Headers).decode


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic as it stands in the file."""

    id: int
    name: str
    partitions: int
    keeps: float
    max_record: int

    def lane(self, partition: int) -> int:
        """The number of one of its partitions."""
        return self.id << PARTITION_BITS | partition

    @property
    def lanes(self) -> range:
        """The numbers of all its partitions."""
        return range(self.lane(0), self.lane(self.partitions))


def topic_id(lane: int) -> int:
    """The topic a lane belongs to."""
    return lane >> PARTITION_BITS


def row_id(lane: int, offset: int) -> int:
    """Where the record at `offset` of a lane lies."""
    return lane << OFFSET_BITS | offset


def pack_headers(headers: Headers) -> bytes:
    """Headers as they lie in the file."""
    return _encode_headers(headers) if headers else b""


def consumed(topic: str, row: tuple[int, float, bytes, bytes, bytes]) -> Consumed:
    """The record in a row of `id, at, key, headers, value`."""
    place, at, key, headers, value = row
    return Consumed(
        topic=topic,
        partition=place >> OFFSET_BITS & ((1 << PARTITION_BITS) - 1),
        offset=place & ((1 << OFFSET_BITS) - 1),
        timestamp=at,
        key=key,
        value=value,
        headers=_decode_headers(headers) if headers else (),
    )


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file, which is made if it is not there.  Used by one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # Must stand before the first table: pages freed by retention can be given back to the file system.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the write-ahead log at each commit: what `publish` promises.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables if they are not there.  Raises `Misconfigured` if a later version of ours made them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise Misconfigured("the event log was written by a later version", version=version, known=VERSION)
        if version == 0:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def topics(connection: sqlite3.Connection) -> dict[str, TopicRow]:
    """All topics by name."""
    rows = connection.execute("SELECT id, name, partitions, keeps, max_record FROM topic")
    return {row[1]: TopicRow(*row) for row in rows}
