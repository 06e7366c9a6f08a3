"""The runner over the bus: everything once at least, nobody waits for a slow neighbour, nothing is lost on the way."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from merpati.bus.api import Bus, Consumed, Record
from merpati.bus.memory import MemoryBus
from merpati.bus.sqlite import SqliteBus
from merpati.clock import SystemClock
from merpati.errors import Permanent, Unavailable
from merpati.events.topics import TopicSpec
from merpati.ids import SeededDice
from processors.runners.embedded import EmbeddedRunner

TOPICS = [TopicSpec("in", 2, 3600.0), TopicSpec("out", 2, 3600.0), TopicSpec("dead", 2, 3600.0)]


@pytest.fixture(params=["memory", "sqlite"])
async def bus(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[Bus]:  # type: ignore[no-untyped-def]
    clock, dice = SystemClock(), SeededDice(1)
    bus: Bus = MemoryBus(clock, dice) if request.param == "memory" else SqliteBus(tmp_path / "bus", clock, dice)
    await bus.start()
    await bus.ensure_topics(TOPICS)
    yield bus
    await bus.close()


async def copied(record: Consumed) -> list[Record]:
    return [Record("out", record.key, record.value)]


def park(record: Consumed, reason: str) -> list[Record]:
    return [Record("dead", record.key, record.value)]


def runner(bus: Bus, work=copied, **more: object) -> EmbeddedRunner:  # type: ignore[no-untyped-def]
    return EmbeddedRunner(bus, "g", "in", work, park, SystemClock(), **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(*runners: EmbeddedRunner, grace: float = 5.0) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in runners]
    try:
        yield
    finally:
        for each in runners:
            each.stop(grace)
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks)


async def values(bus: Bus, topic: str) -> list[bytes]:
    return [record.value async for record in bus.scan(topic)]


async def until(bus: Bus, topic: str, n: int) -> list[bytes]:
    for _ in range(1000):
        if len(found := await values(bus, topic)) >= n:
            return found
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{len(found)} of {n} in {topic}")


async def drained(bus: Bus) -> None:
    for _ in range(1000):
        if not sum((await bus.lag("g", ["in"])).values()):
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("records are left")


async def fill(bus: Bus, n: int, keys: int = 1000) -> None:
    await bus.publish([Record("in", b"%d" % (i % keys), b"%d" % i) for i in range(n)])


async def test_each_record_goes_through_and_is_acknowledged(bus: Bus) -> None:
    await fill(bus, 1000)
    async with running(runner(bus)):
        assert sorted(await until(bus, "out", 1000)) == sorted(b"%d" % i for i in range(1000))
    assert sum((await bus.lag("g", ["in"])).values()) == 0


async def test_records_of_one_key_keep_their_order(bus: Bus) -> None:
    async def work(record: Consumed) -> list[Record]:
        await asyncio.sleep(0.01 if int(record.value) % 3 else 0.0)
        return await copied(record)

    await fill(bus, 60, keys=5)
    async with running(runner(bus, work)):
        found = await until(bus, "out", 60)
    for key in range(5):
        mine = [int(value) for value in found if int(value) % 5 == key]
        assert mine == sorted(mine)


async def test_a_record_that_hangs_keeps_nobody_waiting(bus: Bus) -> None:
    hung = asyncio.Event()

    async def work(record: Consumed) -> list[Record]:
        if record.value == b"0":
            await hung.wait()
        return await copied(record)

    await fill(bus, 300)
    async with running(runner(bus, work)):
        assert b"0" not in await until(bus, "out", 299)
        assert sum((await bus.lag("g", ["in"])).values()) > 0  # the position waits for it
        hung.set()
        await until(bus, "out", 300)
    assert sum((await bus.lag("g", ["in"])).values()) == 0


@pytest.mark.slow
async def test_what_is_not_finished_in_time_comes_again_to_the_next(bus: Bus) -> None:
    async def work(record: Consumed) -> list[Record]:
        await asyncio.sleep(1000)
        return []

    await fill(bus, 5)
    async with running(runner(bus, work), grace=0.2):
        await asyncio.sleep(0.5)
    async with running(runner(bus)):
        assert len(await until(bus, "out", 5)) == 5


async def test_what_is_held_is_finished_before_it_stops(bus: Bus) -> None:
    async def work(record: Consumed) -> list[Record]:
        await asyncio.sleep(0.3)
        return await copied(record)

    await fill(bus, 50)
    async with running(runner(bus, work)):
        await asyncio.sleep(0.15)
    assert Counter(await values(bus, "out")) == Counter(b"%d" % i for i in range(50))
    assert sum((await bus.lag("g", ["in"])).values()) == 0


@pytest.mark.slow
async def test_memory_is_bounded_while_nothing_can_be_published(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    started = 0
    real, down = bus.publish, True

    async def publish(records: list[Record]) -> None:
        if down and any(record.topic == "out" for record in records):
            raise Unavailable("no bus")
        await real(records)

    async def work(record: Consumed) -> list[Record]:
        nonlocal started
        started += 1
        return await copied(record)

    monkeypatch.setattr(bus, "publish", publish)
    await fill(bus, 500)
    mine = runner(bus, work, in_flight=40)
    async with running(mine):
        await asyncio.sleep(0.8)
        assert started == 40 and mine.trouble == "no bus"
        down = False
        assert len(set(await until(bus, "out", 500))) == 500
        assert mine.trouble == ""


async def test_bytes_in_flight_are_bounded_too(bus: Bus) -> None:
    most = now = 0

    async def work(record: Consumed) -> list[Record]:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return []

    await bus.publish([Record("in", b"%d" % i, b"x" * 10_000) for i in range(100)])
    async with running(runner(bus, work, in_flight_bytes=50_000, in_flight=1000)):
        await drained(bus)
    assert most <= 256  # one taking may overshoot, not two


async def test_outputs_that_the_bus_refuses_are_parked_and_the_others_go_on(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bus.publish

    async def publish(records: list[Record]) -> None:
        if any(record.topic == "out" and record.value == b"7" for record in records):
            raise Permanent("too large")
        await real(records)

    monkeypatch.setattr(bus, "publish", publish)
    await fill(bus, 20)
    async with running(runner(bus)):
        await until(bus, "out", 19)
        assert await until(bus, "dead", 1) == [b"7"]


@pytest.mark.slow
async def test_work_that_raises_all_the_same_loses_nothing(bus: Bus) -> None:
    async def work(record: Consumed) -> list[Record]:
        if record.value == b"3":
            raise RuntimeError("bug")
        return await copied(record)

    await fill(bus, 10)
    async with running(runner(bus, work)):
        await until(bus, "out", 9)
    async with running(runner(bus)):
        assert b"3" in await until(bus, "out", 10)


@pytest.mark.slow
async def test_records_wait_until_they_are_due(bus: Bus) -> None:
    await fill(bus, 10)
    clock = asyncio.get_running_loop().time
    began = clock()
    mine = runner(bus, wait=lambda record: 0.6 if int(record.value) % 2 else 0.0)
    async with running(mine):
        await until(bus, "out", 5)
        assert clock() - began < 0.55
        await until(bus, "out", 10)
        assert clock() - began > 0.55


@pytest.mark.slow
async def test_two_members_share_the_work_and_one_that_goes_leaves_it_to_the_other(bus: Bus) -> None:
    seen: list[Counter[bytes]] = [Counter(), Counter()]

    def working(number: int):  # type: ignore[no-untyped-def]
        async def work(record: Consumed) -> list[Record]:
            seen[number][record.value] += 1
            await asyncio.sleep(0.01)
            return await copied(record)

        return work

    first, second = runner(bus, working(0)), runner(bus, working(1))
    async with running(first):
        async with running(second):
            await asyncio.sleep(0.5)
            await fill(bus, 400)
            await until(bus, "out", 300)
        await until(bus, "out", 400)
    assert seen[0] and seen[1]
    assert set(await values(bus, "out")) == {b"%d" % i for i in range(400)}
