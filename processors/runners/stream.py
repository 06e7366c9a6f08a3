"""The runner on Kafka with faust, in the one shape that loses nothing.  The only file that imports faust.

faust takes records, keeps the group and commits; nothing else of it is used: no tables, no web server, no command line,
and outputs go out through our own bus, which answers only when they are durable.  The shape, and why:

- one agent with concurrency 1: with more an offset past an unfinished message is committed (faust #606);
- `noack_take`: faust acknowledges nothing by itself;
- nothing leaves the loop's body but cancellation: an exception there acknowledges the event it happened on;
- the outputs of a batch are durable before its events are acknowledged, at the very end, in the order they came
  (`flight`): batches overlap, acknowledgements never do;
- an event that its processors hold up for longer than `PATIENCE` goes to the retry topic, and its partition goes on;
- a rebalance does not wait for the batch (`stream_wait_empty`): it may wait for a store that is down, and what is done
  twice is recognised by its sinks;
- a watchdog compares what is committed with what is there, and starts anew: consumers have stalled (#175, #532).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import faust
import faust.streams
from faust.types import TP
from faust.types.auth import CredentialsT

from merpati.bus.api import Bus, Consumed
from merpati.bus.kafka.options import client_options
from merpati.bus.publishing import Publisher
from merpati.clock import Clock
from merpati.errors import Misconfigured, Temporary
from merpati.telemetry import logger
from processors.runners.flight import Flight
from processors.working import Working

BATCH = 256
"""Events that are worked on and published together."""
WITHIN = 0.02
"""Seconds that an event waits for others to share its batch."""
BUFFERED = 256
"""Events that faust holds in memory beside the batches."""
FETCH = 2 << 20
"""Bytes of one partition in one fetch; more than the largest record."""
PATIENCE = 2.0
"""Seconds that an event's processors may hold up its batch."""
COMMIT = 1.0
"""Seconds between commits."""
CHECK = 5.0
"""Seconds between looks of the watchdog."""
STALL = 30.0
"""Seconds without a commit, while there is something to commit, after which everything is begun anew."""
STARTING = 60.0
ENDING = 15.0
"""Seconds that faust may take to start, and to stop."""
AGAIN = 2.0
"""Seconds between ending and beginning anew."""


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """Where Kafka is, as the settings say."""

    addresses: Sequence[str]
    """`host:port` each."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of `[bus.kafka]`."""
    prefix: str = ""
    """Before every topic and group."""


class _App(faust.App):
    """faust without its folders."""

    def _create_directories(self) -> None:
        """There is nothing to keep on a disk."""


