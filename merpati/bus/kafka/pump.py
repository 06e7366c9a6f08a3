"""The thread that drives kafka-python's consumer: it polls, fills the inbox, pauses when that is full, and keeps watch.

Made by `subscription`, which replaces a pump that no longer turns.  Inside, the pump replaces a consumer that has
failed, or that brings nothing although the log has grown (aiokafka #1154 and its like).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence
from typing import Any

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from merpati.bus.api import Consumed
from merpati.bus.kafka.errors import mapped
from merpati.bus.kafka.inbox import Inbox
from merpati.bus.kafka.options import ClientOptions
from merpati.bus.kafka.reach import reach
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.telemetry import logger

POLL_SECONDS = 0.2
JOIN_SECONDS = 1.0
"""Of one poll while the group is sharing out its partitions."""
FULL_SECONDS = 0.1
"""Between polls while there is no room: they keep the membership alive."""
POLL_RECORDS = 500
RECORD_BYTES = 32 << 10
"""What a record has, about: so many fewer records are polled at once into a small buffer."""
PARTITION_BYTES = (1 << 20) + (64 << 10)
"""Fetched of one partition in one go, or one batch if that is larger."""
AGAIN_SECONDS = 1.0
"""Before a consumer that failed is replaced."""
BOOTSTRAP_SECONDS = 15.0
WATCH_SECONDS = 5.0
"""Between looks at whether the log grows while nothing comes."""
STALLS = 3
"""Looks in a row that find a consumer standing still before a log that has grown, and it is replaced."""
UNSETTLED = 6
"""Looks in a row that find it still joining its group, and it is replaced."""
HANDOVER_SECONDS = 5.0
"""How long a partition that goes to another waits for what was taken from it to be finished and committed."""
LEAVE_SECONDS = 3.0
POLLS_TO_LEAVE = 0.02


class _Stalled(Exception):
    """The consumer stands still before a log that has grown."""


class Pump:
    """One member's consumer and its thread."""

    def __init__(
        self,
        addresses: Sequence[str],
        options: ClientOptions,
        group: str,
        topics: Sequence[str],
        inbox: Inbox,
        clock: Clock,
        buffer_bytes: int,
    ) -> None:
        self.inbox = inbox
        self.trouble: BaseException | None = None
        """Why nothing comes, as the rest of the project knows it; None while Kafka answers."""
        self.beat = clock.monotonic()
        """When the thread last came around."""
        self.reached = threading.Event()
        """Set once a consumer was made, or could not be."""
        self._topics = list(topics)
        self._clock = clock
        self._stop = threading.Event()
        self._consumer: Any = None
        self._log = logger("bus")
        self._group = group
        self._parameters = _parameters(addresses, options, group, buffer_bytes)
        self._thread = threading.Thread(target=self._main, name=f"kafka-{group}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leave the group and end; returns at once."""
        self._stop.set()
        self.inbox.room.set()

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        self._thread.join(seconds)

    def commit(self, positions: dict[tuple[str, int], int], seconds: float) -> None:
        """Make positions durable; raises what the client raises.  From any thread but the pump's own.

        kafka-python hands the request to its own thread, which is why this may be called while the pump polls.
        """
        consumer = self._consumer
        if consumer is None:
            raise KafkaError("there is no consumer at the moment")
        offsets = {TopicPartition(*lane): _position(position) for lane, position in positions.items()}
        consumer.commit(offsets, timeout_ms=int(seconds * 1000))

    def _main(self) -> None:
        while not self._stop.is_set():
            try:
                self._consume()
            except _Stalled:
                self._log.warning("consumer replaced", group=self._group, reason="stands still")
            except (Unavailable, KafkaError, OSError, RuntimeError) as error:
                # RuntimeError is how this client says that its loop has broken
                self.trouble = mapped(error)
                self._log.warning("consumer failed", group=self._group, failure=f"{type(error).__name__}: {error}")
            self.reached.set()
            self._stop.wait(0 if self._stop.is_set() else AGAIN_SECONDS)

    def _consume(self) -> None:
        """One consumer from its making to its end."""
        self.beat = self._clock.monotonic()
        reach(self._parameters["bootstrap_servers"])
        consumer = KafkaConsumer(**self._parameters)
        try:
            consumer.subscribe(self._topics, listener=_Listener(self, consumer))
            for topic in self._topics:
                # Joining before it knows the partitions, this client assigns none, joins again, and can lose the
                # answer (3.0.12: a poll that ends while SyncGroup is under way forgets that it was joining).
                consumer.partitions_for_topic(topic)
            self._consumer = consumer
            self.reached.set()
            self.trouble = None
            self._turn(consumer)
        finally:
            self._consumer = None
            self.inbox.clear()
            with contextlib.suppress(KafkaError, OSError, RuntimeError):
                consumer.close(autocommit=False, timeout_ms=int(LEAVE_SECONDS * 1000))

    def _turn(self, consumer: Any) -> None:
        watch = _Watch(self, consumer, self._clock)
        while not self._stop.is_set():
            self.beat = self._clock.monotonic()
            full = not self.inbox.room.is_set()
            _pause(consumer, full)
            seconds = 0.0 if full else POLL_SECONDS if _settled(consumer) else JOIN_SECONDS
            polled = consumer.poll(timeout_ms=int(seconds * 1000))
            if polled:
                self.trouble = None
                self.inbox.put([_consumed(record) for records in polled.values() for record in records])
            if full:
                self.inbox.room.wait(FULL_SECONDS)
            watch.look(came=bool(polled), paused=full)


class _Listener(AsyncConsumerRebalanceListener):
    """Told by the client, in its own thread, which partitions come and go."""

    def __init__(self, pump: Pump, consumer: Any) -> None:
        self._pump = pump
        self._consumer = consumer

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._pump.inbox.assign({tuple(one) for one in assigned})

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Let what was taken be finished and committed first: what is not comes to the next member a second time."""
        lanes = {tuple(one) for one in revoked}
        self._pump.inbox.withhold(lanes)
        for _ in range(int(HANDOVER_SECONDS / POLLS_TO_LEAVE)):
            if self._pump._stop.is_set() or self._pump.inbox.settled(lanes):
                break
            # the client's own loop is asked to sleep: heartbeats and commits go on
            await self._consumer._net.sleep(POLLS_TO_LEAVE)
        self._pump.inbox.revoke(lanes)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._pump.inbox.revoke({tuple(one) for one in lost})


class _Watch:
    """Looks now and then, while nothing comes, at whether the log has grown past where the consumer stands."""

    def __init__(self, pump: Pump, consumer: Any, clock: Clock) -> None:
        self._pump = pump
        self._consumer = consumer
        self._clock = clock
        self._next = clock.monotonic() + WATCH_SECONDS
        self._came = False
        self._stalls = 0
        self._unsettled = 0

    def look(self, *, came: bool, paused: bool) -> None:
        """Raises `_Stalled`, or KafkaError if no broker answers."""
        self._came = self._came or came or paused
        if self._clock.monotonic() >= self._next:
            quiet, self._came = not self._came, False
            self._unsettled = 0 if _settled(self._consumer) else self._unsettled + 1
            self._stalls = self._stalls + 1 if quiet and self._behind() else 0
            if self._stalls >= STALLS or self._unsettled >= UNSETTLED:
                raise _Stalled
            self._next = self._clock.monotonic() + WATCH_SECONDS

    def _behind(self) -> bool:
        assigned = self._consumer.assignment()
        if not assigned:
            return False
        milliseconds = int(WATCH_SECONDS * 1000)
        try:
            ends = self._consumer.end_offsets(list(assigned), timeout_ms=milliseconds)
            behind = any((self._consumer.position(one, timeout_ms=milliseconds) or 0) < ends[one] for one in assigned)
        except KafkaError as error:
            # Brokers that are down bring nothing either; the consumer may well go on once they are back.
            self._pump.trouble = mapped(error)
            return False
        self._pump.trouble = None
        return behind


def _parameters(addresses: Sequence[str], options: ClientOptions, group: str, buffer_bytes: int) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(addresses),
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "group_id": group,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "partition_assignment_strategy": [CooperativeStickyAssignor],
        "session_timeout_ms": options.session_ms,
        "heartbeat_interval_ms": max(options.session_ms // 5, 100),
        "max_poll_records": min(POLL_RECORDS, max(1, buffer_bytes // RECORD_BYTES)),
        "max_partition_fetch_bytes": min(PARTITION_BYTES, buffer_bytes // 2),
        "fetch_max_bytes": buffer_bytes // 2,
        "reconnect_backoff_max_ms": 1000,
        "metrics_enabled": False,
        **options.both,
    }


def _settled(consumer: Any) -> bool:
    """Whether the client is a member of its group in good standing."""
    return consumer.group_metadata().state is MemberState.STABLE


def _pause(consumer: Any, full: bool) -> None:
    assigned, paused = consumer.assignment() or set(), consumer.paused()
    if full and assigned - paused:
        consumer.pause(*(assigned - paused))
    elif not full and paused:
        consumer.resume(*(paused & assigned))


def _position(offset: int) -> Any:
    return OffsetAndMetadata(offset, "", -1)


def _consumed(record: Any) -> Consumed:
    return Consumed(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp / 1000,
        key=record.key or b"",
        value=record.value or b"",
        headers=tuple((name, value or b"") for name, value in record.headers),
    )
