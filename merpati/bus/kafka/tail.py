"""Following topics on Kafka without a group, and reading them back, with aiokafka's consumer.

Made by `KafkaBus.tail` and `KafkaBus.scan`.  Never commits anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from merpati.bus.api import Consumed, Lagged
from merpati.bus.kafka.errors import CLIENT_ERRORS, OUT_OF_RANGE, door
from merpati.bus.kafka.options import ClientOptions
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.telemetry import logger

PARTITION_BYTES = (1 << 20) + (64 << 10)
FETCH_BYTES = 16 << 20
SCAN_RECORDS = 500
SCAN_SECONDS = 20.0
"""Without a record that must be there, and a scan gives up."""
WATCH_SECONDS = 5.0
"""Without any record, and the tail looks whether the log has grown."""
STALLS = 2
"""Looks in a row that find it standing still before a log that has grown, and the consumer is replaced."""

Spans = Mapping[Any, tuple[int, int]]


def new_consumer(addresses: Sequence[str], options: ClientOptions) -> AIOKafkaConsumer:
    """A consumer without a group, not started."""
    return AIOKafkaConsumer(
        bootstrap_servers=list(addresses),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=PARTITION_BYTES,
        fetch_max_bytes=FETCH_BYTES,
        **options.both,
    )


class KafkaTail:
    """See `merpati.bus.api.Tail`."""

    def __init__(self, addresses: Sequence[str], options: ClientOptions, clock: Clock) -> None:
        self._made_of = (addresses, options)
        self._clock = clock
        self._consumer: Any = None
        self._quiet_since = clock.monotonic()
        self._stalls = 0
        self._log = logger("bus")

    async def enter(self, lanes: Sequence[tuple[str, int]], since: float | None) -> None:
        """Stand at `since`, or at the end.  Raises `Unavailable`."""
        with door():
            await self._begin([TopicPartition(*lane) for lane in lanes])
            ends = await self._consumer.end_offsets(self._consumer.assignment())
            if since is not None:
                moment = max(0, int(since * 1000))
                found = await self._consumer.offsets_for_times(dict.fromkeys(ends, moment))
                ends |= {lane: place.offset for lane, place in found.items() if place is not None}
            for lane, offset in ends.items():
                self._consumer.seek(lane, offset)

    async def leave(self) -> None:
        with contextlib.suppress(*CLIENT_ERRORS):
            await self._consumer.stop()

    async def take(self, limit: int, within: float) -> list[Consumed]:
        try:
            with door():
                polled = await self._consumer.getmany(timeout_ms=max(0, int(within * 1000)), max_records=limit)
        except Unavailable as failure:
            if isinstance(failure.__cause__, OUT_OF_RANGE):
                raise await self._skip(failure.__cause__) from failure
            raise
        now = self._clock.monotonic()
        if polled:
            self._quiet_since, self._stalls = now, 0
        elif now - self._quiet_since > WATCH_SECONDS:
            self._quiet_since = now
            with door():
                await self._look()
        return [consumed(record) for records in polled.values() for record in records]

    async def _begin(self, lanes: Sequence[Any]) -> None:
        self._consumer = new_consumer(*self._made_of)
        await self._consumer.start()
        self._consumer.assign(lanes)

    async def _skip(self, error: Any) -> Lagged:
        """Go on from the end in the partitions whose records are gone."""
        lanes = list(error.args[0])
        with door():
            ends = await self._consumer.end_offsets(lanes)
        for lane, offset in ends.items():
            self._consumer.seek(lane, offset)
        return Lagged("records are gone unread", partitions=len(lanes))

    async def _look(self) -> None:
        """A consumer may stop bringing records after a broker's restart (aiokafka #1154): it is replaced then."""
        lanes = self._consumer.assignment()
        ends = await self._consumer.end_offsets(lanes)
        stands = {lane: await self._consumer.position(lane) for lane in lanes}
        behind = any(stands[lane] < end for lane, end in ends.items())
        self._stalls = self._stalls + 1 if behind else 0
        if self._stalls >= STALLS:
            self._log.warning("consumer replaced", reason="stands still")
            self._stalls = 0
            await self.leave()
            await self._begin(list(lanes))
            for lane, offset in stands.items():
                self._consumer.seek(lane, offset)


async def scan(
    consumer: Any, lanes: Sequence[tuple[str, int]], *, since: float, until: float | None, key: bytes | None
) -> AsyncIterator[Consumed]:
    """The records of some partitions, one after the other; see `merpati.bus.api.Bus.scan`."""
    for lane, (start, end) in (await _spans(consumer, lanes, since)).items():
        consumer.assign([lane])
        consumer.seek(lane, start)
        while await consumer.position(lane) < end:
            polled = await consumer.getmany(timeout_ms=int(SCAN_SECONDS * 1000), max_records=SCAN_RECORDS)
            if not polled:
                raise Unavailable("Kafka does not answer", topic=lane.topic, partition=lane.partition)
            for record in polled.get(lane, ()):
                if record.offset < end and _wanted(record, since, until, key):
                    yield consumed(record)


async def _spans(consumer: Any, lanes: Sequence[tuple[str, int]], since: float) -> Spans:
    """From where to where each partition is to be read."""
    places = [TopicPartition(*lane) for lane in lanes]
    ends = await consumer.end_offsets(places)
    found = await consumer.offsets_for_times(dict.fromkeys(places, max(0, int(since * 1000))))
    return {lane: (place.offset, ends[lane]) for lane, place in found.items() if place is not None}


def _wanted(record: Any, since: float, until: float | None, key: bytes | None) -> bool:
    if record.timestamp < int(since * 1000) or (until is not None and record.timestamp >= int(until * 1000)):
        return False
    return key is None or (record.key or b"") == key


def consumed(record: Any) -> Consumed:
    """aiokafka's record as ours."""
    return Consumed(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp / 1000,
        key=record.key or b"",
        value=record.value or b"",
        headers=tuple((name, value or b"") for name, value in record.headers),
    )
