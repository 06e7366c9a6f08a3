"""Batches on their way: several are worked on at once, and each is acknowledged only after those before it.

Used by `stream`, so that faust fetches and the processors work while an earlier batch is being made durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from merpati.telemetry import logger

DEPTH = 4
"""Batches at once."""
DEPTH_BYTES = 64 << 20
"""Bytes of messages after which no further batch is begun."""


class Flight:
    """Batches in the order in which they came."""

    def __init__(
        self, work: Callable[[Sequence[Any]], Awaitable[None]], acknowledge: Callable[[Any], Awaitable[Any]]
    ) -> None:
        """`work` makes durable what a batch causes and raises nothing; `acknowledge` is told of each event after."""
        self._work = work
        self._acknowledge = acknowledge
        self._batches: deque[tuple[Sequence[Any], int, asyncio.Task[None]]] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._acknowledging = asyncio.create_task(self._acknowledge_in_order())

    async def add(self, events: Sequence[Any], size: int) -> None:
        """Begin a batch of `size` bytes, as soon as there is room."""
        while len(self._batches) >= DEPTH or (self._bytes and self._bytes + size > DEPTH_BYTES):
            self._room.clear()
            await self._room.wait()
        self.idle.clear()
        self._bytes += size
        self._batches.append((events, size, asyncio.create_task(self._done(events))))
        self._news.set()

    async def close(self) -> None:
        """End all at once: what is not acknowledged comes again."""
        tasks = [self._acknowledging, *(task for _, _, task in self._batches)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.idle.set()

    async def _done(self, events: Sequence[Any]) -> None:
        await self._work(events)

    async def _acknowledge_in_order(self) -> None:
        try:
            while True:
                while not self._batches:
                    self._news.clear()
                    await self._news.wait()
                events, size, task = self._batches[0]
                await task
                for event in events:
                    await self._acknowledge(event)
                self._batches.popleft()
                self._bytes -= size
                self._room.set()
                if not self._batches:
                    self.idle.set()
        except Exception:
            # Nothing is acknowledged any more; the watchdog sees the position stand still and begins anew
            logger("processors").exception("acknowledging ended")
