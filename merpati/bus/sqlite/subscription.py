"""A member of a group on the embedded bus: it takes records from the partitions it holds and commits what is finished.

Made by `SqliteBus.subscribe`; the bus calls `tick` each second.  Nothing is read ahead: what is not asked for stays in
the file, so a partition can be handed over at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from merpati.bus.api import Consumed
from merpati.bus.progress import Progress
from merpati.bus.sqlite import groups
from merpati.bus.sqlite.reading import Found, Readers, look
from merpati.bus.sqlite.schema import OFFSET_BITS, TopicRow, consumed, topic_id
from merpati.bus.sqlite.writer import Writer
from merpati.bus.taking import Bell, take_within
from merpati.clock import Clock

HANDOVER_SECONDS = 5.0
"""How long a partition that is another's stays here for what was taken from it to be finished."""
LOOKS = 5
"""At the log, by one `take` while the group keeps changing, before it waits to be rung for again."""


@dataclass(slots=True)
class _Held:
    """A lane of ours.  `leave_by` is set, in monotonic seconds, once it is to be given up."""

    progress: Progress
    leave_by: float | None = None


class SqliteSubscription:
    """See `merpati.bus.api.Subscription`."""

    def __init__(
        self,
        group: str,
        topics: Sequence[TopicRow],
        *,
        process: str,
        token: str,
        writer: Writer,
        readers: Readers,
        clock: Clock,
        buffer_bytes: int,
    ) -> None:
        self.group = group
        self.bell = Bell()
        self._topics = {topic.id: topic for topic in topics}
        self._by_name = {topic.name: topic for topic in topics}
        self._process = process
        self._token = token
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._member = 0
        self._generation = 0
        self._lanes: dict[int, _Held] = {}
        self._turn = 0
        self._busy = asyncio.Lock()
        """Held while records are handed out and while partitions change hands."""

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        topics = ((self._topics[topic_id(lane)], lane) for lane in self._lanes)
        return frozenset((topic.name, lane - topic.lane(0)) for topic, lane in topics)

    async def enter(self) -> None:
        """Join the group and take what is free."""
        async with self._busy:
            await self._join()
            await self._settle()

    async def leave(self) -> None:
        """Give up everything at once.  Raises `Unavailable`; the bus then tries again, or nobody else could have it."""
        async with self._busy:
            self._member = 0
            self._lanes = {}
            await self._writer.do(lambda transaction: groups.leave(transaction, self.group, self._token))

    async def tick(self) -> None:
        """Give up what was to be given up and is now finished, or has been waited for long enough."""
        if self._member and any(held.leave_by is not None for held in self._lanes.values()):
            async with self._busy:
                await self._settle()

    async def take(self, limit: int, within: float) -> list[Consumed]:
        async def fetch() -> list[Consumed]:
            async with self._busy:
                return await self._fetch(limit)

        return await take_within(fetch, self.bell, self._clock, within)

    async def done(self, records: Sequence[Consumed]) -> None:
        for record in records:
            topic = self._by_name.get(record.topic)
            held = self._lanes.get(topic.lane(record.partition)) if topic else None
            if held is not None:
                held.progress.finish(record.offset)
        moved = {lane: held.progress for lane, held in self._lanes.items() if held.progress.advance()}
        if moved:
            await self._commit(moved)

    async def _commit(self, moved: dict[int, Progress]) -> None:
        positions = {lane: progress.position for lane, progress in moved.items()}
        member = self._member
        held = await self._writer.do(lambda transaction: groups.commit(transaction, self.group, member, positions))
        for lane, position in positions.items():
            moved[lane].committed = max(moved[lane].committed, position)
        leaving = (held for held in self._lanes.values() if held.leave_by is not None)
        if not held or any(not held.progress.unfinished for held in leaving):
            async with self._busy:
                await self._settle()

    async def _fetch(self, limit: int) -> list[Consumed]:
        for _ in range(LOOKS):
            if not self._member:
                return []
            found = await self._readers.run(look, self._offsets(), limit, self._buffer_bytes, self.group)
            if found.generation == self._generation:
                return self._hand_out(found)
            await self._settle()
        return []

    def _offsets(self) -> dict[int, int]:
        """Where to read on, another lane first each time."""
        lanes = [lane for lane, held in self._lanes.items() if held.leave_by is None]
        self._turn += 1
        start = self._turn % len(lanes) if lanes else 0
        return {lane: self._lanes[lane].progress.next_offset for lane in lanes[start:] + lanes[:start]}

    def _hand_out(self, found: Found) -> list[Consumed]:
        taken = []
        for row in found.rows:
            lane = row[0] >> OFFSET_BITS
            record = consumed(self._topics[topic_id(lane)].name, row)
            self._lanes[lane].progress.take(record.offset)
            taken.append(record)
        return taken

    async def _join(self) -> None:
        names = list(self._by_name)
        self._member = await self._writer.do(
            lambda transaction: groups.join(transaction, self.group, self._process, self._token, names)
        )

    async def _settle(self) -> None:
        """Bring what we hold in line with what the group agreed on."""
        if not self._member:
            return
        member, busy = self._member, self._unfinished()
        settled = await self._writer.do(lambda transaction: groups.settle(transaction, self.group, member, busy))
        if settled is None:
            # The others took us for dead (this process was stopped, or stuck): what we held is theirs.
            self._lanes = {}
            await self._join()
            await self._settle()
            return
        self._generation = settled.generation
        leave_by = self._clock.monotonic() + HANDOVER_SECONDS
        lanes = {lane: self._lanes.get(lane) or _Held(Progress(position)) for lane, position in settled.held.items()}
        for lane, held in lanes.items():
            held.leave_by = (held.leave_by or leave_by) if lane in settled.unwanted else None
        self._lanes = lanes

    def _unfinished(self) -> frozenset[int]:
        """Lanes that are better not given up now."""
        now = self._clock.monotonic()
        return frozenset(
            lane
            for lane, held in self._lanes.items()
            if held.progress.unfinished and (held.leave_by is None or now < held.leave_by)
        )
