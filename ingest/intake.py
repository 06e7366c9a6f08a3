"""From a whole message at a door to a `Received` event on the log: everything between the final dot and the 250.

Called by the reception of each door, and by any other door to come: it knows nothing of SMTP.  The event is durable
when `accept` returns; a body too large for it is in the object store before.  What fails on our side is never 5yz.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ingest.commits import GroupCommit
from ingest.head import Head, check_author, read_head
from ingest.house import House
from ingest.prefix import prefix_of
from ingest.spool import Spool
from ingest.unsure import Unsure, mark_of
from merpati.bus.api import Record
from merpati.directory.api import AccountEntry
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.events import Body, Envelope, Happened, Received, What, encode
from merpati.events.topics import MAX_RECORD
from merpati.ids import Dice, MessageId, derived_event_id, new_message_id
from merpati.message.headers import MAX_HEADER
from merpati.objects.api import ObjectStore
from merpati.objects.keys import blob_key
from merpati.plugins.edge import ACCEPT, EdgePipeline
from merpati.telemetry import logger

ROOM = 16 * 1024
"""Bytes of a record that the bus may add to what we count."""

_log = logger("ingest")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that has come whole."""

    envelope: Envelope
    spool: Spool
    since: float
    """When its last byte came (monotonic)."""
    account: AccountEntry | None = None
    """Whose it is, at a door for users."""
    extended: bool = True
    """Whether the client speaks the extended protocol."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that is ours now."""

    message: MessageId
    mark: bytes


class Intake:
    """Takes messages in for all doors of a service."""

    def __init__(self, house: House, dice: Dice, commits: GroupCommit, store: ObjectStore, edge: EdgePipeline) -> None:
        self._hostname = house.hostname
        self._clock = house.clock
        self._directory = house.directory
        self._limits = house.limits
        self._metrics = house.metrics
        self._dice = dice
        self._commits = commits
        self._store = store
        self._edge = edge
        self._unsure = Unsure(house.clock, house.limits.remember, house.limits.max_remembered)

    async def accept(self, arrival: Arrival) -> Receipt:
        """Make the message durable.  Raises the refusal, or `Temporary` for whatever of ours is not there."""
        message = new_message_id(self._clock, self._dice)
        try:
            head = await self._examine(arrival)
            body, value = await self._put_away(arrival.spool)
            mark = mark_of(arrival.envelope, body.digest)
            message = self._unsure.recall(mark) or message
            received = self._event(arrival, message, head, body)
            received = await self._judged(received, value)
        except Permanent as refusal:
            self.refuse(arrival, refusal, message)
            raise
        await self._commit(received, value, mark)
        self._unsure.forget(mark)
        self._count(arrival, received)
        return Receipt(message, mark)

    def unanswered(self, receipt: Receipt) -> None:
        """The client may be gone without having been told."""
        self._unsure.remember(receipt.mark, receipt.message)

    def refuse(self, arrival: Arrival, refusal: MerpatiError, message: MessageId | None = None) -> None:
        """Tell the log of a message that was refused after it had come whole; nobody waits for that."""
        message = message or new_message_id(self._clock, self._dice)
        envelope = arrival.envelope
        _log.info(
            "refused message", message=message, door=envelope.door, client=envelope.client.ip, reply=refusal.reply
        )
        facts = {"reply": refusal.reply, "size": str(arrival.spool.size)}
        self._commits.post([encode(self._happened(message, What.REFUSED, envelope, facts))])

    async def _examine(self, arrival: Arrival) -> Head:
        head = read_head(await arrival.spool.head(MAX_HEADER))
        if head.hops > self._limits.max_hops:
            # RFC 5321 section 6.3
            raise Permanent("too many hops, this message is looping", code=554, enhanced="5.4.6")
        if arrival.account is not None:
            await check_author(self._directory, arrival.account, head)
        return head

    async def _put_away(self, spool: Spool) -> tuple[Body, bytes]:
        """The body, and the bytes that ride in the event."""
        if spool.inline:
            value, digest = spool.whole()
            return Body(len(value), digest), value
        digest = await spool.finish()
        key = blob_key(digest, self._dice.bytes(8))
        await self._store.put_stream(key, spool.chunks())
        return Body(spool.size, digest, key), b""

    def _event(self, arrival: Arrival, message: MessageId, head: Head, body: Body) -> Received:
        now = self._clock.time()
        return Received(
            id=derived_event_id(message, "received"),
            message=message,
            at=now,
            envelope=arrival.envelope,
            body=body,
            prefix=prefix_of(arrival.envelope, message, self._hostname, now, head, extended=arrival.extended),
        )

    async def _judged(self, received: Received, value: bytes) -> Received:
        verdict = await self._edge.judge(received, value)
        if verdict.refusal is not None:
            raise verdict.refusal
        if verdict is ACCEPT:
            return received
        return msgspec.structs.replace(
            received,
            prefix=received.prefix + verdict.prefix,
            tags=verdict.tags,
            results=verdict.results,
            actions=verdict.actions,
        )

    async def _commit(self, received: Received, value: bytes, mark: bytes) -> None:
        records = await self._records(received, value)
        try:
            await self._commits.commit(records)
        except Permanent as failure:
            # Whatever the bus has against it is no fault of the client's
            _log.error("bus refused an event", message=received.message, failure=str(failure))
            raise Temporary("try again later") from failure
        except BaseException:
            # No answer is not a no: it may be on the log.  If it comes again it is the same message.
            self._unsure.remember(mark, received.message)
            raise

    async def _records(self, received: Received, value: bytes) -> list[Record]:
        record = encode(received, value)
        if len(value) + sum(len(header) for _, header in record.headers) > MAX_RECORD - ROOM:
            # A thousand long addresses beside a message that only just fits
            key = blob_key(received.body.digest, self._dice.bytes(8))
            await self._store.put(key, value)
            record = encode(msgspec.structs.replace(received, body=msgspec.structs.replace(received.body, key=key)))
        return [record, encode(self._accepted(received))]

    def _accepted(self, received: Received) -> Happened:
        return self._happened(received.message, What.ACCEPTED, received.envelope, {"size": str(received.body.size)})

    def _happened(self, message: MessageId, what: What, envelope: Envelope, facts: dict[str, str]) -> Happened:
        client = envelope.client
        known = {"client": client.ip, "helo": client.helo, "tls": client.tls, "user": client.user}
        return Happened(
            id=derived_event_id(message, "ingest", what),
            message=message,
            at=self._clock.time(),
            what=what,
            service="ingest",
            host=self._hostname,
            recipients=tuple(recipient.address for recipient in envelope.recipients),
            sender=envelope.sender,
            detail={"door": envelope.door, **facts, **{name: fact for name, fact in known.items() if fact}},
        )

    def _count(self, arrival: Arrival, received: Received) -> None:
        took = self._clock.monotonic() - arrival.since
        envelope, size = received.envelope, received.body.size
        self._metrics.accepted.labels(envelope.door).inc()
        self._metrics.accepted_bytes.labels(envelope.door).inc(size)
        self._metrics.accept_seconds.labels(envelope.door).observe(took)
        self._metrics.happened.labels("ingest", What.ACCEPTED).inc()
        _log.info(
            "accepted",
            message=received.message,
            door=envelope.door,
            client=envelope.client.ip,
            recipients=len(envelope.recipients),
            size=size,
            took=round(took, 4),
        )
