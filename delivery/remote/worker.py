"""The consumer of `mail.outbound`: sorts messages by domain, sees that sessions carry them, performs what follows.

A message is finished when what followed is durable: its retry on a tier, its report, its events.  One domain that hangs
holds its own sessions and nobody else's.  After a restart the messages whose 250 is already on `mail.events` are known
and not sent again.
"""

from __future__ import annotations

import asyncio

from delivery.remote.connector import stream_of
from delivery.remote.domains import Carrier, Domain, Job
from delivery.remote.outcome import Outcomes
from delivery.remote.schedule import Answer, Policy, next_step
from delivery.remote.sessions import Connector, Message
from delivery.remote.targets import Targets
from delivery.remote.tiers import Tier
from merpati.bus.api import Bus, Consumed, Record, Subscription
from merpati.bus.publishing import Publisher
from merpati.clock import Clock
from merpati.dead import dead_letter
from merpati.errors import MerpatiError
from merpati.events import TOPICS, Happened, Outbound, Unreadable, What, decode
from merpati.ids import Dice, EventId
from merpati.message.wire import kept_of
from merpati.objects.api import ObjectStore
from merpati.service import Tasks
from merpati.telemetry import Metrics, logger

GROUP = "delivery-remote"
MAX_HELD = 1000
"""Messages held at once, over all domains."""
REPORTED = 128 * 1024
"""Bytes of a large message that a report is made from."""


