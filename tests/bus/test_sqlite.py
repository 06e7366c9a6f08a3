"""The embedded bus keeps the contract, between processes and through kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.bus.api import Bus, Lagged, Record
from merpati.bus.sqlite import SqliteBus, presence
from merpati.clock import SystemClock
from merpati.events.topics import TopicSpec
from merpati.ids import SystemDice
from tests.bus.contract import BusContract
from tests.bus.engines import Program, UrlEngine, churn, closing, drain, numbers, record, sqlite_engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[UrlEngine]:
    engine = sqlite_engine(tmp_path)
    async with closing(engine):
        yield engine


class TestSqlite(BusContract):
    pass


class SetClock(SystemClock):
    """The machine's clock, set wrong by `ahead` seconds."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


async def a_bus(folder: Path, clock: SystemClock | None = None) -> SqliteBus:
    bus = SqliteBus(folder, clock or SystemClock(), SystemDice())
    await bus.start()
    return bus


async def everything(bus: Bus, topic: str) -> list[int]:
    return [int(one.value) async for one in bus.scan(topic)]


async def test_what_was_acknowledged_survives_kill_9_in_mid_burst(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)
    async with Program(engine, "publish", topic, 0, 100_000, 20) as publisher:
        assert await publisher.line() == "started"
        acknowledged = [await publisher.line() for _ in range(500)]
        publisher.process.kill()
        acknowledged += [n for n in await publisher.rest() if isinstance(n, int)]
    found = await everything(bus, topic)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    await bus.publish([record(topic, 777_777)])


