"""What a bus is: publishing, consuming in groups, tailing, reading back.  Implemented by sqlite, kafka and memory.

The promises, held by one contract suite (`tests/bus`) against every engine:

- `publish` returns only when every record is durable (fsynced; on Kafka acknowledged by all in-sync replicas).
- Records of one key keep their order, within a topic.
- Consuming is at least once: a record comes again until `done` was called for it, by this process or the next.
- Records of one partition are held by at most one member of a group, save for the moments of a rebalance.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from merpati.errors import Temporary

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What is published.  `key` decides the partition; records of one key keep their order."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Consumed:
    """What was published, with the place it got.  `timestamp` is seconds since 1970, set when it was published."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes
    value: bytes
    headers: Headers = ()


class Lagged(Temporary):
    """Records that a tail had not read are gone: their time to be kept ran out first."""


class Subscription(Protocol):
    """A member of a consumer group, between `async with bus.subscribe(...)` and its end.

    Leaving the context gives the partitions up at once; what was not `done` comes to the next member.
    """

    async def take(self, limit: int, within: float) -> list[Consumed]:
        """Up to `limit` records not taken before by this member; waits up to `within` seconds for the first.

        In offset order within each partition.  An empty list after `within` seconds without any.  Raises
        `Unavailable` when the bus cannot be reached; the caller may call again.
        """
        ...

    async def done(self, records: Sequence[Consumed]) -> None:
        """These are finished, their outputs durable; in any order.

        A partition's position moves over the unbroken run of finished records at its front, and is durable when this
        returns.  Records of a partition that was lost to another member are passed over silently.
        """
        ...

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        """The (topic, partition) pairs held at this moment."""
        ...


class Tail(Protocol):
    """Every record of some topics as it comes, for every process that tails: no group, nothing to finish."""

    async def take(self, limit: int, within: float) -> list[Consumed]:
        """As `Subscription.take`.  A reader so far behind that records are gone unread raises `Lagged` once and goes on

        from the end."""
        ...


class Bus(Protocol):
    """One event log."""

    async def start(self) -> None:
        """Connect, or raise `Unavailable`."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""
        ...

    async def check(self) -> str:
        """Reach it and say in a few words what it is (`SQLite in ./data`, `Kafka, 3 brokers`); raises `Unavailable`."""
        ...

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create those that are missing and bring the settings of the others into line.  Idempotent."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Durably write all records, or raise: `Unavailable` (some may be written all the same: send again, same ids)

        or `Permanent` (a record larger than its topic allows, a topic that is not there)."""
        ...

    def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AbstractAsyncContextManager[Subscription]:
        """Join `group`.  A group that is new begins at the oldest record.  At most `buffer_bytes` wait in memory."""
        ...

    def tail(self, topics: Sequence[str], *, since: float | None = None) -> AbstractAsyncContextManager[Tail]:
        """Follow topics from now on, or from the first record at or after the time `since`.

        When the context has been entered, every record published from then on is seen.
        """
        ...

    def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        """The records of `since <= timestamp < until`, at most to where the log ended when the scan began.

        Partition by partition, in offset order.  With `key`, only that key's records, and only its partition is read.
        Times count to the millisecond.
        """
        ...

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """How many records each partition holds that the group has not finished."""
        ...

    async def rewind(self, group: str, topic: str, since: float) -> None:
        """Set the position of a group without members to the first record at or after the time `since`.

        Raises `Temporary` while the group has members.
        """
        ...
