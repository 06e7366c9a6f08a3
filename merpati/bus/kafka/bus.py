"""The Kafka engine as the rest of the project sees it: it knows which topics there are and hands the work on.

Made by `merpati.bus.open`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from aiokafka.partitioner import murmur2

from merpati.bus.api import Consumed, Record
from merpati.bus.kafka.admin import Admin
from merpati.bus.kafka.errors import CLIENT_ERRORS, door
from merpati.bus.kafka.inbox import Inbox
from merpati.bus.kafka.options import client_options
from merpati.bus.kafka.publisher import Publisher
from merpati.bus.kafka.pump import Pump
from merpati.bus.kafka.subscription import KafkaSubscription
from merpati.bus.kafka.tail import KafkaTail, new_consumer, scan
from merpati.bus.records import admit, no_such_topic
from merpati.bus.threads import let_threads_in
from merpati.clock import Clock
from merpati.ids import Dice

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

Lane = tuple[str, int]


class KafkaBus:
    """See `merpati.bus.api.Bus`.  `addresses` are brokers to begin with, `options` those of `[bus.kafka]`."""

    def __init__(self, addresses: Sequence[str], options: Mapping[str, str], clock: Clock, dice: Dice) -> None:
        self._addresses = list(addresses)
        self._options = client_options(options)
        self._clock = clock
        self._admin = Admin(addresses, self._options)
        self._publisher = Publisher(addresses, self._options, clock)
        self._partitions: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._learning = asyncio.Lock()

    async def start(self) -> None:
        let_threads_in()
        await self._learn()

    async def close(self) -> None:
        await self._publisher.close()
        await self._admin.close()

    async def check(self) -> str:
        brokers = await self._admin.brokers()
        return f"Kafka, {brokers} broker{'s' if brokers != 1 else ''}"

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        await self._admin.ensure(topics)
        self._limits |= {spec.name: spec.max_record for spec in topics}
        await self._learn()

    async def publish(self, records: Sequence[Record]) -> None:
        for topic in {record.topic for record in records}:
            await self._known(topic)
            if topic not in self._limits:
                self._limits[topic] = await self._admin.max_record(topic)
        for record in records:
            admit(record, self._limits[record.topic])
        await self._publisher.publish(records)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, group: str, topics: Sequence[str], *, buffer_bytes: int = 16 << 20
    ) -> AsyncIterator[KafkaSubscription]:
        for topic in topics:
            await self._known(topic)

        def pump(inbox: Inbox) -> Pump:
            return Pump(self._addresses, self._options, group, topics, inbox, self._clock, buffer_bytes)

        member = KafkaSubscription(pump, self._clock, buffer_bytes)
        await member.enter()
        try:
            yield member
        finally:
            await member.leave()

    @contextlib.asynccontextmanager
    async def tail(self, topics: Sequence[str], *, since: float | None = None) -> AsyncIterator[KafkaTail]:
        lanes = [lane for topic in topics for lane in await self._lanes(topic)]
        tail = KafkaTail(self._addresses, self._options, self._clock)
        try:
            await tail.enter(lanes, since)
            yield tail
        finally:
            await tail.leave()

    async def scan(
        self, topic: str, *, since: float = 0.0, until: float | None = None, key: bytes | None = None
    ) -> AsyncIterator[Consumed]:
        lanes = await self._lanes(topic)
        if key is not None:
            lanes = [lanes[partition_of(key, len(lanes))]]
        consumer = new_consumer(self._addresses, self._options)
        try:
            with door():
                await consumer.start()
                async for record in scan(consumer, lanes, since=since, until=until, key=key):
                    yield record
        finally:
            with contextlib.suppress(*CLIENT_ERRORS):
                await consumer.stop()

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Lane, int]:
        lanes = [lane for topic in topics for lane in await self._lanes(topic)]
        ends = await self._admin.ends(lanes)
        reached = await self._admin.positions(group)
        return {lane: end - max(first, reached.get(lane, 0)) for lane, (first, end) in ends.items()}

    async def rewind(self, group: str, topic: str, since: float) -> None:
        await self._admin.rewind(group, await self._lanes(topic), since)

    async def _lanes(self, topic: str) -> list[Lane]:
        return [(topic, partition) for partition in range(await self._known(topic))]

    async def _known(self, topic: str) -> int:
        """How many partitions a topic has; raises `Permanent` if there is no such topic.

        Asked before anything is sent: brokers may be set to make topics that nobody has made.
        """
        if topic not in self._partitions:
            await self._learn()
        if topic not in self._partitions:
            raise no_such_topic(topic)
        return self._partitions[topic]

    async def _learn(self) -> None:
        async with self._learning:
            self._partitions = {name: topic.partitions for name, topic in (await self._admin.topics()).items()}


def partition_of(key: bytes, partitions: int) -> int:
    """Where records of `key` go: what every Kafka client does by default."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
