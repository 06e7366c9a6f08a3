"""Following topics of the embedded bus without a group, and reading them back.

Made by `SqliteBus.tail` and `SqliteBus.scan`.  Never writes anything.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence

from merpati.bus.api import Consumed, Lagged
from merpati.bus.sqlite.reading import COLUMNS, Readers, Row, bounds, look, offset_since, offsets_since
from merpati.bus.sqlite.schema import OFFSET_BITS, TopicRow, consumed, row_id, topic_id
from merpati.bus.taking import Bell, take_within
from merpati.clock import Clock

TAKE_BYTES = 16 << 20
"""Of one `take`, about."""
SCAN_ROWS = 512
SCAN_BYTES = 4 << 20
"""Read in one go by a scan."""


class SqliteTail:
    """See `merpati.bus.api.Tail`."""

    def __init__(self, topics: Sequence[TopicRow], readers: Readers, clock: Clock) -> None:
        self.bell = Bell()
        self._topics = {topic.id: topic for topic in topics}
        self._readers = readers
        self._clock = clock
        self._offsets: dict[int, int] = {}
        self._busy = asyncio.Lock()

    async def enter(self, since: float | None) -> None:
        """Find where to begin."""
        for topic in self._topics.values():
            self._offsets |= await self._readers.run(offsets_since, topic.lanes, since)

    async def take(self, limit: int, within: float) -> list[Consumed]:
        async def fetch() -> list[Consumed]:
            async with self._busy:
                return await self._fetch(limit)

        return await take_within(fetch, self.bell, self._clock, within)

    async def _fetch(self, limit: int) -> list[Consumed]:
        found = await self._readers.run(look, self._offsets, limit, TAKE_BYTES)
        if found.behind:
            self._offsets |= found.behind
            raise Lagged("records are gone unread", lanes=len(found.behind))
        taken = []
        for row in found.rows:
            lane = row[0] >> OFFSET_BITS
            record = consumed(self._topics[topic_id(lane)].name, row)
            # to the end of the order: no lane is read before the others each time
            self._offsets.pop(lane)
            self._offsets[lane] = record.offset + 1
            taken.append(record)
        return taken


async def scan(
    readers: Readers, topic: TopicRow, lanes: range, *, since: float, until: float | None, key: bytes | None
) -> AsyncIterator[Consumed]:
    """The records of some of a topic's lanes; see `merpati.bus.api.Bus.scan`."""
    spans = await readers.run(_spans, lanes, since)
    for lane, (start, end) in spans.items():
        place, stop = row_id(lane, start), row_id(lane, end)
        while place < stop:
            rows, place = await readers.run(_matching, (place, stop), (since, until), key)
            for row in rows:
                yield consumed(topic.name, row)


def _spans(connection: sqlite3.Connection, lanes: range, since: float) -> dict[int, tuple[int, int]]:
    """Offsets to look at in each lane, one before the other; the log may grow meanwhile."""
    ends = bounds(connection, lanes)
    return {lane: (offset_since(connection, lane, since), ends[lane][1]) for lane in lanes}


def _matching(
    connection: sqlite3.Connection, span: tuple[int, int], times: tuple[float, float | None], key: bytes | None
) -> tuple[list[Row], int]:
    """Records of interest between two row ids, as many as are read in one go, and the row id to go on from."""
    where = "id >= ? AND id < ? AND at >= ?"
    values: list[float | bytes] = [*span, times[0]]
    if times[1] is not None:
        where, values = where + " AND at < ?", [*values, times[1]]
    if key is not None:
        where, values = where + " AND key = ?", [*values, key]
    rows: list[Row] = []
    room = SCAN_BYTES
    for row in connection.execute(f"SELECT {COLUMNS} FROM record WHERE {where} ORDER BY id LIMIT {SCAN_ROWS}", values):
        rows.append(row)
        room -= len(row[4])
        if room < 0:
            break
    if len(rows) < SCAN_ROWS and room >= 0:
        return rows, span[1]
    return rows, rows[-1][0] + 1
