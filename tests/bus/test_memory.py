"""The bus in memory keeps the contract, and two runs of it are equal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from merpati.bus.api import Lagged
from merpati.bus.memory import MemoryBus
from merpati.clock import ManualClock
from merpati.errors import Unavailable
from merpati.events.topics import TopicSpec
from merpati.ids import SeededDice
from tests.bus.contract import BusContract
from tests.bus.engines import Engine, MemoryEngine, closing, numbers, record


class TestMemory(BusContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async with closing(MemoryEngine()) as engine:
            yield engine


async def a_bus(seed: int = 1, keeps: float = 60.0) -> tuple[MemoryBus, ManualClock]:
    clock = ManualClock()
    bus = MemoryBus(clock, SeededDice(seed))
    await bus.start()
    await bus.ensure_topics([TopicSpec("t", 4, keeps)])
    return bus, clock


async def run(seed: int) -> list[int]:
    bus, _ = await a_bus(seed)
    await bus.publish([record("t", n) for n in range(50)])
    got: list[int] = []
    async with bus.subscribe("g", ["t"]) as member:
        while len(got) < 50:
            taken = await member.take(5, 0.0)
            got += numbers(taken)
            await member.done(taken)
    return got


async def test_equal_seeds_give_equal_runs_and_others_another_order() -> None:
    assert await run(1) == await run(1)
    assert len({tuple(await run(seed)) for seed in range(5)}) > 1


async def test_records_past_their_time_are_gone_and_offsets_go_on() -> None:
    bus, clock = await a_bus()
    await bus.publish([record("t", n, "k") for n in range(5)])
    await clock.advance(61)
    await bus.publish([record("t", 5, "k")])
    (left,) = [one async for one in bus.scan("t")]
    assert (left.offset, int(left.value)) == (5, 5)
    assert sum((await bus.lag("g", ["t"])).values()) == 1


async def test_a_tail_too_far_behind_is_told_once_and_goes_on_from_the_end() -> None:
    bus, clock = await a_bus()
    async with bus.tail(["t"]) as tail:
        await bus.publish([record("t", 1)])
        await clock.advance(61)
        with pytest.raises(Lagged):
            await tail.take(1, 0.0)
        assert await tail.take(1, 0.0) == []
        await bus.publish([record("t", 2)])
        assert numbers(await tail.take(9, 0.0)) == [2]


async def test_a_closed_bus_is_unavailable_and_keeps_its_records() -> None:
    bus, _ = await a_bus()
    await bus.publish([record("t", 1)])
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.publish([record("t", 2)])
    with pytest.raises(Unavailable):
        await bus.check()
    await bus.start()
    assert [int(one.value) async for one in bus.scan("t")] == [1]


async def test_waiting_in_virtual_time_neither_spins_nor_sleeps_through_a_handover() -> None:
    bus, clock = await a_bus()
    await bus.publish([record("t", n) for n in range(40)])
    async with bus.subscribe("g", ["t"]) as one:
        assert len(await one.take(100, 0.0)) == 40
        async with bus.subscribe("g", ["t"]) as two:
            waiting = asyncio.create_task(two.take(100, 60.0))
            await clock.advance(4.0)
            assert not waiting.done()
            await clock.advance(3.0)
            assert {r.partition for r in await waiting} == {n for _, n in two.assigned}
