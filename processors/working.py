"""One record through the handler, whatever happens: the records that must be durable before it may be acknowledged.

Called by the runners, on the main topic and on the one for second tries.  What cannot be read goes to `mail.dead`; what
a processor failed on comes again later; while the directory or the store does not answer, it waits and tries again.
Nothing but cancellation leaves `work`.
"""

from __future__ import annotations

import asyncio

import msgspec

from merpati.bus.api import Consumed, Record
from merpati.clock import Clock
from merpati.errors import Permanent, Temporary, Unavailable
from merpati.events import Dead, Event, Happened, Received, What, decode, encode, retry_topic
from merpati.events.codec import header_of
from merpati.events.topics import MAX_RECORD, PROCESSING_TIER
from merpati.ids import derived_event_id
from merpati.objects.api import ObjectStore
from merpati.plugins.mail import HEADER_ONLY
from merpati.telemetry import Metrics, logger
from processors.handler import Handler
from processors.outputs import SERVICE, Outputs

TIER = PROCESSING_TIER
"""Name and seconds of the retry topic on which messages wait to be processed again."""
RETRIES = 30
"""Times that a message is processed on which a processor fails: an hour's worth of `TIER`."""
RETRY_HEADER = "merpati-retry"
BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the directory or the store does not answer; the last repeats."""
ATTEMPT = 60.0
"""Seconds one attempt at reading or storing a body may take."""
ROOM = 16 * 1024
"""Bytes of a record that are left for what the bus adds."""


class Again(msgspec.Struct, frozen=True):
    """Why and when a record on the retry topic is to be processed."""

    tries: int
    due: float
    reason: str


class Poison(Exception):
    """A record that can never be worked on."""


def again_of(record: Consumed) -> Again | None:
    """What the retry header of a record says, or None."""
    for name, value in record.headers:
        if name == RETRY_HEADER:
            try:
                return msgspec.json.decode(value, type=Again)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None


class Working:
    """Records in, records out."""

    def __init__(self, handler: Handler, store: ObjectStore, clock: Clock, hostname: str, metrics: Metrics) -> None:
        self._handler = handler
        self._store = store
        self._clock = clock
        self._hostname = hostname
        self._metrics = metrics
        self._log = logger(SERVICE)
        self._waiting = 0
        self.trouble = ""
        """What is being waited for, or empty."""

    async def work(self, record: Consumed, patience: float | None = None) -> list[Record]:
        """What to publish before `record` is acknowledged.  `patience`: seconds for all its processors."""
        failures = 0
        try:
            while True:
                try:
                    return await self._once(record, patience)
                except Temporary as failure:
                    if not failures:
                        self._waiting += 1
                        self._log.warning("waiting", failure=str(failure))
                    self.trouble = failure.public
                    await self._clock.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
                    failures += 1
        finally:
            if failures:
                self._waiting -= 1
                self.trouble = self.trouble if self._waiting else ""

    async def _once(self, record: Consumed, patience: float | None) -> list[Record]:
        event: Event | None = None
        try:
            event = decode(record)
            if not isinstance(event, Received):
                raise Poison(f"a {type(event).__name__.lower()} event does not belong here")
            data = await self._data(event, record.value)
            again = again_of(record)
            outputs = await self._handler.handle(
                event, data, record.timestamp, tries=again.tries if again else 0, patience=patience
            )
            await self._keep(outputs)
            return self._records(record, event, outputs, again)
        except Temporary:
            raise
        except Poison as poison:
            return self._park(record, event, str(poison))
        except Permanent as failure:  # unreadable, or a body that is not there
            return self._park(record, event, str(failure))
        except Exception as error:
            # A bug of ours: the message is kept for whoever mends it, and the partition goes on
            self._log.exception("parked after a bug", offset=record.offset, partition=record.partition)
            return self._park(record, event, f"{type(error).__name__}: {error}")

    async def _data(self, event: Received, value: bytes) -> bytes:
        body = event.body
        if not body.key:
            if len(value) != body.size:
                raise Poison(f"the body has {len(value)} bytes, not {body.size}")
            return value
        try:
            async with asyncio.timeout(ATTEMPT):
                if self._handler.row.wants_body:
                    data = await self._store.get(body.key)
                else:
                    data = await self._store.get_range(body.key, 0, HEADER_ONLY)
        except TimeoutError:
            raise Unavailable("object store too slow", key=body.key) from None
        if len(data) > body.size or (len(data) < body.size and len(data) < HEADER_ONLY):
            raise Poison(f"the stored body has {len(data)} bytes, not {body.size}")
        return data

    async def _keep(self, outputs: Outputs) -> None:
        if not outputs.blobs:
            return
        try:
            async with asyncio.timeout(ATTEMPT):
                for key, data in outputs.blobs.items():
                    await self._store.put(key, data)
        except TimeoutError:
            raise Unavailable("object store too slow") from None

    def _records(self, record: Consumed, event: Received, outputs: Outputs, again: Again | None) -> list[Record]:
        records = [encode(output, value) for output, value in outputs.events] + outputs.records
        if outputs.returned:
            self._metrics.happened.labels(SERVICE, What.BOUNCED).inc(outputs.returned)
        for output, _ in outputs.events:
            if isinstance(output, Happened):
                self._metrics.happened.labels(SERVICE, output.what).inc()
        if outputs.again:
            records += self._put_off(record, event, outputs, again)
        return records

    def _put_off(self, record: Consumed, event: Received, outputs: Outputs, again: Again | None) -> list[Record]:
        """The record again, on the retry topic, for the recipients that are not done with."""
        tries = (again.tries if again else 0) + (0 if outputs.slow else 1)
        deferred = any(isinstance(output, Happened) and output.what is What.DEFERRED for output, _ in outputs.events)
        if tries > RETRIES and not deferred:
            return self._park(record, event, f"tried {RETRIES} times: {outputs.reason}")
        envelope = msgspec.structs.replace(event.envelope, recipients=outputs.again)
        due = self._clock.time() + (0.0 if outputs.slow else TIER[1])
        plain = encode(msgspec.structs.replace(event, envelope=envelope), record.value, topic=retry_topic(TIER[0]))
        marked = (RETRY_HEADER, msgspec.json.encode(Again(tries, due, outputs.reason[:500])))
        return [Record(plain.topic, plain.key, plain.value, (*plain.headers, marked))]

    def refused(self, record: Consumed, reason: str) -> list[Record]:
        """What to publish when the bus refuses the outputs of `record` for good."""
        try:
            return self._park(record, decode(record), f"outputs refused: {reason}")
        except Permanent:
            return self._park(record, None, f"outputs refused: {reason}")

    def _park(self, record: Consumed, event: Event | None, reason: str) -> list[Record]:
        """The record as a `Dead` event, and what happened if it is known whose message it was."""
        message = event.message if isinstance(event, Received) else ""
        place = f"{record.topic}/{record.partition}/{record.offset}"
        header = (header_of(record) or b"")[: MAX_RECORD // 8]  # as JSON up to six times as long
        dead = Dead(
            id=derived_event_id("dead", place, str(record.timestamp)),
            message=message,
            at=self._clock.time(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason[:1000],
            service=SERVICE,
            key=record.key.decode("latin-1")[:1000],
            header=header.decode("latin-1"),
        )
        self._log.error("parked", place=place, reason=reason[:1000], message=message)
        room = MAX_RECORD - ROOM - len(encode(dead).headers[0][1])
        records = [encode(dead, record.value[:room])]
        if isinstance(event, Received):
            parked = Happened(
                id=derived_event_id(event.id, "happened", What.PARKED),
                message=event.message,
                at=self._clock.time(),
                what=What.PARKED,
                service=SERVICE,
                host=self._hostname,
                recipients=tuple(each.address for each in event.envelope.recipients),
                sender=event.envelope.sender,
                detail={"reason": reason[:1000]},
            )
            self._metrics.happened.labels(SERVICE, What.PARKED).inc()
            records.append(encode(parked))
        return records
