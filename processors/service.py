"""The processors as a service: built from components, started, drained and asked whether it works.

`merpati.cli` wires it.  Two lanes run: the main one over `mail.received`, embedded or on faust, and one over the retry
topic, always over the bus, where messages come that have to be processed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from merpati.bus.api import Bus, Consumed
from merpati.clock import Clock
from merpati.directory.api import Directory
from merpati.events import TOPICS, Received, retry_topic
from merpati.net.dns import Resolver
from merpati.objects.api import ObjectStore
from merpati.service import Tasks
from merpati.settings import ProcessorSettings
from merpati.telemetry import Metrics, logger
from processors.handler import Handler
from processors.names import Names
from processors.registry import build_row
from processors.runners.embedded import EmbeddedRunner
from processors.working import TIER, Working, again_of

GROUP = "processors"
"""The consumer group; every process of an installation joins it."""
RETRY_IN_FLIGHT = 4000
"""Records that wait in memory to be processed again."""
RETRY_BYTES = 32 << 20
"""Bytes of these."""


class Runner(Protocol):
    """What feeds the main lane."""

    @property
    def trouble(self) -> str:
        """What keeps it from working, or empty."""
        ...

    async def run(self) -> None:
        """Work until `stop`, then finish what is held."""
        ...

    def stop(self, grace: float) -> None:
        """Take nothing more; let `run` return after `grace` seconds at most."""
        ...


class RunnerFactory(Protocol):
    """Makes the runner of the main lane when the service starts."""

    def __call__(self, working: Working) -> Runner: ...


class ProcessorsService:
    """`merpati.service.Service`: everything between `mail.received` and the mailboxes or the world outside."""

    name = "processors"

    def __init__(
        self,
        bus: Bus,
        store: ObjectStore,
        directory: Directory,
        resolver: Resolver,
        entries: Sequence[ProcessorSettings],
        clock: Clock,
        hostname: str,
        metrics: Metrics,
        *,
        runner: RunnerFactory | None = None,
        group: str = GROUP,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._row = build_row(entries, "stream", Names(resolver), clock, hostname, metrics)
        handler = Handler(self._row, directory, clock, hostname)
        self._working = Working(handler, store, clock, hostname, metrics)
        self._runner = runner or self._embedded
        self._group = group
        self._tasks = Tasks("processors", clock, metrics)
        self._log = logger("processors")
        self._main: Runner | None = None
        self._retries: EmbeddedRunner | None = None
        self._lanes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load the processors and begin.  Raises `Misconfigured`."""
        await self._row.start()
        self._main = self._runner(self._working)
        self._retries = EmbeddedRunner(
            self._bus,
            f"{self._group}.retry",
            retry_topic(TIER[0]),
            self._working.work,
            self._working.refused,
            self._clock,
            wait=self._until_due,
            in_flight=RETRY_IN_FLIGHT,
            in_flight_bytes=RETRY_BYTES,
        )
        for name, lane in (("main", self._main), ("retries", self._retries)):
            self._lanes.append(self._tasks.loop(name, lane.run))

    async def stop(self, grace: float) -> None:
        """Take nothing new, finish what is held, let the processors go."""
        for lane in (self._main, self._retries):
            if lane is not None:
                lane.stop(grace)
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=grace + 2)
        await self._tasks.cancel()
        await self._row.stop()

    def ready(self) -> str:
        """Empty if messages are processed, else what it waits for."""
        if self._main is None or self._retries is None:
            return "not started"
        return self._working.trouble or self._main.trouble or self._retries.trouble

    def _embedded(self, working: Working) -> Runner:
        return EmbeddedRunner(self._bus, self._group, TOPICS[Received].name, working.work, working.refused, self._clock)

    def _until_due(self, record: Consumed) -> float:
        again = again_of(record)
        # no later than the tier allows, whatever the record says
        return min(again.due - self._clock.time(), TIER[1]) if again else 0.0
