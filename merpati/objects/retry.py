"""A decorator that tries again, a few times and ever later, what may be tried again without looking.

What has no effect (reads), or the same effect twice (put, delete), is tried again after `Unavailable` and `Unknown`.
`create` is tried again after `Unavailable` only, for then nothing was done; `Unknown` and `Exists` go to the caller,
who reads the key to learn whose object it is (merpati/log/PROTOCOL.md rule C4).  A stream that has begun is not begun
again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from merpati.clock import Clock
from merpati.errors import Temporary, Unavailable, Unknown
from merpati.ids import Dice
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.wrapped import WrappedStore

T = TypeVar("T")

TRIES = 4
FIRST_WAIT = 0.05
"""Seconds; doubles with each try, and each wait is thrown between nothing and that."""
LONGEST_WAIT = 1.0
TWICE = (Unavailable, Unknown)


class RetryingStore(WrappedStore):
    """A store whose short absences are not noticed."""

    def __init__(self, inner: ObjectStore, clock: Clock, dice: Dice, tries: int = TRIES) -> None:
        super().__init__(inner)
        self._clock = clock
        self._dice = dice
        self._tries = tries

    async def get(self, key: str) -> bytes:
        return await self._again(lambda: self._inner.get(key))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._again(lambda: self._inner.get_range(key, start, end))

    async def head(self, key: str) -> ObjectInfo:
        return await self._again(lambda: self._inner.head(key))

    async def create(self, key: str, data: bytes) -> None:
        await self._again(lambda: self._inner.create(key, data), (Unavailable,))

    async def put(self, key: str, data: bytes) -> None:
        await self._again(lambda: self._inner.put(key, data))

    async def delete(self, keys: Iterable[str]) -> None:
        names = tuple(keys)
        await self._again(lambda: self._inner.delete(names))

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        tries, given = 0, 0
        while True:
            try:
                rest = None if limit is None else limit - given
                async for info in self._inner.list(prefix, after=after, limit=rest):
                    after, given, tries = info.key, given + 1, 0
                    yield info
                return
            except Unavailable as error:
                tries += 1
                await self._wait_or_raise(error, tries)

    async def _again(self, action: Callable[[], Awaitable[T]], on: tuple[type[Temporary], ...] = TWICE) -> T:
        tries = 0
        while True:
            try:
                return await action()
            except on as error:
                tries += 1
                await self._wait_or_raise(error, tries)

    async def _wait_or_raise(self, error: Temporary, tries: int) -> None:
        if tries >= self._tries or error.facts.get("lasting"):
            raise error
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1))
        await self._clock.sleep(self._dice.uniform(0.0, longest))
