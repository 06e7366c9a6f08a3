"""The retry tiers: a message waits on `mail.retry.<tier>` until it is due and then goes back to `mail.outbound`.

One task a tier, run by the remote service.  Within a partition messages become due in the order they stand, so the one
at the front is waited for.  Going back keeps a domain on its one worker, so limits per domain hold for retries too.
"""

from __future__ import annotations

import heapq
import itertools

from delivery.remote.schedule import due
from merpati.bus.api import Bus, Consumed, Subscription
from merpati.clock import Clock
from merpati.dead import dead_letter
from merpati.events import Outbound, Unreadable, decode, encode, retry_topic
from merpati.ids import Dice

MAX_WAITING = 500
"""Records of a tier held in memory; the rest waits on the log."""
GLANCE = 5.0
"""Seconds after which a waiting tier looks whether the clock was set."""


class Tier:
    """One tier.  `run` ends only by being cancelled."""

    def __init__(self, bus: Bus, name: str, clock: Clock, dice: Dice, group: str = "delivery-retry") -> None:
        self._bus = bus
        self._name = name
        self._clock = clock
        self._dice = dice
        self._group = f"{group}-{name}"
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Consumed, Outbound]] = []

    async def run(self) -> None:
        """Move what is due, for ever."""
        self._waiting.clear()
        async with self._bus.subscribe(self._group, [retry_topic(self._name)]) as subscription:
            while True:
                await self._take(subscription)
                await self._move(subscription)

    async def _take(self, subscription: Subscription) -> None:
        room = MAX_WAITING - len(self._waiting)
        wait = GLANCE
        if self._waiting:
            wait = min(GLANCE, max(0.0, self._waiting[0][0] - self._clock.time()))
        if room <= 0:
            await self._clock.sleep(wait)
            return
        for record in await subscription.take(room, wait):
            try:
                event = decode(record)
                if not isinstance(event, Outbound):
                    raise Unreadable(f"a {type(event).__name__} on a retry topic")
            except Unreadable as failure:
                await self._bus.publish(dead_letter(record, failure.public, "delivery/retry", self._clock))
                await subscription.done([record])
                continue
            heapq.heappush(self._waiting, (event.not_before, next(self._order), record, event))

    async def _move(self, subscription: Subscription) -> None:
        now = self._clock.time()
        moved: list[Consumed] = []
        outputs = []
        while self._waiting and self._waiting[0][0] <= now:
            _, _, record, event = heapq.heappop(self._waiting)
            outputs.append(encode(due(event, now), record.value))
            moved.append(record)
        if moved:
            await self._bus.publish(outputs)  # durable before the input is acknowledged
            await subscription.done(moved)
