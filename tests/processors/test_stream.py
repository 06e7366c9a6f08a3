"""The runner on real Kafka with faust: nothing is lost, whoever joins, leaves, fails, hangs, stalls or is killed."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from merpati.bus.api import Consumed, Record
from merpati.bus.kafka import KafkaBus, addresses_of
from merpati.bus.prefixed import PrefixedBus
from merpati.clock import SystemClock
from merpati.events import Dead, Local, decode, encode, topic_specs
from merpati.ids import SeededDice, SystemDice
from merpati.net.dns import StaticResolver
from merpati.service import running as running_service
from merpati.settings import ProcessorSettings
from processors.runners import stream as module
from processors.runners.stream import KafkaPlace, StreamRunner
from processors.service import ProcessorsService
from processors.working import TIER, Working
from tests.processors.site import RAW, RETRY, Says, Site

pytestmark = pytest.mark.live


class Lane:
    """A topic prefix of this test's own on Kafka, with a site behind it."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url, self.prefix = url, prefix + "."
        self.bus = PrefixedBus(KafkaBus(addresses_of(url), {}, SystemClock(), SystemDice()), self.prefix)
        self.site = Site(SystemClock())

    async def open(self) -> "Lane":
        await self.site.open()
        await self.bus.start()
        await self.bus.ensure_topics(topic_specs(4, (TIER,)))
        return self

    def runner(self, working: Working | None = None) -> StreamRunner:
        place = KafkaPlace(addresses_of(self.url), {}, self.prefix)
        return StreamRunner(
            place, "processors", "mail.received", working or self.site.working(), self.bus, SystemClock()
        )

    async def send(self, n: int) -> set[str]:
        """`n` messages for bob; their ids."""
        events = [self.site.received() for _ in range(n)]
        await self.bus.publish([encode(event, RAW) for event in events])
        return {event.message for event in events}

    async def stored(self) -> Counter[str]:
        """How often each message was handed to local delivery."""
        events = [decode(record) async for record in self.bus.scan("mail.local")]
        return Counter(event.message for event in events if isinstance(event, Local))

    async def lag(self) -> int:
        return sum((await self.bus.lag("processors", ["mail.received"])).values())

    async def until_acknowledged(self, seconds: float = 60.0) -> None:
        async def holds() -> bool:
            return await self.lag() == 0

        await self.until(holds, seconds)

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
        for _ in range(int(seconds / 0.2)):
            if await holds():
                return
            await asyncio.sleep(0.2)
        raise TimeoutError

    async def until_stored(self, messages: set[str], seconds: float = 60.0) -> Counter[str]:
        async def holds() -> bool:
            return messages <= set(await self.stored())

        await self.until(holds, seconds)
        return await self.stored()


@pytest.fixture
async def lane(kafka_url: str, unique: str) -> AsyncIterator[Lane]:
    lane = await Lane(kafka_url, unique).open()
    yield lane
    await lane.bus.close()


@contextlib.asynccontextmanager
async def running(*runners: StreamRunner) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in runners]
    try:
        yield
    finally:
        for each in runners:
            each.stop(10)
        async with asyncio.timeout(40):
            await asyncio.gather(*tasks)


async def test_each_message_goes_through_once_and_is_acknowledged(lane: Lane) -> None:
    sent = await lane.send(1000)
    runner = lane.runner()
    assert runner.trouble == "not joined to Kafka yet"
    async with running(runner):
        stored = await lane.until_stored(sent)
        assert runner.trouble == ""
        late = await lane.send(3)
        await lane.until_stored(late)
    assert set(stored.values()) == {1}
    assert await lane.lag() == 0


async def test_what_nobody_can_read_is_parked_and_the_partition_goes_on(lane: Lane) -> None:
    junk = [Record("mail.received", b"k%d" % n, b"junk") for n in range(8)]
    null = Record("mail.received", b"", b"", (("merpati", b"\xff"), ("merpati", b"{}")))
    await lane.bus.publish([*junk, null])
    sent = await lane.send(50)
    async with running(lane.runner()):
        await lane.until_stored(sent)
    dead = [decode(record) async for record in lane.bus.scan("mail.dead")]
    assert len(dead) == 9 and all(isinstance(one, Dead) and one.topic == "mail.received" for one in dead)
    assert await lane.lag() == 0


