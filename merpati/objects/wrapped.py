"""What every decorator of a store begins with: each method passed on.  A decorator overrides those it has a say in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from merpati.objects.api import ObjectInfo, ObjectStore


class WrappedStore:
    """A store that is another one."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    async def get(self, key: str) -> bytes:
        return await self._inner.get(key)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._inner.get_range(key, start, end)

    def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        return self._inner.get_stream(key, chunk)

    async def head(self, key: str) -> ObjectInfo:
        return await self._inner.head(key)

    async def create(self, key: str, data: bytes) -> None:
        await self._inner.create(key, data)

    async def put(self, key: str, data: bytes) -> None:
        await self._inner.put(key, data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await self._inner.put_stream(key, chunks)

    async def delete(self, keys: Iterable[str]) -> None:
        await self._inner.delete(keys)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        return self._inner.list(prefix, after=after, limit=limit)

    async def check(self) -> str:
        return await self._inner.check()

    async def close(self) -> None:
        await self._inner.close()
