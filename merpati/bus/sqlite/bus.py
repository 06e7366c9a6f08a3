"""The embedded engine as the rest of the project sees it: it owns the threads, the socket and the lock file.

Made by `merpati.bus.open`.  Any number of processes of one machine, and of buses in one process, share a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from merpati.bus.api import Consumed, Record
from merpati.bus.records import MAX_PARTITIONS, no_such_topic, partition_of
from merpati.bus.sqlite import groups
from merpati.bus.sqlite.errors import door
from merpati.bus.sqlite.presence import BEAT_SECONDS, Presence
from merpati.bus.sqlite.reading import Readers, bounds, positions, processes
from merpati.bus.sqlite.retention import retain
from merpati.bus.sqlite.schema import MAX_TOPICS, TopicRow, topics
from merpati.bus.sqlite.subscription import SqliteSubscription
from merpati.bus.sqlite.tail import SqliteTail, scan
from merpati.bus.sqlite.transaction import Transaction
from merpati.bus.sqlite.wake import Wake
from merpati.bus.sqlite.writer import Writer
from merpati.bus.taking import Bell
from merpati.bus.threads import let_threads_in
from merpati.clock import Clock
from merpati.errors import Misconfigured, Temporary
from merpati.ids import Dice
from merpati.telemetry import logger

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

LIVE_SECONDS = 1.0
"""Between looks at who of our groups has died."""
RETAIN_SECONDS = 30.0
"""Between rounds of deleting, about."""


class SqliteBus:
    """See `merpati.bus.api.Bus`.  Everything lies in `folder`."""

    def __init__(self, folder: Path, clock: Clock, dice: Dice) -> None:
        self.folder = folder
        self._clock = clock
        self._dice = dice
        self._path = folder / "log.db"
        name = dice.bytes(8).hex()
        self._presence = Presence(folder / "processes", name, clock)
        self._wake = Wake(folder / "wake", name, self._ring)
        self._writer = Writer(self._path, clock, self._wake.send, self._ring)
        self._readers = Readers(self._path)
        self._bells: dict[Bell, frozenset[int]] = {}
        self._members: set[SqliteSubscription] = set()
        self._leaving: set[SqliteSubscription] = set()
        """Whose partitions nobody else has been given yet."""
        self._tasks: list[asyncio.Task[None]] = []
        self._log = logger("bus")

    async def start(self) -> None:
        let_threads_in()
        self._readers.start()
        await self._writer.start()
        with door(self._path):
            self._presence.enter()
            self._wake.open()
        self._tasks = [
            asyncio.create_task(self._rounds(LIVE_SECONDS, self._expire)),
            asyncio.create_task(self._rounds(LIVE_SECONDS, self._live)),
            asyncio.create_task(self._rounds(BEAT_SECONDS, self._beat)),
            asyncio.create_task(self._rounds(RETAIN_SECONDS, self._retain)),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._writer.close()
        await self._readers.close()
        self._wake.close()
        self._presence.leave()

    async def check(self) -> str:
        await self._writer.do(_probe)
        return f"SQLite in {self.folder}"

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        for spec in topics:
            if not 0 < spec.partitions <= MAX_PARTITIONS:
                raise Misconfigured(f"a topic has 1 to {MAX_PARTITIONS} partitions", topic=spec.name)
        await self._writer.do(partial(_ensure, specs=topics))

    async def publish(self, records: Sequence[Record]) -> None:
        await self._writer.publish(records)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AsyncIterator[SqliteSubscription]:
        rows = await self._topics(topics)
        member = SqliteSubscription(
            group,
            rows,
            process=self._presence.name,
            token=self._dice.bytes(8).hex(),
            writer=self._writer,
            readers=self._readers,
            clock=self._clock,
            buffer_bytes=buffer_bytes,
        )
        with self._listening(member.bell, rows):
            try:
                await member.enter()
                self._members.add(member)
                yield member
            finally:
                self._members.discard(member)
                self._leaving.add(member)
                await self._let_go()

    @contextlib.asynccontextmanager
    async def tail(self, topics: Sequence[str], *, since: float | None = None) -> AsyncIterator[SqliteTail]:
        rows = await self._topics(topics)
        tail = SqliteTail(rows, self._readers, self._clock)
        with self._listening(tail.bell, rows):
            await tail.enter(since)
            yield tail

    async def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        (row,) = await self._topics([topic])
        lanes = row.lanes
        if key is not None:
            lane = row.lane(partition_of(key, row.partitions))
            lanes = range(lane, lane + 1)
        async for record in scan(self._readers, row, lanes, since=since, until=until, key=key):
            yield record

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        rows = await self._topics(topics)
        reached = await self._readers.run(positions, group)
        lag = {}
        for row in rows:
            for lane, (floor, end) in (await self._readers.run(bounds, row.lanes)).items():
                lag[row.name, lane - row.lane(0)] = end - max(floor, reached.get(lane, 0))
        return lag

    async def rewind(self, group: str, topic: str, since: float) -> None:
        await self._expel_dead([group])
        await self._writer.do(lambda transaction: groups.rewind(transaction, group, topic, since))

    async def retain(self) -> int:
        """Delete what is past its time now; how many records that were.  Happens by itself every half minute."""
        return await retain(self._writer, self._readers, self._clock, self.folder / "retention.turn")

    async def _topics(self, names: Iterable[str]) -> list[TopicRow]:
        known = await self._readers.run(topics)
        missing = [name for name in names if name not in known]
        if missing:
            raise no_such_topic(missing[0])
        return [known[name] for name in names]

    @contextlib.contextmanager
    def _listening(self, bell: Bell, rows: Sequence[TopicRow]) -> Iterator[None]:
        self._bells[bell] = frozenset(row.id for row in rows)
        for row in rows:
            self._wake.listen(row.id)
        try:
            yield
        finally:
            del self._bells[bell]
            for row in rows:
                self._wake.ignore(row.id)

    def _ring(self, touched: set[int] | None) -> None:
        for bell, concern in list(self._bells.items()):
            if touched is None or not concern.isdisjoint(touched):
                bell.ring()

    async def _rounds(self, seconds: float, body: Callable[[], Awaitable[object]]) -> None:
        """Do something again and again until cancelled; a failure waits for the next round."""
        while True:
            # not in step with the other processes
            await self._clock.sleep(self._dice.uniform(0.8, 1.2) * seconds)
            try:
                await body()
            except Temporary as failure:
                self._log.warning("interrupted", failure=str(failure))
            except Exception:
                self._log.exception("failed")

    async def _expire(self) -> None:
        self._writer.expire()

    async def _let_go(self) -> None:
        """Have those that leave give up their partitions; a log that is unavailable now is tried again later."""
        for member in list(self._leaving):
            try:
                await member.leave()
                self._leaving.discard(member)
            except Temporary as failure:
                self._log.warning("interrupted", failure=str(failure))

    async def _live(self) -> None:
        """Look after our groups: who has died, what is to be handed over."""
        await self._let_go()
        await self._expel_dead({member.group for member in self._members})
        for member in list(self._members):
            await member.tick()

    async def _expel_dead(self, names: Iterable[str]) -> None:
        for group in names:
            members = await self._readers.run(processes, group)
            with door(self._path):
                dead = self._presence.dead(set(members.values()))
            gone = [member for member, process in members.items() if process in dead]
            if gone:
                self._log.info("members gone", group=group, members=len(gone))
                await self._writer.do(lambda transaction: groups.expel(transaction, group, gone))  # noqa: B023

    async def _beat(self) -> None:
        with door(self._path):
            self._presence.beat()
        self._ring(None)  # a datagram may have been lost: everyone looks for records by himself now and then

    async def _retain(self) -> None:
        await self.retain()


def _probe(transaction: Transaction) -> None:
    """Prove that the log can be written."""
    transaction.connection.execute("INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)", (transaction.now,))


def _ensure(transaction: Transaction, specs: Sequence[TopicSpec]) -> None:
    """Create topics, or bring their settings into line; the number of partitions stays, it decides the order."""
    connection = transaction.connection
    for spec in specs:
        known = transaction.topics.get(spec.name)
        if known is None:
            values = (spec.name, spec.partitions, spec.keeps, spec.max_record)
            added = connection.execute(
                "INSERT INTO topic (name, partitions, keeps, max_record) VALUES (?, ?, ?, ?)", values
            )
            if added.lastrowid is None or added.lastrowid >= MAX_TOPICS:
                raise Misconfigured(f"the log has room for {MAX_TOPICS} topics", topic=spec.name)
            row = TopicRow(added.lastrowid, *values)
            connection.executemany(
                "INSERT INTO lane (id, next, floor, stamp) VALUES (?, 0, 0, 0)", [(lane,) for lane in row.lanes]
            )
        elif (known.keeps, known.max_record) != (spec.keeps, spec.max_record):
            connection.execute(
                "UPDATE topic SET keeps = ?, max_record = ? WHERE id = ?", (spec.keeps, spec.max_record, known.id)
            )
    transaction.changed_topics()