class RemoteDelivery:
    """Relays mail; several processes share the domains between them."""

    name = "delivery/remote"

    def __init__(
        self, bus: Bus, store: ObjectStore, targets: Targets, connector: Connector, policy: Policy, clock: Clock,
        dice: Dice, metrics: Metrics, hostname: str, *, sessions: int = 100, sessions_per_domain: int = 10,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._publisher = Publisher(bus, clock)
        self._store = store
        self._policy = policy
        self._clock = clock
        self._hostname = hostname
        self._per_domain = sessions_per_domain
        self._slots = asyncio.Semaphore(sessions)
        self._log = logger(self.name)
        self._tasks = Tasks(self.name, clock, metrics)
        self._outcomes = Outcomes(self.name, hostname, metrics)
        self._carrier = Carrier(targets, connector, clock, self._load, self._finish)
        self._tiers = [Tier(bus, tier, clock, dice) for tier, _ in policy.tiers]
        self._domains: dict[str, Domain] = {}
        self._subscription: Subscription | None = None
        self._held = 0
        self._room = asyncio.Event()
        self._stopping = False
        self._consumer: asyncio.Task[None] | None = None
        self._trouble = "starting"

    async def start(self) -> None:
        self._consumer = self._tasks.loop("remote", self._consume)
        for tier in self._tiers:
            self._tasks.loop("tier", tier.run)

    def ready(self) -> str:
        return self._trouble or self._publisher.trouble

    async def stop(self, grace: float) -> None:
        """Take no more; messages under way are finished, the others stay on the log for the next process."""
        self._stopping = True
        self._room.set()
        for domain in self._domains.values():
            self._held -= len(domain.waiting)
            domain.waiting.clear()
        if self._consumer is not None:
            await asyncio.wait([self._consumer], timeout=grace)
        await self._tasks.cancel()

    async def _consume(self) -> None:
        self._domains, self._held = {}, 0
        known: frozenset[EventId] = frozenset()
        seen: frozenset[tuple[str, int]] = frozenset()
        async with self._bus.subscribe(GROUP, [TOPICS[Outbound].name]) as subscription:
            self._subscription = subscription
            try:
                while not self._stopping:
                    records = await self._take(subscription)
                    self._trouble = ""
                    if records and not subscription.assigned <= seen:
                        seen = subscription.assigned
                        known = await self._relayed_since(min(record.timestamp for record in records))
                    for record in records:
                        await self._sort(record, known)
                await self._settle()
            finally:
                await self._drop()

    async def _take(self, subscription: Subscription) -> list[Consumed]:
        while self._held >= MAX_HELD and not self._stopping:
            self._room.clear()
            await self._room.wait()
        records = await subscription.take(max(1, MAX_HELD - self._held), 1.0)
        self._held += len(records)
        return records

    async def _relayed_since(self, since: float) -> frozenset[EventId]:
        """Ids of `relayed` events since then: what an earlier worker sent without acknowledging it."""
        found = set()
        async for record in self._bus.scan(TOPICS[Happened].name, since=since):
            try:
                event = decode(record)
            except Unreadable:
                continue
            if isinstance(event, Happened) and event.what is What.RELAYED:
                found.add(event.id)
        return frozenset(found)

    async def _sort(self, record: Consumed, known: frozenset[EventId]) -> None:
        """Put a message into its domain's queue and see that somebody works on it."""
        try:
            event = decode(record)
            if not isinstance(event, Outbound):
                raise Unreadable(f"a {type(event).__name__} on mail.outbound")
        except Unreadable as failure:
            await self._publish(self._dead(record, failure.public), record)
            await self._done(record)
            return
        left = self._outcomes.not_yet_relayed(event, known)
        if left is None:
            await self._done(record)
            return
        domain = self._domains.setdefault(event.domain, Domain(event.domain))
        domain.waiting.append(Job(record, left))
        if len(domain.sessions) < min(self._per_domain, len(domain.waiting)):
            task = asyncio.create_task(self._session(domain))
            domain.sessions.add(task)

    async def _session(self, domain: Domain) -> None:
        try:
            async with self._slots:
                await self._carrier.carry(domain)
        except Exception:
            # A bug of ours: what waits comes again when the consumer begins again.
            self._log.exception("carrier failed", domain=domain.name)
        finally:
            task = asyncio.current_task()
            if task is not None:
                domain.sessions.discard(task)
            if not domain.sessions and not domain.waiting and self._clock.monotonic() >= domain.left_alone_until:
                self._domains.pop(domain.name, None)

    def _load(self, job: Job) -> Message:
        """The bytes to send: our prefix and what was received, without what processors removed."""
        event = job.event
        if event.body.key:
            return stream_of(event, self._store.get_stream(event.body.key))
        return b"".join([event.prefix.encode(), *kept_of(job.record.value, event.without)])

    async def _finish(self, job: Job, answers: list[Answer]) -> None:
        """Perform the step that follows; durable before the record is acknowledged."""
        now = self._clock.time()
        step = next_step(job.event, tuple(answers), now, self._policy)
        original = await self._head(job) if step.tells else b""
        await self._publish(self._outcomes.records(job.event, job.record.value, original, step, now), job.record)
        await self._done(job.record)

    async def _head(self, job: Job) -> bytes:
        """The beginning of the message, its header at least, for a report."""
        if not job.event.body.key:
            return job.record.value
        try:
            return await self._store.get_range(job.event.body.key, 0, REPORTED)
        except MerpatiError:
            return b""  # a report without the header is better than none

    async def _publish(self, records: list[Record], record: Consumed) -> None:
        """Publish, however long the bus is away: the outputs come before the acknowledgement."""
        await self._publisher.publish([(records, lambda reason: self._dead(record, reason))])

    def _dead(self, record: Consumed, reason: str) -> list[Record]:
        return dead_letter(record, reason, self.name, self._clock, self._hostname)

    async def _done(self, record: Consumed) -> None:
        self._held -= 1
        self._room.set()
        try:
            if self._subscription is not None:
                await self._subscription.done([record])
        except MerpatiError as failure:
            self._log.warning("not acknowledged", failure=str(failure))

    async def _settle(self) -> None:
        while tasks := [task for domain in self._domains.values() for task in domain.sessions]:
            await asyncio.wait(tasks)

    async def _drop(self) -> None:
        tasks = [task for domain in self._domains.values() for task in domain.sessions]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._subscription = None
