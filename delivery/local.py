"""Local delivery: from `mail.local` into mailbox logs, everything that waits for one account in one commit.

While a commit of an account is under way its next messages gather, so a busy account batches by itself and an idle one
waits for nobody.  A message is finished when its append and the event that tells of it are durable.  What cannot be
stored for good (quota) goes back to its sender; what nobody can read goes to `mail.dead`.

Mail for a mailbox that is damaged waits here until that is mended: a part of it that is whole takes its mail meanwhile,
and what is too much, or has waited for days, goes to `mail.dead` too, so that the others' mail never waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import msgspec

from merpati.bounces import Failure, Report, report
from merpati.bus.api import Bus, Consumed, Record, Subscription
from merpati.bus.publishing import Publisher
from merpati.clock import Clock
from merpati.dead import dead_letter
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.events import TOPICS, Happened, Local, Unreadable, What, decode, encode
from merpati.ids import AccountId, derived_event_id
from merpati.log.api import Damaged, NewerFormat
from merpati.mailbox.api import Append, Appended, BadName, BodyMissing, Large, Mailboxes, NoSuchFolder, TooMany
from merpati.message.wire import kept_of
from merpati.objects.api import NotFound
from merpati.service import Tasks
from merpati.telemetry import Metrics, logger

GROUP = "delivery-local"
MAX_HELD = 2_000
"""Records held at once."""
MAX_BATCH = 100
"""Messages of one commit."""
MAX_BATCH_BYTES = 4 << 20
FIRST_WAIT, MOST_WAIT = 0.05, 10.0
"""Seconds between tries while the store is down."""
MAX_STUCK = MAX_HELD // 2
"""Records held for mailboxes that are damaged."""
PUT_OFF = 3 * 86_400.0
"""Seconds for which mail waits for a damaged mailbox: the topic keeps it for a week."""
TRIED = 8
"""Messages tried at once, each alone, on a damaged mailbox."""


@dataclass(slots=True)
class _Queue:
    """What waits for one account."""

    waiting: deque[tuple[Consumed, Local]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    stuck: Temporary | None = None
    """Why the mailbox cannot take all of it, if it is damaged: then what is being tried is not among `waiting`."""


class LocalDelivery:
    """The consumer of `mail.local`.  Several processes share the accounts between them."""

    name = "delivery/local"

    def __init__(self, bus: Bus, mailboxes: Mailboxes, clock: Clock, metrics: Metrics, hostname: str) -> None:
        self._bus = bus
        self._publisher = Publisher(bus, clock)
        self._mailboxes = mailboxes
        self._clock = clock
        self._metrics = metrics
        self._hostname = hostname
        self._log = logger(self.name)
        self._tasks = Tasks(self.name, clock, metrics)
        self._queues: dict[AccountId, _Queue] = {}
        self._held = 0
        self._room = asyncio.Event()
        self._stopping = False
        self._consumer: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[list[Consumed]] | None = None
        self._trouble = "starting"

    async def start(self) -> None:
        self._consumer = self._tasks.loop("local", self._consume)

    def ready(self) -> str:
        return self._trouble or self._publisher.trouble

    async def stop(self, grace: float) -> None:
        """Take no more, let the commits under way finish, give the partitions up."""
        self._stopping = True
        self._room.set()
        if self._taking is not None:
            self._taking.cancel()
        if self._consumer is not None:
            await asyncio.wait([self._consumer], timeout=grace)
        await self._tasks.cancel()

    async def _consume(self) -> None:
        self._queues, self._held = {}, 0
        async with self._bus.subscribe(GROUP, [TOPICS[Local].name]) as subscription:
            try:
                await self._feed(subscription)
                await self._settle()
            finally:
                await self._drop()

    async def _feed(self, subscription: Subscription) -> None:
        while not self._stopping:
            while self._held >= MAX_HELD and not self._stopping:
                self._room.clear()
                await self._room.wait()
            records = await self._take(subscription)
            self._trouble = ""
            for record in records:
                self._held += 1
                await self._sort(subscription, record)

    async def _take(self, subscription: Subscription) -> list[Consumed]:
        """What there is; nothing, and at once, when this worker is stopped meanwhile."""
        self._taking = asyncio.ensure_future(subscription.take(MAX_HELD - self._held, 1.0))
        try:
            return await self._taking
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if self._stopping and not (me and me.cancelling()):
                return []
            raise

    async def _sort(self, subscription: Subscription, record: Consumed) -> None:
        """Put a record in its account's queue and see that somebody works on it."""
        try:
            event = decode(record)
            if not isinstance(event, Local):
                raise Unreadable(f"a {type(event).__name__} on mail.local")
        except Unreadable as failure:
            await self._publish(self._dead([record], failure.public), [record])
            await self._finished(subscription, [record])
            return
        queue = self._queues.setdefault(event.account, _Queue())
        queue.waiting.append((record, event))
        await self._make_room(subscription, queue)
        if queue.task is None:
            queue.task = asyncio.create_task(self._work(subscription, event.account, queue))

    async def _work(self, subscription: Subscription, account: AccountId, queue: _Queue) -> None:
        """Empty one account's queue, batch by batch; ends when it is empty."""
        wait = FIRST_WAIT
        while queue.waiting:
            if queue.stuck is not None:
                if not await self._work_around(subscription, account, queue):
                    if self._stopping:  # what waits comes again
                        break
                    await self._clock.sleep(wait)
                    wait = min(wait * 2, MOST_WAIT)
                continue
            batch = _front(queue.waiting)
            try:
                await (self._deliver(account, batch) if len(batch) > 1 else self._deliver_one(account, batch[0]))
                await self._finished(subscription, [record for record, _ in batch])
            except (Damaged, NewerFormat) as failure:
                queue.stuck = failure
                continue
            except Temporary as failure:
                self._trouble = failure.public
                self._log.warning("waiting", account=account, failure=str(failure))
                if self._stopping:
                    break
                await self._clock.sleep(wait)
                wait = min(wait * 2, MOST_WAIT)
                continue
            except Exception:
                await self._park_for_a_bug(subscription, account, batch)
            wait, self._trouble = FIRST_WAIT, ""
            for _ in batch:
                queue.waiting.popleft()
        del self._queues[account]

    async def _work_around(self, subscription: Subscription, account: AccountId, queue: _Queue) -> bool:
        """Try some of what waits for a damaged mailbox; whether any of it was taken.  What was not waits on."""
        taken, queue.stuck = 0, None
        for _ in range(min(TRIED, len(queue.waiting))):
            record, event = one = queue.waiting.popleft()
            try:
                await self._deliver_one(account, one)
                await self._finished(subscription, [record])
                taken += 1
            except (Damaged, NewerFormat) as failure:
                queue.stuck = failure
                if self._clock.time() - event.at > PUT_OFF:
                    await self._park(subscription, [one], str(failure))
                else:
                    queue.waiting.append(one)
            except Temporary:  # the store is away, which says nothing of the mailbox
                queue.waiting.appendleft(one)
                queue.stuck = None
                return taken > 0
            except Exception:
                await self._park_for_a_bug(subscription, account, [one])
        if queue.stuck is not None:
            self._log.warning(
                "a damaged mailbox", account=account, waiting=len(queue.waiting), failure=str(queue.stuck)
            )
            await self._make_room(subscription, queue)
        return taken > 0

    async def _make_room(self, subscription: Subscription, queue: _Queue) -> None:
        """Put aside what is too much of a damaged mailbox's mail: its neighbours' needs the room."""
        while queue.stuck is not None and len(queue.waiting) > 1:
            stuck = sum(len(each.waiting) for each in self._queues.values() if each.stuck is not None)
            if stuck <= MAX_STUCK:
                return
            await self._park(subscription, [queue.waiting.popleft()], str(queue.stuck))

    async def _deliver(self, account: AccountId, batch: list[tuple[Consumed, Local]]) -> None:
        """Append the batch in one commit, then tell of it; both durable on return."""
        began = self._clock.monotonic()
        mailbox = self._mailboxes.account(account)
        quota = batch[-1][1].quota
        try:
            results = await mailbox.append([_append(*one) for one in batch], create=True, quota=quota)
        except (Permanent, BodyMissing):
            if len(batch) == 1:
                raise
            for one in batch:  # one of them cannot be taken: each for itself
                await self._deliver_one(account, one)
            return
        took = self._clock.monotonic() - began
        pairs = zip(batch, results, strict=True)
        told = [encode(self._stored(event, result, took)) for (_, event), result in pairs]
        await self._publish(told, [record for record, _ in batch])

    async def _deliver_one(self, account: AccountId, one: tuple[Consumed, Local]) -> None:
        record, event = one
        try:
            try:
                await self._deliver(account, [one])
            except (BadName, TooMany, NoSuchFolder) as failure:  # a rule named a folder that cannot be: INBOX can
                self._log.warning("filed into INBOX", message=event.message, reason=failure.public)
                await self._deliver(account, [(record, msgspec.structs.replace(event, folder="INBOX"))])
        except (NotFound, BodyMissing) as failure:
            await self._publish(self._dead([record], str(failure)), [record])
        except Permanent as failure:
            self._log.info("refused by mailbox", message=event.message, reason=failure.public)
            reason = Failure(event.recipient, failure.enhanced_code, failure.public)
            told = report(
                Report.FAILED, event.id, event.message, event.envelope, [reason], record.value, service=self.name,
                hostname=self._hostname, now=self._clock.time(), arrived=event.received_at or event.at,
                complete=not event.body.key,
            )  # fmt: skip
            await self._publish(told, [record])

    def _stored(self, event: Local, result: Appended, took: float) -> Happened:
        now = self._clock.time()
        self._metrics.happened.labels(self.name, What.STORED).inc()
        self._metrics.delivered_seconds.labels("stored").observe(max(0.0, now - (event.received_at or event.at)))
        return Happened(
            id=derived_event_id(event.id, "stored"),
            message=event.message,
            at=now,
            what=What.STORED,
            service=self.name,
            host=self._hostname,
            recipients=(event.recipient.address,),
            sender=event.envelope.sender,
            detail={"folder": event.folder, "uid": str(result.uid)},
            took=took,
        )

    async def _park_for_a_bug(
        self, subscription: Subscription, account: AccountId, batch: list[tuple[Consumed, Local]]
    ) -> None:
        """This account's mail is put aside, its neighbours' goes on.  Called where the exception is handled."""
        self._log.exception("parked", account=account, messages=[event.message for _, event in batch])
        await self._park(subscription, batch, "its mailbox could not take it; see the log of delivery/local")

    async def _park(self, subscription: Subscription, batch: list[tuple[Consumed, Local]], reason: str) -> None:
        records = [record for record, _ in batch]
        await self._publish(self._dead(records, reason), records)
        await self._finished(subscription, records)

    async def _publish(self, records: list[Record], inputs: list[Consumed]) -> None:
        """Publish, however long the bus is away: the outputs come before the acknowledgement."""
        await self._publisher.publish([(records, lambda reason: self._dead(inputs, reason))])

    def _dead(self, records: list[Consumed], reason: str) -> list[Record]:
        return [
            one for record in records for one in dead_letter(record, reason, self.name, self._clock, self._hostname)
        ]

    async def _finished(self, subscription: Subscription, records: list[Consumed]) -> None:
        self._held -= len(records)
        self._room.set()
        try:
            await subscription.done(records)
        except MerpatiError as failure:
            self._log.warning("not acknowledged", failure=str(failure))  # they come again and are dropped as known

    async def _settle(self) -> None:
        """Wait for the queues to empty: part of a graceful stop."""
        while tasks := [queue.task for queue in self._queues.values() if queue.task is not None]:
            await asyncio.wait(tasks)

    async def _drop(self) -> None:
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queues.clear()


def _front(waiting: deque[tuple[Consumed, Local]]) -> list[tuple[Consumed, Local]]:
    """The longest run at the front that makes one commit: bounded in messages and bytes, never empty."""
    batch: list[tuple[Consumed, Local]] = []
    size = 0
    for record, event in waiting:
        size += event.body.size
        if batch and (len(batch) >= MAX_BATCH or size > MAX_BATCH_BYTES):
            break
        batch.append((record, event))
    return batch


def _append(record: Consumed, event: Local) -> Append:
    """What the mailbox stores: our prefix, then the received bytes; RFC 5321 section 4.4: Return-Path comes first."""
    prefix = f"Return-Path: <{event.envelope.sender}>\r\n{event.prefix}".encode()
    body = event.body
    return Append(
        folder=event.folder,
        content=Large(body.key, body.digest, body.size, prefix, event.without)
        if body.key
        else b"".join([prefix, *kept_of(record.value, event.without)]),
        flags=event.flags,
        date=event.received_at or event.at,
        cause=f"{event.message} {event.recipient.address}",
    )
