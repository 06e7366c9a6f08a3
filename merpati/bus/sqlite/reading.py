"""Reading the log: a few threads with a connection each, and the queries they run.

Called by subscriptions, tails, scans and the bus.  Never writes.  Every query is one short read transaction, so the
write-ahead log can always be folded back.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from merpati.bus.sqlite.errors import door
from merpati.bus.sqlite.schema import connect, row_id
from merpati.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

Row = tuple[int, float, bytes, bytes, bytes]
COLUMNS = "id, at, key, headers, value"
THREADS = 4


class Readers:
    """The threads.  A connection stays with its thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="bus-reader")

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.get_running_loop().run_in_executor(None, pool.shutdown)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    async def run(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`query` in one of the threads, with its connection.  Raises `Unavailable`."""
        if self._pool is None:
            raise Unavailable("the event log is closed", path=str(self._path))
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: self._with_connection(query, *args, **kwargs)
        )

    def _with_connection(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with door(self._path):
            connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
            if connection is None:
                connection = self._mine.connection = connect(self._path)
                connection.execute("PRAGMA query_only = ON")
                self._connections.append(connection)
            return query(connection, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at some lanes brought: the group's generation, rows, and lanes asked for below their floor."""

    generation: int
    rows: list[Row]
    behind: dict[int, int]
    """Lanes whose floor is above the offset asked for, and their ends."""


def look(connection: sqlite3.Connection, offsets: Mapping[int, int], limit: int, room: int, group: str = "") -> Found:
    """Up to `limit` records and about `room` bytes from `offsets` (of lanes) on, the first lane first."""
    connection.execute("BEGIN")
    try:
        generation = generation_of(connection, group) if group else 0
        rows: list[Row] = []
        behind: dict[int, int] = {}
        heads = bounds(connection, offsets)
        for lane, offset in offsets.items():
            floor, end = heads[lane]
            if offset < floor:
                behind[lane] = end
            if offset < end and limit > len(rows) and room > 0:
                room -= _read(connection, lane, (offset, end), (limit, room), rows)
        return Found(generation, rows, behind)
    finally:
        connection.execute("ROLLBACK")


def _read(
    connection: sqlite3.Connection, lane: int, span: tuple[int, int], most: tuple[int, int], rows: list[Row]
) -> int:
    """Add a lane's records of `span` to `rows`, until there are as many or as much as `most` says; the bytes read."""
    limit, room = most
    size = 0
    places = (row_id(lane, span[0]), row_id(lane, span[1]), limit - len(rows))
    for row in connection.execute(f"SELECT {COLUMNS} FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", places):
        rows.append(row)
        size += len(row[4])
        if size >= room:
            break
    return size


def bounds(connection: sqlite3.Connection, lanes: Mapping[int, object] | range) -> dict[int, tuple[int, int]]:
    """The floor and the end of each lane."""
    marks = ",".join("?" * len(lanes))
    rows = connection.execute(f"SELECT id, floor, next FROM lane WHERE id IN ({marks})", tuple(lanes))
    return {lane: (floor, end) for lane, floor, end in rows}


def generation_of(connection: sqlite3.Connection, group: str) -> int:
    """A number that rises whenever the members of a group or what they hold changes."""
    row = connection.execute("SELECT generation FROM grp WHERE name = ?", (group,)).fetchone()
    return row[0] if row else 0


def processes(connection: sqlite3.Connection, group: str) -> dict[int, str]:
    """The members of a group and the processes they live in."""
    return dict(connection.execute("SELECT id, process FROM member WHERE grp = ?", (group,)).fetchall())


def positions(connection: sqlite3.Connection, group: str) -> dict[int, int]:
    """How far a group has come in each lane it ever held."""
    return dict(connection.execute("SELECT lane, position FROM lease WHERE grp = ?", (group,)).fetchall())


def offset_since(connection: sqlite3.Connection, lane: int, moment: float) -> int:
    """The offset of the first record of a lane at or after `moment`; its end if there is none.

    Stamps never fall within a lane and its offsets have no gaps, so it is found by halving.
    """
    low, high = bounds(connection, range(lane, lane + 1))[lane]
    while low < high:
        middle = (low + high) // 2
        row = connection.execute("SELECT stamp FROM record WHERE id = ?", (row_id(lane, middle),)).fetchone()
        if row is None or row[0] < moment:
            low = middle + 1
        else:
            high = middle
    return low


def offsets_since(connection: sqlite3.Connection, lanes: range, moment: float | None) -> dict[int, int]:
    """Where a reader of these lanes begins: at `moment`, or at their ends."""
    connection.execute("BEGIN")
    try:
        if moment is None:
            return {lane: end for lane, (_, end) in bounds(connection, lanes).items()}
        return {lane: offset_since(connection, lane, moment) for lane in lanes}
    finally:
        connection.execute("ROLLBACK")