@pytest.mark.slow
async def test_processes_that_publish_at_once_lose_nothing_and_keep_the_order_of_a_key(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)
    programs = [Program(engine, "publish", topic, start, 400, 1) for start in (0, 1000, 2000)]
    for program in programs:
        await program.__aenter__()
    for program in programs:
        assert (await program.rest())[-1] == "finished"
        await program.kill()
    by_key: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    async for one in bus.scan(topic):
        by_key[one.key, int(one.value) // 1000].append(int(one.value))
    assert sum(map(len, by_key.values())) == 1200
    assert all(got == sorted(got) for got in by_key.values())


@pytest.mark.slow
async def test_a_record_reaches_another_process_within_milliseconds(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)
    async with Program(engine, "follow", topic) as follower:
        assert await follower.line() == "joined"
        delays = []
        for _ in range(60):
            await bus.publish([Record(topic, b"k", repr(time.time()).encode())])
            delays += await follower.line()
            await asyncio.sleep(0.01)
    # from before the publish, so the sync to the disk is counted
    assert statistics.median(delays) < 0.010


def switches(pid: int) -> int:
    """How often the threads of a process went to sleep so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        total += int(lines["voluntary_ctxt_switches"])
    return total


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
async def test_a_process_that_waits_does_not_spin(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic, elsewhere = await engine.topic(bus), await engine.topic(bus)
    async with Program(engine, "hold", "group", topic) as waiting:
        assert await waiting.line() == "joined"
        await asyncio.sleep(1.5)
        before, cpu = switches(waiting.pid), cpu_seconds(waiting.pid)
        for n in range(50):  # what does not concern it does not wake it
            await bus.publish([record(elsewhere, n)])
        await asyncio.sleep(2.0)
        assert switches(waiting.pid) - before < 60
        assert cpu_seconds(waiting.pid) - cpu <= 0.05


@pytest.mark.slow
async def test_members_killed_again_and_again_lose_nothing(engine: UrlEngine) -> None:
    topic = await engine.topic(await engine.open(), partitions=6)
    assert await churn(engine, topic, "group", rounds=12, pause=0.5) == set(range(1200))


@pytest.mark.slow
async def test_a_stopped_member_gives_way_and_comes_back(engine: UrlEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "STALE_SECONDS", 1.5)
    bus = await engine.open()
    topic = await engine.topic(bus)
    async with bus.subscribe("group", [topic]) as stays, Program(engine, "work", "group", topic) as stopped:
        assert await stopped.line() == "joined"
        while len(stays.assigned) != 2:
            await stays.take(1, 0.1)
        stopped.signal(signal.SIGSTOP)
        await bus.publish([record(topic, n) for n in range(40)])
        taken = await drain(stays, 40, 10.0)
        assert sorted(numbers(taken)) == list(range(40))
        assert len(stays.assigned) == 4
        await stays.done(taken)
        stopped.signal(signal.SIGCONT)
        until = time.monotonic() + 10
        while len(stays.assigned) != 2 and time.monotonic() < until:
            await stays.take(1, 0.1)
        assert len(stays.assigned) == 2
        assert sum((await bus.lag("group", [topic])).values()) == 0


async def test_what_a_dead_process_left_behind_is_removed(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)
    async with Program(engine, "hold", "group", topic) as doomed:
        assert await doomed.line() == "joined"
    folder = engine.data / "bus"
    async with bus.subscribe("group", [topic]) as heir:
        await bus.publish([record(topic, n) for n in range(8)])
        assert len(await drain(heir, 8, 10.0)) == 8
        own = {path.name for path in (folder / "processes").iterdir()}
        assert len(own) == 1
        assert {path.name for path in (folder / "wake").rglob("*") if path.is_socket()} == own


async def test_a_deep_folder_is_no_hindrance(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / ("d" * 100) / ("e" * 100))
    async with closing(engine):
        bus, other = await engine.open(), await engine.open()
        topic = await engine.topic(bus)
        async with other.tail([topic]) as tail:
            waiting = asyncio.create_task(tail.take(1, 1.0))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await bus.publish([record(topic, 1)])
            assert numbers(await waiting) == [1]
            assert time.monotonic() - began < 0.5


async def test_offsets_never_come_back_and_the_file_shrinks(tmp_path: Path) -> None:
    clock = SetClock()
    bus = await a_bus(tmp_path, clock)
    await bus.ensure_topics([TopicSpec("short", 1, 60.0), TopicSpec("long", 1, 6000.0)])
    for start in range(0, 1200, 100):
        await bus.publish([record("short", n, size=30_000) for n in range(start, start + 100)])
    await bus.publish([record("long", 1)])
    async with bus.tail(["short"], since=0.0) as tail:
        clock.ahead = 61.0
        assert await bus.retain() == 1200
        with pytest.raises(Lagged):
            await tail.take(10, 0.0)
        await bus.publish([record("short", 5000)])
        assert numbers(await tail.take(10, 0.0)) == [5000]
    assert [one.offset async for one in bus.scan("short")] == [1200]
    assert await everything(bus, "long") == [1]
    assert await bus.lag("new", ["short"]) == {("short", 0): 1}
    async with bus.subscribe("new", ["short"]) as member:
        assert numbers(await member.take(10, 1.0)) == [5000]
    await bus.close()
    assert (tmp_path / "log.db").stat().st_size < 24 << 20


@pytest.mark.slow
async def test_deleting_does_not_make_publishers_wait(tmp_path: Path) -> None:
    clock = SetClock()
    bus = await a_bus(tmp_path, clock)
    await bus.ensure_topics([TopicSpec("t", 4, 60.0)])
    for start in range(0, 6000, 500):
        await bus.publish([record("t", n, size=8192) for n in range(start, start + 500)])
    clock.ahead = 61.0
    deleting = asyncio.create_task(bus.retain())
    waits = []
    while not deleting.done():
        began = time.monotonic()
        await bus.publish([record("t", 9999)])
        waits.append(time.monotonic() - began)
    assert await deleting == 6000
    assert statistics.median(waits) < 0.05
    await bus.close()


async def test_a_clock_set_back_hides_nothing_from_a_search_by_time(tmp_path: Path) -> None:
    clock = SetClock()
    bus = await a_bus(tmp_path, clock)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    for n, ahead in enumerate((0.0, 3600.0, -3600.0, 0.0)):
        clock.ahead = ahead
        await bus.publish([record("t", n)])
    now = time.time()
    assert [int(one.value) async for one in bus.scan("t", since=now - 60)] == [0, 1, 3]
    assert [int(one.value) async for one in bus.scan("t", since=now - 60, until=now + 60)] == [0, 3]
    assert [int(one.value) async for one in bus.scan("t", since=now - 7200, until=now - 60)] == [2]
    await bus.close()


async def test_a_busy_event_loop_does_not_starve_the_writer(tmp_path: Path) -> None:
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 4, 1e6)])
    stop = asyncio.Event()

    async def spin() -> None:
        while not stop.is_set():
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    spinning = asyncio.create_task(spin())
    began = time.monotonic()
    await asyncio.gather(*(bus.publish([record("t", n, size=8192)]) for n in range(200)))
    took = time.monotonic() - began
    stop.set()
    await spinning
    assert took < 1.0
    await bus.close()
