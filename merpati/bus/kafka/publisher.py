"""Producing: an idempotent aiokafka producer that waits for all in-sync replicas, and is replaced when beyond help.

Called by `KafkaBus.publish`.  A producer that has lost its place in the brokers' sequence, or that leaves records
unanswered for too long, never recovers (aiokafka #1017); its unanswered records are sent again through a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from merpati.bus.api import Record
from merpati.bus.kafka.errors import CLIENT_ERRORS, PRODUCER_IS_LOST, door, mapped
from merpati.bus.kafka.options import ClientOptions
from merpati.bus.kafka.topics import BATCH_BYTES
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.telemetry import logger

PUBLISH_SECONDS = 20.0
"""How long brokers may take to acknowledge.  Longer than the change of a leader, and than a lone broker's restart."""
START_SECONDS = 10.0
CUT_SECONDS = 5.0
"""How long a producer that is thrown away may take to end."""
MOST_REQUEST_BYTES = 8 << 20


class _Line:
    """One producer in its lifetime.  It is `lost` once somebody found it to be beyond help."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def lost(self) -> bool:
        return self._lost.done()

    def lose(self) -> None:
        """Have whoever waits for this producer send through another."""
        if not self._lost.done():
            self._lost.set_result(None)

    async def send(self, records: Sequence[Record], timestamp_ms: int) -> list[Record]:
        """Send and wait for the answers; the records that were not acknowledged because the line was lost.

        Raises what the brokers answered if that is for good.
        """
        answers: list[asyncio.Future[Any]] = []
        try:
            for record in records:
                answers.append(await self._enqueue(record, timestamp_ms))
            await self._wait_for(answers)
        except PRODUCER_IS_LOST:
            self.lose()
        finally:
            for answer in answers:
                answer.add_done_callback(_error_of)  # one that comes too late is nobody's
        errors = [_error_of(answer) for answer in answers]
        for error in errors:
            if error is not None and not isinstance(error, PRODUCER_IS_LOST):
                raise error
        acknowledged = {place for place, answer in enumerate(answers) if answer.done() and errors[place] is None}
        return [record for place, record in enumerate(records) if place not in acknowledged]

    async def _enqueue(self, record: Record, timestamp_ms: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = await self.producer.send(
            record.topic,
            value=record.value,
            key=record.key,
            timestamp_ms=timestamp_ms,
            headers=list(record.headers),
        )
        return future

    async def _wait_for(self, answers: list[asyncio.Future[Any]]) -> None:
        """Until all are there, or one says that the line is lost, or somebody else does."""
        waiting = set(answers)
        while waiting and not self.lost:
            done, _ = await asyncio.wait({*waiting, self._lost}, return_when=asyncio.FIRST_COMPLETED)
            waiting -= done
            if any(isinstance(_error_of(answer), PRODUCER_IS_LOST) for answer in done):
                self.lose()


def _error_of(answer: asyncio.Future[Any]) -> BaseException | None:
    if not answer.done() or answer.cancelled():
        return None
    return answer.exception()


class Publisher:
    """The producer of a process.  The first record starts it."""

    def __init__(self, addresses: Sequence[str], options: ClientOptions, clock: Clock) -> None:
        self._parameters = {
            "bootstrap_servers": list(addresses),
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": options.compression,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": MOST_REQUEST_BYTES,
            # While one request is answered the next batch gathers: waiting on purpose would only add to it.
            "linger_ms": 0,
            **options.both,
        }
        self._clock = clock
        self._line: _Line | None = None
        self._starting = asyncio.Lock()
        self._cutting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._log = logger("bus")

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all in-sync replicas have every record.  Raises `Unavailable` or `Permanent`."""
        timestamp_ms = int(self._clock.time() * 1000)
        line: _Line | None = None
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                while records:
                    line = await self._current()
                    records = await line.send(records, timestamp_ms)
                    if line.lost:
                        self._replace(line, "lost its place")
        except TimeoutError as error:
            if line is not None:
                self._replace(line, "does not answer")
            raise Unavailable(
                "try again later", reason="Kafka did not acknowledge in time", records=len(records)
            ) from error
        except CLIENT_ERRORS as error:
            raise mapped(error) from error

    async def close(self) -> None:
        """Let what is under way be acknowledged, for a while, and end."""
        self._closed = True
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(TimeoutError, *CLIENT_ERRORS):
                async with asyncio.timeout(CUT_SECONDS):
                    await line.producer.flush()
            await _cut(line.producer)
        await asyncio.gather(*self._cutting)

    async def _current(self) -> _Line:
        async with self._starting:
            if self._closed:
                raise Unavailable("the bus is closed")
            if self._line is None:
                producer = AIOKafkaProducer(**self._parameters)
                try:
                    with door():
                        async with asyncio.timeout(START_SECONDS):
                            await producer.start()
                except BaseException:
                    self._cut_later(producer)
                    raise
                self._line = _Line(producer)
            return self._line

    def _replace(self, line: _Line, reason: str) -> None:
        """Throw a producer away; whoever waits for it sends again through the next."""
        line.lose()
        if self._line is line:
            self._log.warning("producer replaced", reason=reason)
            self._line = None
            self._cut_later(line.producer)

    def _cut_later(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_cut(producer))
        self._cutting.add(task)
        task.add_done_callback(self._cutting.discard)


async def _cut(producer: AIOKafkaProducer) -> None:
    """End a producer without waiting for answers: its own `stop` would flush, without end if it is wedged."""
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    with contextlib.suppress(*CLIENT_ERRORS, OSError):
        await producer.client.close()
    if sender is not None:
        await asyncio.wait({sender}, timeout=CUT_SECONDS)
    producer._closed = True
