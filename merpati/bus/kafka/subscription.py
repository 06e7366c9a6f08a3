"""A member of a group on Kafka, as the event loop sees it: takes from the inbox, commits through the pump.

Made by `KafkaBus.subscribe`.  The pump's thread does the talking; should it no longer turn, it is left behind and
another takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kafka.errors import KafkaError

from merpati.bus.api import Consumed
from merpati.bus.kafka.errors import GROUP_MOVED, mapped
from merpati.bus.kafka.inbox import Inbox
from merpati.bus.kafka.pump import BOOTSTRAP_SECONDS, LEAVE_SECONDS, Pump
from merpati.bus.taking import Bell, take_within
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.telemetry import logger

COMMIT_SECONDS = 10.0
"""How long one commit may take."""
MOVING_SECONDS = 20.0
"""How long commits are tried again while the group is sharing out its partitions."""
AGAIN_SECONDS = 0.1
STUCK_SECONDS = 45.0
"""A pump that has not come around for so long never will."""
WATCH_SECONDS = 5.0


class KafkaSubscription:
    """See `merpati.bus.api.Subscription`.  `make` makes a pump that fills the inbox it is given."""

    def __init__(self, make: Callable[[Inbox], Pump], clock: Clock, buffer_bytes: int) -> None:
        self._make = make
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._bell = Bell()
        self._committing = asyncio.Lock()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="kafka-commit")
        self._log = logger("bus")

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        return self._pump.inbox.lanes

    async def enter(self) -> None:
        """Begin to join the group; partitions come with time.  Raises `Unavailable`."""
        self._loop = asyncio.get_running_loop()
        self._pump = self._new_pump()
        reached = self._loop.run_in_executor(self._threads, self._pump.reached.wait, 2 * BOOTSTRAP_SECONDS)
        await reached
        if self._pump.trouble is not None or not self._pump.reached.is_set():
            self._pump.stop()
            raise Unavailable("Kafka cannot be used") from self._pump.trouble
        self._watching = asyncio.create_task(self._watch())

    async def leave(self) -> None:
        """Give up everything at once."""
        self._watching.cancel()
        self._pump.stop()
        await self._loop.run_in_executor(self._threads, self._pump.join, LEAVE_SECONDS + 1)
        self._threads.shutdown(wait=False)

    async def take(self, limit: int, within: float) -> list[Consumed]:
        async def fetch() -> list[Consumed]:
            return self._pump.inbox.take(limit)

        taken = await take_within(fetch, self._bell, self._clock, within)
        if not taken and self._pump.trouble is not None:
            raise Unavailable("Kafka cannot be used") from self._pump.trouble
        return taken

    async def done(self, records: Sequence[Consumed]) -> None:
        self._pump.inbox.finish(records)
        until = self._clock.monotonic() + MOVING_SECONDS
        while not await self._commit():
            # The group is sharing out its partitions: what stays ours is committed then, the rest is another's.
            if self._clock.monotonic() > until:
                raise Unavailable("the group does not come to rest")
            await self._clock.sleep(AGAIN_SECONDS)

    async def _commit(self) -> bool:
        """Make what moved durable; whether it is.  One commit at a time carries what all have finished meanwhile."""
        async with self._committing:
            pump = self._pump
            positions = pump.inbox.uncommitted()
            if not positions:
                return True
            try:
                await self._loop.run_in_executor(self._threads, pump.commit, positions, COMMIT_SECONDS)
            except GROUP_MOVED:
                return False
            except (KafkaError, RuntimeError) as error:
                if pump is not self._pump or not pump.inbox.uncommitted():
                    return False  # the consumer is gone, and with it what it held
                raise mapped(error) if isinstance(error, KafkaError) else Unavailable(str(error)) from error
            pump.inbox.committed(positions)
            return True

    def _new_pump(self) -> Pump:
        """A pump with an inbox of its own: what one that was left behind still fetches goes nowhere."""
        inbox = Inbox(self._buffer_bytes, self._ring)
        pump = self._make(inbox)
        pump.start()
        return pump

    def _ring(self) -> None:
        """From the pump's threads."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._bell.ring)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            if self._clock.monotonic() - self._pump.beat > STUCK_SECONDS:
                self._log.error("consumer left behind", reason="its thread no longer turns")
                self._pump.stop()
                self._pump = self._new_pump()
