"""A decorator that counts what is published and how long it takes, and a service that tells how far groups are behind.

`MeteredBus` stands outside the engine and changes no answer; `LagWatch` asks now and then, never for each record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from merpati.bus.api import Bus, Consumed, Record, Subscription, Tail
from merpati.clock import Clock
from merpati.errors import MerpatiError
from merpati.service import Tasks
from merpati.telemetry import Metrics

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

EVERY = 10.0
"""Seconds between two looks at the lag."""


class MeteredBus:
    """`inner`, counted."""

    def __init__(self, inner: Bus, clock: Clock, metrics: Metrics) -> None:
        self.inner = inner
        self._clock = clock
        self._metrics = metrics

    async def start(self) -> None:
        await self.inner.start()

    async def close(self) -> None:
        await self.inner.close()

    async def check(self) -> str:
        return await self.inner.check()

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        await self.inner.ensure_topics(topics)

    async def publish(self, records: Sequence[Record]) -> None:
        began, outcome = self._clock.monotonic(), "failed"
        try:
            await self.inner.publish(records)
            outcome = "ok"
        finally:
            self._metrics.publish_seconds.labels(outcome).observe(self._clock.monotonic() - began)
        for topic, count in Counter(record.topic for record in records).items():
            self._metrics.published.labels(topic).inc(count)

    def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AbstractAsyncContextManager[Subscription]:
        return self.inner.subscribe(group, topics, buffer_bytes=buffer_bytes)

    def tail(self, topics: Sequence[str], *, since: float | None = None) -> AbstractAsyncContextManager[Tail]:
        return self.inner.tail(topics, since=since)

    def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        return self.inner.scan(topic, since=since, until=until, key=key)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        return await self.inner.lag(group, topics)

    async def rewind(self, group: str, topic: str, since: float) -> None:
        await self.inner.rewind(group, topic, since)


class LagWatch:
    """A service that sets `merpati_bus_lag_records` for some groups: group → topics."""

    name = "lag"

    def __init__(self, bus: Bus, groups: Mapping[str, Sequence[str]], clock: Clock, metrics: Metrics) -> None:
        self._bus = bus
        self._groups = groups
        self._clock = clock
        self._metrics = metrics
        self._tasks = Tasks("lag", clock, metrics)

    async def start(self) -> None:
        self._tasks.loop("lag", self._watch)

    async def stop(self, grace: float) -> None:
        await self._tasks.cancel()

    def ready(self) -> str:
        return ""

    async def _watch(self) -> None:
        while True:
            for group, topics in self._groups.items():
                await self._look(group, topics)
            await self._clock.sleep(EVERY)

    async def _look(self, group: str, topics: Sequence[str]) -> None:
        try:
            lag = await self._bus.lag(group, topics)
        except MerpatiError:
            return  # the bus is away: what it was is what is shown
        for topic in topics:
            behind = sum(count for (name, _), count in lag.items() if name == topic)
            self._metrics.lag.labels(group, topic).set(behind)
