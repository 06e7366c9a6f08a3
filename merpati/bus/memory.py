"""A bus in memory, for tests and simulations: same promises, no disk, no threads, no two runs that differ.

`kill` drops a member as a crash would.  The dice decide which partition is read first, so that nobody comes to rely on
an order between partitions; equal seeds give equal runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from merpati.bus.api import Consumed, Lagged, Record
from merpati.bus.progress import Progress
from merpati.bus.records import admit, no_such_topic, partition_of
from merpati.bus.sharing import shares
from merpati.bus.taking import Bell, take_within
from merpati.clock import Clock
from merpati.errors import Temporary, Unavailable
from merpati.ids import Dice

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

Lane = tuple[str, int]
"""A topic and one of its partitions."""
HANDOVER_SECONDS = 5.0
"""How long a partition that is another's stays where it is for what was taken from it to be finished."""


@dataclass(slots=True)
class _Log:
    """The records of one partition.  `floor` is the offset of the first that is still kept."""

    floor: int = 0
    records: list[Consumed] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.floor + len(self.records)

    def append(self, lane: Lane, record: Record, now: float) -> None:
        self.records.append(Consumed(*lane, self.end, now, record.key, record.value, record.headers))

    def since(self, moment: float) -> int:
        """The offset of the first record at or after `moment`."""
        found = next((record.offset for record in self.records if record.timestamp >= moment), None)
        return self.end if found is None else found

    def expire(self, before: float) -> None:
        kept = self.since(before)
        del self.records[: kept - self.floor]
        self.floor = kept

    def read(self, offset: int, end: int | None = None) -> Iterator[Consumed]:
        start = max(0, offset - self.floor)
        stop = len(self.records) if end is None else max(0, end - self.floor)
        for place in range(start, stop):
            yield self.records[place]


class _Group:
    """The positions of a group and its members in the order in which they joined."""

    def __init__(self) -> None:
        self.positions: dict[Lane, int] = {}
        self.owners: dict[Lane, MemorySubscription] = {}
        self.members: list[MemorySubscription] = []
        self.leaving: dict[Lane, float] = {}
        """Partitions that are another's, with work on them under way, and when they go all the same."""

    def share_out(self, specs: dict[str, TopicSpec], now: float) -> bool:
        """Give each partition to the member that is to hold it now; whether any changed hands."""
        owners: dict[Lane, MemorySubscription] = {}
        for turn, topic in enumerate(sorted({topic for member in self.members for topic in member.topics})):
            members = [member for member in self.members if topic in member.topics]
            held = {n: owner for (name, n), owner in self.owners.items() if name == topic and owner in members}
            shared = shares(members, specs[topic].partitions, held, turn)
            owners |= {(topic, n): member for n, member in shared.items()}
        leaving = {}
        for lane, owner in self.owners.items():
            if owner in self.members and owners.get(lane) is not owner and owner.busy(lane):
                leave_by = self.leaving.get(lane, now + HANDOVER_SECONDS)
                if now < leave_by:
                    leaving[lane] = leave_by
                    owners[lane] = owner
        changed = owners != self.owners
        self.owners, self.leaving = owners, leaving
        for member in self.members:
            member.hold({lane for lane, owner in owners.items() if owner is member}, self.positions)
        return changed


class MemoryBus:
    """See `merpati.bus.api.Bus`.  What was published outlives `close`: the same object can be started again."""

    def __init__(self, clock: Clock, dice: Dice) -> None:
        self.clock = clock
        self.dice = dice
        self.specs: dict[str, TopicSpec] = {}
        self.bell = Bell()
        self._logs: dict[Lane, _Log] = {}
        self._groups: dict[str, _Group] = {}
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def check(self) -> str:
        self._reach()
        return "memory"

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        self._reach()
        for spec in topics:
            # the number of partitions is never changed: it decides which records keep their order
            partitions = self.specs.get(spec.name, spec).partitions
            self.specs[spec.name] = replace(spec, partitions=partitions)
            for partition in range(partitions):
                self._logs.setdefault((spec.name, partition), _Log())

    async def publish(self, records: Sequence[Record]) -> None:
        self._reach()
        for record in records:
            admit(record, self._spec(record.topic).max_record)
        now = self.clock.time()
        for record in records:
            lane = (record.topic, partition_of(record.key, self.specs[record.topic].partitions))
            self._logs[lane].append(lane, record, now)
        self.bell.ring()

    @contextlib.asynccontextmanager
    async def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AsyncIterator[MemorySubscription]:
        self._reach()
        for topic in topics:
            self._spec(topic)
        member = MemorySubscription(self, group, frozenset(topics), buffer_bytes)
        self._groups.setdefault(group, _Group()).members.append(member)
        self._share_out(group)
        try:
            yield member
        finally:
            self.kill(member)

    def kill(self, member: MemorySubscription) -> None:
        """Take a member out of its group as its death would: what it had not finished comes to another."""
        group = self._groups[member.group]
        if member in group.members:
            group.members.remove(member)
            member.hold(set(), {})
            self._share_out(member.group)

    @contextlib.asynccontextmanager
    async def tail(self, topics: Sequence[str], *, since: float | None = None) -> AsyncIterator[MemoryTail]:
        self._reach()
        lanes = [lane for topic in topics for lane in self.lanes(topic)]
        yield MemoryTail(self, {lane: self._start(self._logs[lane], since) for lane in lanes})

    async def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        self._reach()
        lanes = self.lanes(topic) if key is None else [(topic, partition_of(key, self._spec(topic).partitions))]
        ends = {lane: self.log(lane).end for lane in lanes}
        for lane, end in ends.items():
            for record in self.log(lane).read(0, end):
                in_time = since <= record.timestamp and (until is None or record.timestamp < until)
                if in_time and (key is None or record.key == key):
                    yield record

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        self._reach()
        positions = self._groups[group].positions if group in self._groups else {}
        logs = {lane: self.log(lane) for topic in topics for lane in self.lanes(topic)}
        return {lane: log.end - max(positions.get(lane, 0), log.floor) for lane, log in logs.items()}

    async def rewind(self, group: str, topic: str, since: float) -> None:
        self._reach()
        state = self._groups.setdefault(group, _Group())
        if state.members:
            raise Temporary("the group has members", group=group)
        state.positions |= {lane: self.log(lane).since(since) for lane in self.lanes(topic)}

    def log(self, lane: Lane) -> _Log:
        """The log of one partition, without what is past its time."""
        log = self._logs[lane]
        log.expire(self.clock.time() - self.specs[lane[0]].keeps)
        return log

    def lanes(self, topic: str) -> list[Lane]:
        """The partitions of a topic; raises `Permanent` if there is no such topic."""
        return [(topic, partition) for partition in range(self._spec(topic).partitions)]

    def commit(self, group: str, lane: Lane, position: int) -> None:
        """Note how far a group has come."""
        self._groups[group].positions[lane] = position

    def settle(self, group: str) -> frozenset[Lane]:
        """Hand over what can be; the partitions that are still to go."""
        if self._groups[group].leaving:
            self._share_out(group)
        return frozenset(self._groups[group].leaving)

    def _start(self, log: _Log, since: float | None) -> int:
        return log.end if since is None else log.since(since)

    def _share_out(self, group: str) -> None:
        if self._groups[group].share_out(self.specs, self.clock.monotonic()):
            self.bell.ring()

    def _spec(self, topic: str) -> TopicSpec:
        if topic not in self.specs:
            raise no_such_topic(topic)
        return self.specs[topic]

    def _reach(self) -> None:
        if not self._open:
            raise Unavailable("the bus is closed")


