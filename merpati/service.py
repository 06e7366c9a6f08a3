"""How a process runs services: start in order, say whether they are ready, drain on SIGTERM, stop in reverse.

Called by `merpati.cli`; the services themselves only have the four members of `Service`.  Background work runs under
`Tasks`: a bug in a loop is logged and counted, and the loop begins again; it never ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from merpati.clock import Clock
from merpati.errors import MerpatiError
from merpati.telemetry import Metrics, logger

GRACE = 25.0
"""Seconds a service has to finish what it holds; below the 30 that process managers give before they kill."""
MOST_BACKOFF = 10.0
"""Seconds between restarts of a loop that fails again and again."""


class Service(Protocol):
    """A role, or a part of one."""

    name: str

    async def start(self) -> None:
        """Begin; when it returns the service works.  Raises `Misconfigured` or `Unavailable`."""
        ...

    async def stop(self, grace: float) -> None:
        """Take nothing new, finish what is held within `grace` seconds, let go of everything.  Idempotent."""
        ...

    def ready(self) -> str:
        """Empty if it can do its work now, else the reason in a few words."""
        ...


class Tasks:
    """Background loops of a service, begun again after a bug and cancelled together."""

    def __init__(self, part: str, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._part = part
        self._log = logger(part)
        self._tasks: set[asyncio.Task[None]] = set()

    def loop(self, name: str, body: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `body` until it returns; when it raises, log, wait (longer each time) and run it again."""
        task = asyncio.create_task(self._again(name, body), name=f"{self._part}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _again(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await body()
                return
            except MerpatiError as failure:
                self._log.warning("interrupted", task=name, failure=str(failure))
            except Exception:
                self._metrics.restarts.labels(name).inc()
                self._log.exception("restarted", task=name)
            failures = 0 if self._clock.monotonic() - began > MOST_BACKOFF else failures + 1
            await self._clock.sleep(min(0.1 * 2**failures, MOST_BACKOFF))

    async def cancel(self) -> None:
        """End all of them and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(services: Sequence[Service], started: Callable[[], None] | None = None) -> None:
    """Start `services`, wait for SIGTERM or SIGINT, stop them in reverse order.  A second signal stops at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running: list[Service] = []
    log = logger("serve")
    try:
        for service in services:
            running.append(service)
            await service.start()
        if started is not None:
            started()
        await stop.wait()
        log.info("draining")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await stop_all(running)
        log.info("stopped")


async def stop_all(services: Sequence[Service], grace: float = GRACE) -> None:
    """Stop in reverse order; one that fails to does not keep the others from it."""
    for service in reversed(services):
        try:
            async with asyncio.timeout(grace + 5):
                await service.stop(grace)
        except Exception:
            logger("serve").exception("stop failed", service=service.name)


@contextlib.asynccontextmanager
async def running(*services: Service) -> AsyncIterator[None]:
    """The services, started, for the length of a block: for tests and the demo."""
    begun: list[Service] = []
    try:
        for service in services:
            begun.append(service)
            await service.start()
        yield
    finally:
        await stop_all(begun, grace=5)
