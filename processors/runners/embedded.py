"""The runner over `Bus.subscribe`: for the embedded engine, and on any engine for the topic of second tries.

Records are worked on side by side, those of one key in their order; whatever is finished is published together, and
only then acknowledged, in any order: one slow message keeps nobody waiting, it only keeps the group's position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from merpati.bus.api import Bus, Consumed, Record, Subscription
from merpati.bus.publishing import Publisher
from merpati.clock import Clock
from merpati.errors import Temporary
from merpati.telemetry import logger

Work = Callable[[Consumed], Awaitable[list[Record]]]
Park = Callable[[Consumed, str], list[Record]]
Wait = Callable[[Consumed], float]
"""Seconds until a record is due."""

IN_FLIGHT = 512
"""Records that are worked on at once."""
IN_FLIGHT_BYTES = 64 << 20
"""Bytes of these."""
TOGETHER = 256
"""Inputs whose outputs are published together."""
TAKE = 0.5
"""Seconds to wait for a record before looking whether to stop."""


class EmbeddedRunner:
    """Takes the records of one topic, for one group."""

    def __init__(
        self,
        bus: Bus,
        group: str,
        topic: str,
        work: Work,
        park: Park,
        clock: Clock,
        *,
        wait: Wait | None = None,
        in_flight: int = IN_FLIGHT,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
    ) -> None:
        self._bus = bus
        self._group = group
        self._topic = topic
        self._work = work
        self._park = park
        self._clock = clock
        self._wait = wait
        self._limit = in_flight
        self._limit_bytes = in_flight_bytes
        self._publisher = Publisher(bus, clock)
        self._log = logger("processors")
        self._stopping = False
        self._grace = 0.0
        self._joined = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._held_bytes = 0
        self._latest: dict[bytes, asyncio.Task[None]] = {}
        self._finished: list[tuple[Consumed, list[Record]]] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What keeps it from working, or empty."""
        return self._publisher.trouble or ("" if self._joined else "not joined to the bus yet")

    async def run(self) -> None:
        """Work until `stop`, then finish what is held."""
        async with self._bus.subscribe(self._group, [self._topic]) as subscription:
            self._joined = True
            publishing = asyncio.create_task(self._publish_all(subscription), name=f"publish/{self._topic}")
            try:
                while not self._stopping:
                    await self._take(subscription)
                await self._drain(self._grace)
            finally:
                self._joined = False
                await _end([*self._tasks, publishing])
                self._forget()

    def stop(self, grace: float) -> None:
        """Take nothing more; `run` returns when what is held is finished, after `grace` seconds at most."""
        self._grace = grace
        self._stopping = True
        self._room.set()

    async def _take(self, subscription: Subscription) -> None:
        free = self._limit - self._held
        if free <= 0 or self._held_bytes >= self._limit_bytes:
            self._room.clear()
            await self._room.wait()
            return
        try:
            records = await subscription.take(min(free, TOGETHER), TAKE)
        except Temporary as failure:
            self._log.warning("cannot take", topic=self._topic, failure=str(failure))
            await self._clock.sleep(1.0)
            return
        for record in records:
            self._begin(record)

    def _begin(self, record: Consumed) -> None:
        task = asyncio.create_task(self._one(record, self._latest.get(record.key)))
        self._tasks.add(task)
        self._held += 1
        self._held_bytes += len(record.value)
        self._latest[record.key] = task

    async def _one(self, record: Consumed, before: asyncio.Task[None] | None) -> None:
        me = asyncio.current_task()
        assert me is not None
        try:
            if before is not None:
                await asyncio.wait([before])
            if self._wait is not None and (seconds := self._wait(record)) > 0:
                await self._clock.sleep(seconds)
            outputs = await self._work(record)
            self._finished.append((record, outputs))
            self._news.set()
        except Exception:
            # `work` lets nothing out; if it does, the record stays unfinished and comes again after a restart
            self._log.exception("a record was given up", topic=self._topic, offset=record.offset)
            self._release([record])
        finally:
            self._tasks.discard(me)
            if self._latest.get(record.key) is me:
                del self._latest[record.key]

    def _release(self, records: list[Consumed]) -> None:
        self._held -= len(records)
        self._held_bytes -= sum(len(record.value) for record in records)
        self._room.set()

    async def _publish_all(self, subscription: Subscription) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._finished:
                batch, self._finished = self._finished[:TOGETHER], self._finished[TOGETHER:]
                await self._publisher.publish([(outputs, self._parker(record)) for record, outputs in batch])
                records = [record for record, _ in batch]
                await self._done(subscription, records)
                self._release(records)

    def _parker(self, record: Consumed) -> Callable[[str], Sequence[Record]]:
        return lambda reason: self._park(record, reason)

    async def _done(self, subscription: Subscription, records: list[Consumed]) -> None:
        while True:
            try:
                await subscription.done(records)
                return
            except Temporary as failure:
                self._log.warning("cannot acknowledge", topic=self._topic, failure=str(failure))
                await self._clock.sleep(1.0)

    async def _drain(self, grace: float) -> None:
        """Wait until everything that is held is published and acknowledged."""
        try:
            async with asyncio.timeout(grace):
                while self._held:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            self._log.warning("not drained", topic=self._topic, left=self._held)

    def _forget(self) -> None:
        self._finished.clear()
        self._latest.clear()
        self._held = self._held_bytes = 0


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
