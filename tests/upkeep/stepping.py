"""Stores that count their requests and stop before, or call somebody after, one of them: for races that are tried at
every step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from merpati.objects.api import ObjectInfo, ObjectStore


class SteppingStore:
    """A store that waits for `step(n)` before its n-th request, the first being 1."""

    def __init__(self, inner: ObjectStore, step: Callable[[int], Awaitable[None]]) -> None:
        self._inner = inner
        self._step = step
        self.steps = 0

    async def _next(self) -> ObjectStore:
        self.steps += 1
        await self._step(self.steps)
        return self._inner

    async def get(self, key: str) -> bytes:
        return await (await self._next()).get(key)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await (await self._next()).get_range(key, start, end)

    async def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        async for piece in (await self._next()).get_stream(key, chunk):
            yield piece

    async def head(self, key: str) -> ObjectInfo:
        return await (await self._next()).head(key)

    async def create(self, key: str, data: bytes) -> None:
        await (await self._next()).create(key, data)

    async def put(self, key: str, data: bytes) -> None:
        await (await self._next()).put(key, data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await (await self._next()).put_stream(key, chunks)

    async def delete(self, keys: Iterable[str]) -> None:
        await (await self._next()).delete(keys)

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        # as over a network: what is given is what was there when it was asked for
        for info in [each async for each in (await self._next()).list(prefix, after=after, limit=limit)]:
            yield info

    async def check(self) -> str:
        return await self._inner.check()

    async def close(self) -> None:
        await self._inner.close()


class Sleeper:
    """A process that falls asleep before its n-th request, and goes on when it is woken."""

    def __init__(self, inner: ObjectStore, before: int) -> None:
        self._before = before
        self._woken = asyncio.Event()
        self.asleep = asyncio.Event()
        self.store = SteppingStore(inner, self._sleep)

    async def _sleep(self, step: int) -> None:
        if step == self._before:
            self.asleep.set()
            await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()

    async def fell_asleep(self, task: asyncio.Future[Any]) -> bool:
        """Wait until it sleeps, or has come to its end without."""
        sleeping = asyncio.ensure_future(self.asleep.wait())
        await asyncio.wait([task, sleeping], return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        return self.asleep.is_set()
