"""Many sessions' messages in few publishes: a group commit in front of the bus.

Called by the intake.  When the bus is idle a message goes out at once; while it is busy, whatever arrives waits and
goes out together.  A publish that fails or hangs fails everyone in it; nobody waits for longer than `timeout`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from merpati.bus.api import Bus, Record
from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent, Unknown
from merpati.telemetry import logger

MAX_BATCH = 4 << 20
"""Bytes of one publish, unless a single message is larger."""
CLOSE_TICK = 0.02
FLIGHTS = 2
"""Publishes under way at once: while one is made durable, the next is on its way."""

_log = logger("ingest/commits")


@dataclass(slots=True, eq=False)
class _Waiting:
    records: Sequence[Record]
    size: int
    done: asyncio.Future[None]

    def end(self, failure: BaseException | None = None) -> None:
        if self.done.done():
            return
        if failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(failure)


@dataclass(slots=True, eq=False)
class _Flight:
    since: float
    batch: list[_Waiting] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class GroupCommit:
    """The queue in front of a bus.  `expire` is to be called every now and then."""

    def __init__(self, bus: Bus, clock: Clock, timeout: float) -> None:
        self._bus = bus
        self._clock = clock
        self._timeout = timeout
        self._queue: deque[_Waiting] = deque()
        self._flights: set[_Flight] = set()
        self.trouble = ""
        """Why the last publish failed; empty again when one has gone well."""

    async def commit(self, records: Sequence[Record]) -> None:
        """Return when all of `records` are durable.

        Raises `Permanent`, or `Unavailable` or `Unknown`: they may have been written all the same.
        """
        size = sum(len(record.value) for record in records)
        waiting = _Waiting(records, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._launch()
        await waiting.done

    def post(self, records: Sequence[Record]) -> None:
        """Publish `records` some time; whether it went well nobody asks."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_look_away)
        self._queue.append(_Waiting(records, 0, done))
        self._launch()

    def _launch(self) -> None:
        if self._queue and len(self._flights) < FLIGHTS:
            flight = _Flight(self._clock.monotonic())
            self._flights.add(flight)
            flight.task = asyncio.get_running_loop().create_task(self._fly(flight))

    async def _fly(self, flight: _Flight) -> None:
        # Filled here and not in `_launch`: whatever else became ready in this turn of the loop comes along
        flight.batch = self._next_batch()
        try:
            await self._publish(flight.batch)
        finally:
            self._land(flight)

    def _land(self, flight: _Flight) -> None:
        self._flights.discard(flight)
        self._launch()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + self._queue[0].size <= MAX_BATCH):
            waiting = self._queue.popleft()
            if waiting.done.cancelled():
                continue
            batch.append(waiting)
            size += waiting.size
        return batch

    async def _publish(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            await self._bus.publish([record for waiting in batch for record in waiting.records])
        except Permanent as failure:
            if len(batch) == 1:
                batch[0].end(failure)
                return
            # One message that the bus will not have must not keep its neighbours out
            for waiting in batch:
                await self._publish([waiting])
        except MerpatiError as failure:
            self.trouble = failure.public
            for waiting in batch:
                waiting.end(failure)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.end(Unknown("try again later", reason="publish was cancelled"))
            raise
        except Exception as bug:
            _log.exception("publish failed", messages=len(batch))
            self.trouble = "publish failed"
            for waiting in batch:
                waiting.end(Unknown("try again later", reason=type(bug).__name__))
        else:
            self.trouble = ""
            for waiting in batch:
                waiting.end()

    def expire(self) -> None:
        """Give up on publishes that have been under way for longer than `timeout`."""
        now = self._clock.monotonic()
        for flight in [each for each in self._flights if now - each.since > self._timeout]:
            self.trouble = "publish hangs"
            _log.error("publish hangs", messages=len(flight.batch), seconds=round(now - flight.since, 1))
            for waiting in flight.batch:
                waiting.end(Unknown("try again later", reason="publish timed out"))
            if flight.task is not None:
                flight.task.cancel()
            self._land(flight)

    async def close(self, grace: float) -> None:
        """Wait for what is under way, `grace` seconds at most; whatever is not durable by then is not promised."""
        until = self._clock.monotonic() + grace
        while self._flights and self._clock.monotonic() < until:
            await self._clock.sleep(CLOSE_TICK)
        tasks = [flight.task for flight in self._flights if flight.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)


def _look_away(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (failure := done.exception()) is not None:
        _log.warning("not told", failure=str(failure))