async def test_a_processor_that_hangs_holds_up_its_own_message_only(lane: Lane) -> None:
    class Hangs(Says):
        async def process(self, mail):  # type: ignore[no-untyped-def]
            if mail.subject == "hello" and mail.id in hung:
                await asyncio.sleep(1000)

    hung: set[str] = set()
    working = lane.site.working((Hangs(None), {"timeout": "60s"}))
    async with running(lane.runner(working)):
        await lane.until_stored(await lane.send(1))
        events = [lane.site.received() for _ in range(20)]
        hung.add(events[0].message)
        began = asyncio.get_running_loop().time()
        await lane.bus.publish([encode(event, RAW) for event in events])
        await lane.until_stored({event.message for event in events[1:]})
        later = await lane.send(20)
        await lane.until_stored(later)
        assert asyncio.get_running_loop().time() - began < module.PATIENCE + 6
    waiting = [decode(record) async for record in lane.bus.scan(RETRY)]
    assert [event.message for event in waiting] == [events[0].message]  # type: ignore[union-attr]


async def test_a_bug_in_the_middle_acknowledges_nothing(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.2)
    working = lane.site.working()
    real, failures = working.work, 5

    async def work(record: Consumed, patience: float | None = None) -> list[Record]:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("a bug where there must be none")
        return await real(record, patience)

    monkeypatch.setattr(working, "work", work)
    sent = await lane.send(30)
    async with running(lane.runner(working)):
        await lane.until_stored(sent)
    assert failures == 0


async def test_members_that_come_and_go_lose_nothing(lane: Lane) -> None:
    sent: set[str] = set()
    async with running(lane.runner()):
        for _ in range(2):
            async with running(lane.runner()):
                for _ in range(8):
                    sent |= await lane.send(50)
                    await asyncio.sleep(0.4)
            sent |= await lane.send(50)
        stored = await lane.until_stored(sent)
    assert sum(stored.values()) < 1.5 * len(sent)


async def test_a_consumer_that_stalls_is_begun_anew(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL", 2.0)
    monkeypatch.setattr(module, "CHECK", 0.5)
    runner = lane.runner()
    real, made = runner._new_app, 0

    def new_app():  # type: ignore[no-untyped-def]
        nonlocal made
        made += 1
        app = real()
        if made == 1:  # this one forgets what was acknowledged, as a gap in the offsets makes it
            app.consumer._filter_committable_offsets = lambda tps: {}  # type: ignore[attr-defined]
        return app

    monkeypatch.setattr(runner, "_new_app", new_app)
    sent = await lane.send(20)
    async with running(runner):
        await lane.until_stored(sent)
        await lane.until_acknowledged()
    assert made == 2


async def test_the_service_works_on_kafka_second_tries_included(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.working.TIER", ("processing", 1.0))
    monkeypatch.setattr("processors.working.RETRIES", 1)
    site = lane.site
    place = KafkaPlace(addresses_of(lane.url), {}, lane.prefix)
    service = ProcessorsService(
        lane.bus,
        site.store,
        site.directory,
        StaticResolver({}, SeededDice(1)),
        [ProcessorSettings(use="tests.processors.hostile:Hostile", name="hostile", timeout="1s")],
        SystemClock(),
        "mx.site.test",
        site.metrics,
        runner=lambda working: StreamRunner(place, "processors", "mail.received", working, lane.bus, SystemClock()),
    )
    raw = b"Subject: raise\r\n\r\nx\r\n"
    poison = site.received(raw=raw)
    async with running_service(service):
        await lane.bus.publish([encode(poison, raw)])
        await lane.until_stored(await lane.send(20))

        async def holds() -> bool:
            return bool([record async for record in lane.bus.scan("mail.dead")])

        await lane.until(holds)
        assert service.ready() == ""
    (dead,) = [decode(record) async for record in lane.bus.scan("mail.dead")]
    assert isinstance(dead, Dead) and dead.message == poison.message and dead.topic == RETRY


@pytest.mark.slow
async def test_a_process_that_is_killed_again_and_again_loses_nothing(lane: Lane) -> None:
    async def start() -> asyncio.subprocess.Process:
        arguments = ("-m", "tests.processors.stream_program", lane.url, lane.prefix)
        return await asyncio.create_subprocess_exec(sys.executable, *arguments)

    sent: set[str] = set()
    steady, victim = await start(), await start()
    try:
        for round_ in range(4):
            for _ in range(12):
                sent |= await lane.send(40)
                await asyncio.sleep(0.25)
            victim.kill()
            await victim.wait()
            if round_ < 3:
                victim = await start()
        stored = await lane.until_stored(sent, 90)
        assert sum(stored.values()) < 1.5 * len(sent)
        # the group has to notice first that the victim is dead, and that may undo a commit
        await lane.until_acknowledged(90)
    finally:
        with contextlib.suppress(ProcessLookupError):
            victim.kill()
        steady.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(steady.wait(), 40) == 0
