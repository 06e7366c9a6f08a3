"""A bus whose topics and groups carry a prefix: several installations, or tests, on one Kafka.

A decorator over any `Bus`; callers see the plain names.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from merpati.bus.api import Bus, Consumed, Record, Subscription, Tail

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec


class PrefixedBus:
    """`inner`, with `prefix` put before each topic and group."""

    def __init__(self, inner: Bus, prefix: str) -> None:
        self.inner = inner
        self.prefix = prefix

    async def start(self) -> None:
        await self.inner.start()

    async def close(self) -> None:
        await self.inner.close()

    async def check(self) -> str:
        return await self.inner.check()

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        await self.inner.ensure_topics([replace(topic, name=self.prefix + topic.name) for topic in topics])

    async def publish(self, records: Sequence[Record]) -> None:
        await self.inner.publish([replace(record, topic=self.prefix + record.topic) for record in records])

    @contextlib.asynccontextmanager
    async def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AsyncIterator[Subscription]:
        names = [self.prefix + topic for topic in topics]
        async with self.inner.subscribe(self.prefix + group, names, buffer_bytes=buffer_bytes) as inner:
            yield _Subscription(inner, self.prefix)

    @contextlib.asynccontextmanager
    async def tail(self, topics: Sequence[str], *, since: float | None = None) -> AsyncIterator[Tail]:
        async with self.inner.tail([self.prefix + topic for topic in topics], since=since) as inner:
            yield _Tail(inner, self.prefix)

    async def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        async for record in self.inner.scan(self.prefix + topic, since=since, until=until, key=key):
            yield _plain(record, self.prefix)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        lag = await self.inner.lag(self.prefix + group, [self.prefix + topic for topic in topics])
        return {(topic.removeprefix(self.prefix), partition): n for (topic, partition), n in lag.items()}

    async def rewind(self, group: str, topic: str, since: float) -> None:
        await self.inner.rewind(self.prefix + group, self.prefix + topic, since)


class _Tail:
    def __init__(self, inner: Tail, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    async def take(self, limit: int, within: float) -> list[Consumed]:
        return [_plain(record, self._prefix) for record in await self._inner.take(limit, within)]


class _Subscription(_Tail):
    def __init__(self, inner: Subscription, prefix: str) -> None:
        super().__init__(inner, prefix)
        self._subscription = inner

    async def done(self, records: Sequence[Consumed]) -> None:
        await self._subscription.done([replace(record, topic=self._prefix + record.topic) for record in records])

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        return frozenset((topic.removeprefix(self._prefix), n) for topic, n in self._subscription.assigned)


def with_prefix(bus: Bus, prefix: str) -> Bus:
    """`bus` itself if there is no prefix."""
    return PrefixedBus(bus, prefix) if prefix else bus


def _plain(record: Consumed, prefix: str) -> Consumed:
    return replace(record, topic=record.topic.removeprefix(prefix))
