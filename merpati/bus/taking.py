"""Waiting for records: a bell that is rung when there may be some, and the loop around it that `take` is.

Called by the subscriptions and tails of every engine.  Knows nothing of logs; time comes from the caller's clock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from merpati.bus.api import Consumed
from merpati.clock import Clock


class Bell:
    """Rung from the event loop's thread whenever something may have changed.

    `rings` counts: whoever looked, found nothing and then waits is not made to miss a ring in between.
    """

    __slots__ = ("_waiting", "rings")

    def __init__(self) -> None:
        self.rings = 0
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake everyone who waits."""
        self.rings += 1
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, heard: int, clock: Clock, within: float) -> None:
        """Return once the bell was rung more than `heard` times, or after `within` seconds."""
        if self.rings != heard:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = asyncio.ensure_future(clock.sleep(within))
        try:
            await asyncio.wait({waiter, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            if not waiter.done():
                waiter.cancel()
                self._waiting = [other for other in self._waiting if other is not waiter]


async def take_within(
    fetch: Callable[[], Awaitable[list[Consumed]]],
    bell: Bell,
    clock: Clock,
    within: float,
    most_wait: float = math.inf,
) -> list[Consumed]:
    """What `fetch` finds, asked again at each ring until it finds something or `within` seconds are over.

    It is asked again without a ring, too, after `most_wait` seconds.
    """
    until = clock.monotonic() + within
    while True:
        heard = bell.rings
        records = await fetch()
        left = until - clock.monotonic()
        if records or left <= 0:
            return records
        await bell.wait(heard, clock, min(left, most_wait))