class MemoryTail:
    """See `merpati.bus.api.Tail`."""

    def __init__(self, bus: MemoryBus, positions: dict[Lane, int]) -> None:
        self._bus = bus
        self._positions = positions

    async def take(self, limit: int, within: float) -> list[Consumed]:
        async def fetch() -> list[Consumed]:
            return self._fetch(limit)

        return await take_within(fetch, self._bus.bell, self._bus.clock, within)

    def _fetch(self, limit: int) -> list[Consumed]:
        logs = {lane: self._bus.log(lane) for lane in self._positions}
        if behind := [lane for lane, offset in self._positions.items() if offset < logs[lane].floor]:
            self._positions |= {lane: logs[lane].end for lane in behind}
            raise Lagged("records are gone unread", partitions=behind)
        found = list(_pick(logs, dict(self._positions), limit, self._bus.dice))
        for record in found:
            self._positions[record.topic, record.partition] = record.offset + 1
        return found


class MemorySubscription:
    """See `merpati.bus.api.Subscription`."""

    def __init__(self, bus: MemoryBus, group: str, topics: frozenset[str], buffer_bytes: int) -> None:
        self.group = group
        self.topics = topics
        self._bus = bus
        self._buffer_bytes = buffer_bytes
        self._progress: dict[Lane, Progress] = {}

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        return frozenset(self._progress)

    def busy(self, lane: Lane) -> bool:
        """Whether something taken from it is not finished."""
        return lane in self._progress and self._progress[lane].unfinished > 0

    def hold(self, lanes: set[Lane], positions: dict[Lane, int]) -> None:
        """From now on hold `lanes`; new ones begin at the group's position."""
        self._progress = {lane: self._progress.get(lane) or Progress(positions.get(lane, 0)) for lane in sorted(lanes)}

    async def take(self, limit: int, within: float) -> list[Consumed]:
        async def fetch() -> list[Consumed]:
            return self._fetch(limit)

        # the time to give up or to get a partition comes without a ring
        return await take_within(fetch, self._bus.bell, self._bus.clock, within, HANDOVER_SECONDS / 5)

    def _fetch(self, limit: int) -> list[Consumed]:
        leaving = self._bus.settle(self.group)
        offsets = {lane: made.next_offset for lane, made in self._progress.items() if lane not in leaving}
        logs = {lane: self._bus.log(lane) for lane in offsets}
        found: list[Consumed] = []
        room = self._buffer_bytes
        for record in _pick(logs, offsets, limit, self._bus.dice):
            room -= len(record.value)
            if found and room < 0:
                break
            self._progress[record.topic, record.partition].take(record.offset)
            found.append(record)
        return found

    async def done(self, records: Sequence[Consumed]) -> None:
        for record in records:
            progress = self._progress.get((record.topic, record.partition))
            if progress is not None:
                progress.finish(record.offset)
        for lane, progress in self._progress.items():
            if progress.advance():
                self._bus.commit(self.group, lane, progress.position)
                progress.committed = progress.position
        self._bus.settle(self.group)


def _pick(logs: dict[Lane, _Log], offsets: dict[Lane, int], limit: int, dice: Dice) -> Iterator[Consumed]:
    """Up to `limit` records from `offsets` on, partition after partition in an order that the dice decide."""
    for lane in sorted(logs, key=lambda _: dice.uniform(0.0, 1.0)):
        for record in logs[lane].read(offsets[lane]):
            if limit <= 0:
                return
            limit -= 1
            yield record
