"""One domain's share of a worker: what waits for it, and the sessions that carry it.

A domain opens a session when mail waits and its limits allow, and a session takes message after message until none is
left.  A domain none of whose hosts answers is left alone for a while: what waits for it is put off without a try each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from delivery.remote.schedule import Answer
from delivery.remote.sessions import Connector, Message, Session, all_later, all_refused, first_that_answers
from delivery.remote.targets import Targets
from merpati.bus.api import Consumed
from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.events import Outbound
from merpati.telemetry import logger

LEFT_ALONE = 30.0
"""Seconds for which a domain that could not be reached is not tried."""
ATTEMPT_LIMIT = 1200.0
"""Seconds of one attempt in all; RFC 5321 section 4.5.3.2 allows ten minutes after the dot alone."""


@dataclass(slots=True)
class Job:
    """A message on its way out: its record, its event."""

    record: Consumed
    event: Outbound


Finish = Callable[[Job, list[Answer]], Awaitable[None]]
"""Performs the step that follows from the answers, and acknowledges the record."""


@dataclass(slots=True)
class Domain:
    """The queue of one domain and the sessions at work on it."""

    name: str
    waiting: deque[Job] = field(default_factory=deque)
    sessions: set[asyncio.Task[None]] = field(default_factory=set)
    left_alone_until: float = 0.0
    trouble: str = ""


class Carrier:
    """Empties domains' queues through sessions."""

    def __init__(
        self,
        targets: Targets,
        connector: Connector,
        clock: Clock,
        load: Callable[[Job], Message],
        finish: Finish,
    ) -> None:
        self._targets = targets
        self._connector = connector
        self._clock = clock
        self._load = load
        self._finish = finish
        self._log = logger("delivery/remote")

    async def carry(self, domain: Domain) -> None:
        """Send what waits for `domain` until nothing does; at least once around."""
        while domain.waiting:
            if self._clock.monotonic() < domain.left_alone_until:
                await self._put_off(domain)
                return
            try:
                session = await self._open(domain)
            except Permanent as failure:
                await self._refuse_all(domain, failure)
                continue
            except Temporary as failure:
                domain.left_alone_until = self._clock.monotonic() + LEFT_ALONE
                domain.trouble = failure.public
                continue
            try:
                await self._send_all(domain, session)
            finally:
                await session.close()

    async def _open(self, domain: Domain) -> Session:
        try:
            async with asyncio.timeout(ATTEMPT_LIMIT):
                return await first_that_answers(self._connector, await self._targets.find(domain.name))
        except TimeoutError:
            raise Temporary("no host answered in time", enhanced="4.4.1") from None

    async def _send_all(self, domain: Domain, session: Session) -> None:
        while domain.waiting and session.usable:
            job = domain.waiting.popleft()
            try:
                async with asyncio.timeout(ATTEMPT_LIMIT):
                    answers = await session.send(job.event, self._load(job))
            except TimeoutError:
                answers = all_later(job.event, "the attempt took too long", "4.4.2", session.host)
                await self._finish(job, answers)
                return
            except MerpatiError as failure:  # our own store or bus; nothing the peer did
                answers = all_later(job.event, failure.public, failure.enhanced_code)
            except Exception:  # a bug of ours: this message waits, the next is not held up
                self._log.exception("attempt failed", message=job.event.message, domain=domain.name)
                answers = all_later(job.event, "internal error", "4.3.0", session.host)
            await self._finish(job, answers)

    async def _put_off(self, domain: Domain) -> None:
        while domain.waiting:
            job = domain.waiting.popleft()
            await self._finish(job, all_later(job.event, domain.trouble, "4.4.1"))

    async def _refuse_all(self, domain: Domain, failure: Permanent) -> None:
        while domain.waiting:
            job = domain.waiting.popleft()
            await self._finish(job, all_refused(job.event, failure.public, failure.enhanced_code))
