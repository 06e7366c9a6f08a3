"""Getting outputs onto the log, however long that takes: what every consumer does before it acknowledges an input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from merpati.bus.api import Bus, Record
from merpati.clock import Clock
from merpati.errors import Permanent, Temporary
from merpati.telemetry import logger

BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts; the last repeats."""

Park = Callable[[str], Sequence[Record]]
"""What to publish instead of an input's outputs that the bus will never take, given its reason."""


class Publisher:
    """`bus.publish` that does not give up.  `trouble` says what it is waiting for, or is empty."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._log = logger("bus")
        self.trouble = ""

    async def publish(self, outputs: Sequence[tuple[Sequence[Record], Park]]) -> None:
        """Make the outputs of several inputs durable, each input's with what to do if they are refused for good."""
        records = [record for each, _ in outputs for record in each]
        if not records:
            return
        try:
            await self._until_it_works(lambda: self._bus.publish(records))
        except Permanent as refusal:
            if len(outputs) > 1:  # one of them: find it, let the others through
                for each in outputs:
                    await self.publish([each])
                return
            self._log.error("outputs refused by the bus", failure=str(refusal))
            dead = outputs[0][1](str(refusal))
            await self._until_it_works(lambda: self._parked(dead))

    async def _parked(self, records: Sequence[Record]) -> None:
        try:
            await self._bus.publish(records)
        except Permanent as refusal:
            # Not even that: a topic is missing.  Waiting loses nothing; whoever mends the bus lets it go on.
            raise Temporary("the bus refuses a dead letter", failure=str(refusal)) from refusal

    async def _until_it_works(self, attempt: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await attempt()
                self.trouble = ""
                return
            except Temporary as failure:
                self.trouble = failure.public
                if not failures:
                    self._log.warning("cannot publish", failure=str(failure))
                await self._clock.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