class StreamRunner:
    """Takes the records of one topic for one group; `service.Runner`."""

    def __init__(self, place: KafkaPlace, group: str, topic: str, working: Working, bus: Bus, clock: Clock) -> None:
        if faust.streams._CStreamIterator is None:
            # The one written in Python acknowledges events that a rebalance made it skip
            raise Misconfigured("this faust-streaming has no compiled parts: install its wheel for this platform")
        self._place = place
        self._group = group
        self._topic = topic
        self._working = working
        self._bus = bus
        self._clock = clock
        self._publisher = Publisher(bus, clock)
        self._log = logger("processors")
        self._stopping = asyncio.Event()
        self._grace = 0.0
        self._flight: Flight | None = None
        self._state = "not joined to Kafka yet"
        self._left_behind = ""
        self._progress: dict[TP, tuple[int | None, float]] = {}

    @property
    def trouble(self) -> str:
        """What keeps it from working, or empty."""
        return self._publisher.trouble or self._state or self._left_behind

    async def run(self) -> None:
        """Work until `stop`; begin anew whenever faust crashes or stalls."""
        while not self._stopping.is_set():
            app = self._new_app()
            try:
                async with asyncio.timeout(STARTING):
                    await app.start()
                self._state = ""
                await self._watch(app)
                await self._drain()
            except TimeoutError:
                self._log.warning("faust does not start", seconds=STARTING)
            except Exception as error:  # whatever faust and its clients raise: the bus is away
                self._log.warning("faust ended", failure=f"{type(error).__name__}: {error}")
            finally:
                self._state = "not joined to Kafka yet"
                await self._end(app)
            await self._pause(AGAIN)

    def stop(self, grace: float) -> None:
        """Finish the batch that is worked on, take no other."""
        self._grace = grace
        self._stopping.set()

    # ---- the agent

    def _new_app(self) -> _App:
        options = client_options(self._place.options)
        seconds = options.session_ms / 1000
        app = _App(
            self._place.prefix + self._group,
            broker=";".join(f"kafka://{address}" for address in self._place.addresses),
            broker_client_id=options.both["client_id"],
            broker_credentials=_credentials(options.both),
            broker_session_timeout=seconds,
            broker_heartbeat_interval=seconds / 3,
            broker_request_timeout=max(seconds + 5.0, options.both["request_timeout_ms"] / 1000),
            broker_rebalance_timeout=30.0,
            broker_commit_interval=COMMIT,
            broker_max_poll_records=BATCH,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=FETCH,
            stream_buffer_maxsize=BUFFERED,
            stream_wait_empty=False,
            processing_guarantee="at_least_once",
            topic_allow_declare=False,
            topic_disable_leader=True,
            reply_create_topic=False,
            web_enabled=False,
            autodiscover=False,
            store="memory://",
        )
        topic = app.topic(
            self._place.prefix + self._topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )
        app.agent(topic, concurrency=1, name="merpati")(self._agent)
        return app

    async def _agent(self, stream: Any) -> None:
        flight = self._flight = Flight(self._batch, stream.ack)
        try:
            async for events in stream.noack_take(BATCH, within=WITHIN):
                if self._stopping.is_set():
                    await asyncio.Event().wait()  # until faust cancels: these belong to the next member
                await flight.add(events, sum(len(event.message.value or b"") for event in events))
        finally:
            await flight.close()

    async def _batch(self, events: Sequence[Any]) -> None:
        """Everything these events cause, durable.  Raises nothing but cancellation."""
        records = [self._consumed(event.message) for event in events]
        while True:
            try:
                outputs = await asyncio.gather(*(self._working.work(record, PATIENCE) for record in records))
                parks = [_Park(self._working, record) for record in records]
                await self._publisher.publish(list(zip(outputs, parks, strict=True)))
                return
            except Exception:
                # A bug.  An exception may not leave: the events would count as done
                self._log.exception("batch failed, once more", first=records[0].offset, records=len(records))
                await self._clock.sleep(AGAIN)

    def _consumed(self, message: Any) -> Consumed:
        headers = message.headers or ()
        return Consumed(
            topic=message.topic.removeprefix(self._place.prefix),
            partition=message.partition,
            offset=message.offset,
            timestamp=message.timestamp or 0.0,
            key=message.key or b"",
            value=message.value or b"",
            headers=tuple((name, value) for name, value in (headers.items() if isinstance(headers, dict) else headers)),
        )

    # ---- the watchdog

    async def _watch(self, app: _App) -> None:
        """Return when it is time to end this app."""
        self._progress.clear()
        while not self._stopping.is_set():
            await self._pause(CHECK)
            if app.should_stop:
                self._log.warning("faust stopped by itself", failure=repr(app.crash_reason))
                return
            if stalled := await self._stalled(app):
                self._log.warning("consumer stalls, beginning anew", partitions=stalled)
                return

    async def _stalled(self, app: _App) -> list[int]:
        """The partitions of ours that hold records and whose position has not moved for `STALL` seconds."""
        try:
            lag = await self._bus.lag(self._group, [self._topic])
            held = app.consumer.assignment()
        except (Temporary, faust.exceptions.ConsumerNotStarted):
            return []
        now = self._clock.monotonic()
        stalled = []
        for tp in held:
            committed = app.monitor.tp_committed_offsets.get(tp)
            before, since = self._progress.get(tp, (committed, now))
            waiting = lag.get((self._topic, tp.partition), 0) > 0 and self._idle
            if committed != before or not waiting:
                since = now
            self._progress[tp] = (committed, since)
            if now - since > STALL:
                stalled.append(tp.partition)
        return stalled

    # ---- ending

    @property
    def _idle(self) -> bool:
        """Whether no batch is under way: one may wait for the store for long, and is no stall."""
        return self._flight is None or self._flight.idle.is_set()

    async def _drain(self) -> None:
        """Let the batches that are under way come to their end."""
        if self._flight is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    await self._flight.idle.wait()

    async def _end(self, app: _App) -> None:
        """Stop faust: it commits what was acknowledged and leaves the group."""
        try:
            async with asyncio.timeout(ENDING):
                await app.stop()
        except Exception as error:
            # Its thread may still hold partitions, and nothing in this process can take them from it
            self._log.error("faust does not stop", failure=f"{type(error).__name__}: {error}")
            self._left_behind = "a consumer did not stop: restart this process"

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless it is time to stop."""
        stop = asyncio.create_task(self._stopping.wait())
        sleep = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait([stop, sleep], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stop, sleep):
                task.cancel()


class _Park:
    """What to publish for a record whose outputs the bus refuses."""

    def __init__(self, working: Working, record: Consumed) -> None:
        self._working = working
        self._record = record

    def __call__(self, reason: str) -> Sequence[Any]:
        return self._working.refused(self._record, reason)


def _credentials(client: Mapping[str, Any]) -> CredentialsT | None:
    """The clients' parameters as faust wants them."""
    context = client.get("ssl_context")
    mechanism = client.get("sasl_mechanism")
    if mechanism == "GSSAPI":
        service = client["sasl_kerberos_service_name"]
        return faust.GSSAPICredentials(kerberos_service_name=service, ssl_context=context, mechanism=mechanism)
    if mechanism:
        return faust.SASLCredentials(
            username=client["sasl_plain_username"],
            password=client["sasl_plain_password"],
            ssl_context=context,
            mechanism=mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None
