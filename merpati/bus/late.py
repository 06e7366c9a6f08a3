"""A decorator that starts the bus when it is first needed: what an operator's tools do to the store needs none.

Commits are made known on the bus if it can be reached; that it cannot is no reason to leave a mailbox unread,
unverified or uncleaned.  Built by `merpati.components`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from merpati.bus.api import Bus, Consumed, Record, Subscription, Tail
from merpati.errors import MerpatiError

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec


class LateBus:
    """`inner`, which is started once, by `start` or by the first `publish`; all else needs it to be started."""

    def __init__(self, inner: Bus, topics: Sequence[TopicSpec]) -> None:
        """`topics` are made before something is published."""
        self._inner = inner
        self._topics = topics
        self._starting: asyncio.Task[None] | None = None
        self._made = False

    async def start(self) -> None:
        """Whoever asks again is told the same: this is for processes that soon end."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        try:
            await self._inner.start()
        except MerpatiError:
            with suppress(MerpatiError):
                await self._inner.close()
            raise

    async def close(self) -> None:
        if self._starting is None:
            return
        try:
            await self._starting
        except MerpatiError:
            return
        await self._inner.close()

    async def check(self) -> str:
        return await self._inner.check()

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        await self._inner.ensure_topics(topics)
        self._made = True

    async def publish(self, records: Sequence[Record]) -> None:
        await self.start()
        if not self._made:
            await self.ensure_topics(self._topics)
        await self._inner.publish(records)

    def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AbstractAsyncContextManager[Subscription]:
        return self._inner.subscribe(group, topics, buffer_bytes=buffer_bytes)

    def tail(self, topics: Sequence[str], *, since: float | None = None) -> AbstractAsyncContextManager[Tail]:
        return self._inner.tail(topics, since=since)

    def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        return self._inner.scan(topic, since=since, until=until, key=key)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        return await self._inner.lag(group, topics)

    async def rewind(self, group: str, topic: str, since: float) -> None:
        await self._inner.rewind(group, topic, since)
