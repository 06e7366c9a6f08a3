"""A bus that is started when it is first needed keeps the contract, and is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from merpati.bus.api import Bus
from merpati.bus.late import LateBus
from merpati.bus.memory import MemoryBus
from merpati.clock import ManualClock
from merpati.errors import Unavailable
from merpati.events.topics import TopicSpec
from merpati.ids import SeededDice
from tests.bus.contract import BusContract
from tests.bus.engines import Doomed, Engine, MemoryEngine, closing, record


class LateEngine(MemoryEngine):
    def _new(self) -> Bus:
        return LateBus(super()._new(), [])

    def member(self, bus: Bus, group: str, topic: str) -> Doomed:
        return super().member(self._bus, group, topic)


class TestLate(BusContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async with closing(LateEngine()) as engine:
            yield engine


class Counting(MemoryBus):
    """Counts what is asked of it; cannot be reached while `away`; starting takes a moment."""

    def __init__(self, away: bool = False) -> None:
        super().__init__(ManualClock(), SeededDice(1))
        self.away = away
        self.asked: list[str] = []

    async def start(self) -> None:
        self.asked.append("start")
        await asyncio.sleep(0.01)
        if self.away:
            raise Unavailable("no bus here")
        await super().start()

    async def close(self) -> None:
        self.asked.append("close")
        await super().close()


async def test_a_bus_that_nobody_needs_is_neither_started_nor_closed() -> None:
    inner = Counting()
    await LateBus(inner, []).close()
    assert inner.asked == []


async def test_the_first_publish_starts_it_with_its_topics_even_if_who_asked_first_gives_up() -> None:
    inner = Counting()
    bus = LateBus(inner, [TopicSpec("t", 4, 60.0)])
    first = asyncio.ensure_future(bus.publish([record("t", 1)]))
    await asyncio.sleep(0)
    first.cancel()
    await bus.publish([record("t", 2)])
    await bus.publish([record("t", 3)])
    assert {int(one.value) async for one in inner.scan("t")} == {2, 3}
    await bus.close()
    assert inner.asked == ["start", "close"]


async def test_one_that_is_away_is_asked_once_and_let_go_of() -> None:
    inner = Counting(away=True)
    bus = LateBus(inner, [])
    for _ in range(2):
        with pytest.raises(Unavailable):
            await bus.publish([record("t", 1)])
    await bus.close()
    assert inner.asked == ["start", "close"]
