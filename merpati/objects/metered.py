"""A decorator that says how long each request took and how it ended: for metrics, and for tests that count requests.

It stands inside the retries, so that it sees every request; it never changes an answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from merpati.clock import Clock
from merpati.errors import MerpatiError
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.wrapped import WrappedStore

T = TypeVar("T")

Observe = Callable[[str, str, float], None]
"""Takes operation (`get`, `create` …), outcome (`ok`, or the name of the error in lower case), seconds."""


class MeteredStore(WrappedStore):
    """A store that reports each request to `observe`."""

    def __init__(self, inner: ObjectStore, clock: Clock, observe: Observe) -> None:
        super().__init__(inner)
        self._clock = clock
        self._observe = observe

    async def get(self, key: str) -> bytes:
        return await self._timed("get", self._inner.get(key))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._timed("get_range", self._inner.get_range(key, start, end))

    async def head(self, key: str) -> ObjectInfo:
        return await self._timed("head", self._inner.head(key))

    async def create(self, key: str, data: bytes) -> None:
        await self._timed("create", self._inner.create(key, data))

    async def put(self, key: str, data: bytes) -> None:
        await self._timed("put", self._inner.put(key, data))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await self._timed("put_stream", self._inner.put_stream(key, chunks))

    async def delete(self, keys: Iterable[str]) -> None:
        await self._timed("delete", self._inner.delete(keys))

    async def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        pieces = self._inner.get_stream(key, chunk)
        # the time of the first piece: the rest depends on how fast the reader takes it
        if first := await self._timed("get_stream", anext(aiter(pieces), b"")):
            yield first
            async for piece in pieces:
                yield piece

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        found = self._inner.list(prefix, after=after, limit=limit)
        first = await self._timed("list", anext(aiter(found), None))
        if first is not None:
            yield first
            async for info in found:
                yield info

    async def _timed(self, operation: str, request: Awaitable[T]) -> T:
        began = self._clock.monotonic()
        outcome = "cancelled"
        try:
            answer = await request
            outcome = "ok"
            return answer
        except MerpatiError as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            self._observe(operation, outcome, self._clock.monotonic() - began)
