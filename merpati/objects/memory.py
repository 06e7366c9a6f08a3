"""An object store in this process's memory: for tests and for `--once` runs.  Nothing outlives the process.

It keeps every promise of `api` but durability, and passes the same contract suite as the others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Iterable

from merpati.clock import Clock
from merpati.objects.api import Exists, NotFound, ObjectInfo
from merpati.objects.keys import checked, checked_prefix


class MemoryStore:
    """A dictionary of keys, with the keys in order beside it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._order: list[str] = []

    async def get(self, key: str) -> bytes:
        return self._found(key)[0]

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return self._found(key)[0][start:end]

    async def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        data = self._found(key)[0]
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]

    async def head(self, key: str) -> ObjectInfo:
        data, modified = self._found(key)
        return ObjectInfo(key, len(data), modified)

    async def create(self, key: str, data: bytes) -> None:
        if checked(key) in self._objects:
            raise Exists("object exists", key=key)
        self._write(key, data)

    async def put(self, key: str, data: bytes) -> None:
        self._write(checked(key), data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        checked(key)
        self._write(key, b"".join([chunk async for chunk in chunks]))

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self._objects.pop(checked(key), None) is not None:
                del self._order[bisect_left(self._order, key)]

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        checked_prefix(prefix)
        at, given = max(prefix, after), 0
        start = bisect_right(self._order, at) if at == after else bisect_left(self._order, at)
        for key in self._order[start:]:
            if not key.startswith(prefix) or given == limit:
                return
            if key in self._objects:  # not deleted since the listing began
                data, modified = self._objects[key]
                given += 1
                yield ObjectInfo(key, len(data), modified)

    async def check(self) -> str:
        return "objects in memory"

    async def close(self) -> None:
        """Nothing to let go of: what was written stays readable, as it would in a real store."""

    def _found(self, key: str) -> tuple[bytes, float]:
        try:
            return self._objects[checked(key)]
        except KeyError:
            raise NotFound("no such object", key=key) from None

    def _write(self, key: str, data: bytes) -> None:
        if key not in self._objects:
            insort(self._order, key)
        self._objects[key] = (bytes(data), self._clock.time())
