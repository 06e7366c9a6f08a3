"""Making commits known to other processes: a queue that the commits fall into and a task that publishes them.

Nobody waits for it: a commit is durable before it is known.  If the bus is away, pushes wait; if too many wait, of each
log only the newest, without its bytes: who hears of it reads what stands before it too.
"""

from __future__ import annotations

import asyncio
from collections import deque

from merpati.clock import Clock
from merpati.errors import MerpatiError
from merpati.events import Changed
from merpati.ids import AccountId, derived_event_id
from merpati.mailbox.api import Publisher
from merpati.telemetry import logger

BATCH = 500
"""Pushes handed over at once."""
BATCH_BYTES = 1 << 20
WAITING = 10_000
"""Pushes that may wait, and then logs that one may wait for: beyond that the oldest go."""
WAITING_BYTES = 16 << 20
"""Bytes of commits that may wait with them."""
PAUSE = 1.0
"""Seconds between attempts while the bus is away."""


class Pushing:
    """The commits of this process, on their way to `mailbox.changes`."""

    def __init__(self, publish: Publisher | None, clock: Clock, largest: int) -> None:
        """`largest`: bytes up to which a commit goes along with its event."""
        self._publish = publish
        self._clock = clock
        self._largest = largest
        self._waiting: deque[tuple[Changed, bytes]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._log = logger("mailbox")

    def __len__(self) -> int:
        """Those that wait."""
        return len(self._waiting)

    def push(self, account: AccountId, number: int, at: float, data: bytes, log: str = "mailbox") -> None:
        """Commit `number` of an account is durable."""
        if self._publish is None:
            return
        if len(data) > self._largest or self._bytes + len(data) > WAITING_BYTES:
            data = b""
        if len(self._waiting) >= 2 * WAITING:
            self._thin_out()
        event = Changed(derived_event_id(account, log, str(number)), account, at, number, log)
        self._waiting.append((event, data))
        self._bytes += len(data)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def _thin_out(self) -> None:
        newest = {(event.account, event.log): event for event, _ in self._waiting}
        self._waiting = deque([(event, b"") for event in newest.values()][-WAITING:])
        self._bytes = 0
        self._log.warning("the bus is away: changes are told without their commits", waiting=len(self._waiting))

    async def close(self) -> None:
        """Hand over what waits, once; what cannot be handed over now is not worth waiting for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._publish is not None and self._waiting:
            try:
                await self._publish(self._batch())
            except MerpatiError:
                return

    async def _run(self) -> None:
        assert self._publish is not None
        while self._waiting:
            batch = self._batch()
            try:
                while batch:
                    try:
                        await self._publish(batch)
                        batch = []
                    except MerpatiError as error:
                        self._log.warning("changes not published", reason=str(error), waiting=len(self._waiting))
                        await self._clock.sleep(PAUSE)
            finally:
                self._waiting.extendleft(reversed(batch))
                self._bytes += sum(len(data) for _, data in batch)

    def _batch(self) -> list[tuple[Changed, bytes]]:
        batch: list[tuple[Changed, bytes]] = []
        size = 0
        while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
            event, data = self._waiting.popleft()
            self._bytes -= len(data)
            size += len(data)
            batch.append((event, data))
        return batch
