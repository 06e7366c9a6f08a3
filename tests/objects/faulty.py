"""A store that fails as real ones do, by the throws of a seeded dice: for the tests of everything that stands on it.

Each fault is one that was seen on a real store: refused, an answer lost after the write was applied or before, a write
applied when nobody waits for it any more, a 409 that claims a free key is taken, a client library that sends again by
itself and is told that its own write is in its way, latency, a listing that lags behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from merpati.clock import Clock
from merpati.errors import Unavailable, Unknown
from merpati.ids import Dice
from merpati.objects.api import Exists, ObjectInfo, ObjectStore
from merpati.objects.wrapped import WrappedStore


@dataclass(frozen=True, slots=True)
class Faults:
    """How often (0 to 1) each fault happens, and how long (seconds) things take."""

    refuse: float = 0.0
    """A request is answered 503 and nothing is done."""
    lose: float = 0.0
    """A write is applied, and its answer is lost."""
    drop: float = 0.0
    """A write is not applied, and there is no answer either."""
    late: float = 0.0
    """A write has no answer now and is applied after `latest` seconds, when nobody waits for it any more."""
    conflict: float = 0.0
    """A create is answered 409 (reported as Exists) and nothing is done."""
    echo: float = 0.0
    """A create is applied and answered 412: its answer was lost, and something below us sent it again."""
    delay: float = 0.0
    """Seconds: each request takes from nothing up to this."""
    latest: float = 5.0
    list_lag: float = 0.0
    """Seconds for which a new object may be missing from listings."""


Belated = list[tuple[float, Callable[[], Awaitable[None]]]]
"""Writes that are still under way, and when they arrive: also after whoever sent them has died."""


class FaultyStore(WrappedStore):
    """A store with faults; set `faults` to change them while it runs."""

    def __init__(
        self, inner: ObjectStore, clock: Clock, dice: Dice, faults: Faults, belated: Belated | None = None
    ) -> None:
        """Those that share a `belated` see each other's late writes arrive."""
        super().__init__(inner)
        self.faults = faults
        self.lost = 0
        """Answers lost after the write was applied."""
        self._clock = clock
        self._dice = dice
        self._belated: Belated = belated if belated is not None else []

    async def get(self, key: str) -> bytes:
        await self._before(key)
        return await self._inner.get(key)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        await self._before(key)
        return await self._inner.get_range(key, start, end)

    async def head(self, key: str) -> ObjectInfo:
        await self._before(key)
        return await self._inner.head(key)

    async def create(self, key: str, data: bytes) -> None:
        await self._before(key)
        if self._happens(self.faults.conflict):
            raise Exists("409", key=key)
        self._perhaps_astray(key, lambda: self._inner.create(key, data))
        await self._inner.create(key, data)
        if self._happens(self.faults.echo):
            raise Exists("412", key=key)
        self._after(key)

    async def put(self, key: str, data: bytes) -> None:
        await self._before(key)
        self._perhaps_astray(key, lambda: self._inner.put(key, data))
        await self._inner.put(key, data)
        self._after(key)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await self._before(key)
        await self._inner.put_stream(key, chunks)
        self._after(key)

    async def delete(self, keys: Iterable[str]) -> None:
        names = tuple(keys)
        await self._before("")
        self._perhaps_astray("", lambda: self._inner.delete(names))
        await self._inner.delete(names)
        self._after("")

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        await self._before(prefix)
        given = 0
        async for info in self._inner.list(prefix, after=after):
            if given == limit:
                return
            if info.modified <= self._clock.time() - self._dice.uniform(0.0, self.faults.list_lag):
                given += 1
                yield info

    async def _before(self, key: str) -> None:
        if self.faults.delay:
            await self._clock.sleep(self._dice.uniform(0.0, self.faults.delay))
        await self._apply_belated()
        if self._happens(self.faults.refuse):
            raise Unavailable("503", key=key)

    def _after(self, key: str) -> None:
        if self._happens(self.faults.lose):
            self.lost += 1
            raise Unknown("answer lost", key=key)

    def _perhaps_astray(self, key: str, write: Callable[[], Awaitable[None]]) -> None:
        if self._happens(self.faults.late):
            self._belated.append((self._clock.monotonic() + self.faults.latest, write))
            raise Unknown("no answer yet", key=key)
        if self._happens(self.faults.drop):
            raise Unknown("no answer", key=key)

    async def _apply_belated(self) -> None:
        now = self._clock.monotonic()
        due = [write for arrives, write in self._belated if arrives <= now]
        self._belated[:] = [each for each in self._belated if each[0] > now]
        for write in due:
            try:
                await write()
            except Exists:
                pass

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._dice.uniform(0.0, 1.0) < chance
