"""The embedded bus when its disk is full, its file is broken or locked, or one of its users misbehaves."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.bus.api import Bus, Record
from merpati.bus.sqlite import SqliteBus, groups, schema, writer
from merpati.clock import SystemClock
from merpati.errors import Misconfigured, Unavailable
from merpati.events.topics import TopicSpec
from merpati.ids import SystemDice
from tests.bus.engines import Program, UrlEngine, closing, record, sqlite_engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[UrlEngine]:
    engine = sqlite_engine(tmp_path)
    async with closing(engine):
        yield engine


async def a_bus(folder: Path, clock: SystemClock | None = None) -> SqliteBus:
    bus = SqliteBus(folder, clock or SystemClock(), SystemDice())
    await bus.start()
    return bus


async def everything(bus: Bus, topic: str) -> list[int]:
    return [int(one.value) async for one in bus.scan(topic)]


async def test_a_full_disk_is_unavailable_and_loses_nothing(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)
    async with Program(engine, "fill", topic) as full:
        said = await full.rest()
    acknowledged = [n for n in said if isinstance(n, int)]
    assert any(isinstance(one, dict) for one in said), "the disk was never full"
    assert acknowledged[-1] == 5000
    assert set(acknowledged) <= set(await everything(bus, topic))


async def test_a_file_that_is_no_log_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"no database at all" * 1000)
    bus = SqliteBus(tmp_path, SystemClock(), SystemDice())
    with pytest.raises(Unavailable):
        await bus.start()
    await bus.close()


async def test_a_log_broken_while_in_use_is_unavailable(tmp_path: Path) -> None:
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    await bus.publish([record("t", n, size=5000) for n in range(300)])
    await bus.close()
    with (tmp_path / "log.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 400_000)
    bus = SqliteBus(tmp_path, SystemClock(), SystemDice())
    with pytest.raises(Unavailable):
        await bus.start()
        await everything(bus, "t")
    await bus.close()


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bus = SqliteBus(tmp_path / "file" / "bus", SystemClock(), SystemDice())
    with pytest.raises(Unavailable):
        await bus.start()
    await bus.close()


async def test_a_log_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    await (await a_bus(tmp_path)).close()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    bus = SqliteBus(tmp_path, SystemClock(), SystemDice())
    with pytest.raises(Misconfigured):
        await bus.start()
    await bus.close()


async def test_a_log_locked_by_a_stranger_is_unavailable_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.2)
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    stranger = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await bus.publish([record("t", 1)])
    stranger.execute("ROLLBACK")
    stranger.close()
    await bus.publish([record("t", 2)])
    assert await everything(bus, "t") == [2]
    await bus.close()


@pytest.mark.slow
async def test_a_writer_that_never_gets_its_turn_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WRITE_SECONDS", 0.5)
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    turn = os.open(tmp_path / "log.turn", os.O_RDWR)
    fcntl.flock(turn, fcntl.LOCK_EX)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(bus.publish([record("t", 1)]), 5.0)
    os.close(turn)
    await bus.publish([record("t", 2)])
    assert await everything(bus, "t") == [1, 2]  # "some may be written all the same"
    await bus.close()


@pytest.mark.slow
async def test_a_member_that_could_not_leave_leaves_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WRITE_SECONDS", 0.5)
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 2, 1e6)])
    turn = os.open(tmp_path / "log.turn", os.O_RDWR)
    async with bus.subscribe("g", ["t"]) as one:
        assert len(one.assigned) == 2
        fcntl.flock(turn, fcntl.LOCK_EX)
    with pytest.raises(Unavailable):
        async with bus.subscribe("g", ["t"]):
            pass
    os.close(turn)
    async with bus.subscribe("g", ["t"]) as heir:
        until = time.monotonic() + 5.0
        while len(heir.assigned) != 2 and time.monotonic() < until:
            await heir.take(1, 0.1)
        assert len(heir.assigned) == 2
    await bus.close()


async def test_a_commit_of_a_member_that_lost_the_partition_is_refused(tmp_path: Path) -> None:
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    await bus.publish([record("t", n) for n in range(5)])
    async with bus.subscribe("g", ["t"]) as one:
        await one.take(5, 1.0)
        (lane,) = one._lanes
        loser = one._member
        # what the others do to a process that was stopped for too long
        await bus._writer.do(lambda transaction: groups.expel(transaction, "g", [loser]))
        async with bus.subscribe("g", ["t"]) as two:
            assert two.assigned == {("t", 0)}
            assert not await bus._writer.do(lambda transaction: groups.commit(transaction, "g", loser, {lane: 5}))
            assert await bus.lag("g", ["t"]) == {("t", 0): 5}
            assert await bus._writer.do(lambda transaction: groups.commit(transaction, "g", two._member, {lane: 3}))
            assert await bus._writer.do(lambda transaction: groups.commit(transaction, "g", two._member, {lane: 1}))
            assert await bus.lag("g", ["t"]) == {("t", 0): 2}  # it never goes back
    await bus.close()


async def test_nobody_else_may_read_the_log(tmp_path: Path) -> None:
    await (await a_bus(tmp_path / "bus")).close()
    assert stat.S_IMODE(os.stat(tmp_path / "bus").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "bus" / "log.db").st_mode) == 0o600


async def test_a_bug_in_one_job_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 1, 1e6)])
    results = await asyncio.gather(
        bus.publish([record("t", 1)]),
        bus.publish([Record("t", b"k", b"", (("h", "no bytes"),))]),  # type: ignore[arg-type]
        bus.publish([Record("t", None, b"no key")]),  # type: ignore[arg-type]
        bus.publish([record("t", 2)]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), TypeError, TypeError, type(None)]
    assert await everything(bus, "t") == [1, 2]
    await bus.close()


async def test_a_closed_bus_is_unavailable_and_close_finishes_what_is_under_way(tmp_path: Path) -> None:
    bus = await a_bus(tmp_path)
    await bus.ensure_topics([TopicSpec("t", 4, 1e6)])
    publishing = [asyncio.create_task(bus.publish([record("t", n)])) for n in range(50)]
    await asyncio.sleep(0)
    await bus.close()
    await asyncio.gather(*publishing)
    with pytest.raises(Unavailable):
        await bus.publish([record("t", 51)])
    again = await a_bus(tmp_path)
    assert sorted(await everything(again, "t")) == list(range(50))
    await again.close()
