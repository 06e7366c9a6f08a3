"""Stores that stand still at one request: for trying what happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from merpati.objects.api import ObjectStore
from merpati.objects.wrapped import WrappedStore

Work = Callable[[], Coroutine[Any, Any, None]]


class Paused(WrappedStore):
    """Does something else before or after the first request of one kind for a key with some part."""

    def __init__(self, inner: ObjectStore, operation: str, part: str, meanwhile: Work, *, after: bool = False) -> None:
        super().__init__(inner)
        self._wanted = (operation, part)
        self._meanwhile: Work | None = meanwhile
        self._after = after

    async def create(self, key: str, data: bytes) -> None:
        await self._request("create", key, lambda: super(Paused, self).create(key, data))

    async def delete(self, keys: Iterable[str]) -> None:
        names = list(keys)
        await self._request("delete", "".join(names[:1]), lambda: super(Paused, self).delete(names))

    async def _request(self, operation: str, key: str, request: Callable[[], Awaitable[None]]) -> None:
        now = self._wanted[0] == operation and self._wanted[1] in key
        meanwhile = self._meanwhile if now else None
        if meanwhile is not None:
            self._meanwhile = None
            if not self._after:
                await meanwhile()
        await request()
        if meanwhile is not None and self._after:
            await meanwhile()


class Held(WrappedStore):
    """Holds the first write to a key with some part until it may go."""

    def __init__(self, inner: ObjectStore, part: str) -> None:
        super().__init__(inner)
        self._part = part
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def create(self, key: str, data: bytes) -> None:
        await self._hold(key)
        await super().create(key, data)

    async def put(self, key: str, data: bytes) -> None:
        await self._hold(key)
        await super().put(key, data)

    async def _hold(self, key: str) -> None:
        if self._part in key and not self.reached.is_set():
            self.reached.set()
            await self.go.wait()
