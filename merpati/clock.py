"""Time, as a value that is passed in: the one module that reads the clock.

Every component takes a `Clock` through its constructor; tests pass `ManualClock`, whose time stands still until told.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Where a component gets the time from and how it waits."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back.  For measuring, not for writing down."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; zero or less yields to other tasks once."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """Virtual time: `advance` moves it and wakes the sleepers that are due, in order of time, then of call."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._start = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._start

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), due))
        await due

    @property
    def next_due(self) -> float | None:
        """The time of the earliest sleeper, or None if nobody sleeps."""
        self._forget_cancelled()
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Move time on by `seconds`, letting woken tasks run (and sleep again) at each moment on the way."""
        until = self._now + seconds
        await self._settle()
        while (due := self.next_due) is not None and due <= until:
            self._now = max(self._now, due)
            _, _, sleeper = heapq.heappop(self._sleepers)
            sleeper.set_result(None)
            await self._settle()
        self._now = until
        await self._settle()

    def _forget_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
