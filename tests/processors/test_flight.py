"""Batches overlap; acknowledgements keep their order and never come before what they promise."""

import asyncio
from collections.abc import Sequence

import pytest

from processors.runners import flight as module
from processors.runners.flight import DEPTH, Flight


class Watched:
    """A flight whose batches end when the test says so."""

    def __init__(self) -> None:
        self.ends: dict[int, asyncio.Event] = {}
        self.acknowledged: list[int] = []
        self.begun: list[int] = []
        self.flight = Flight(self.work, self.acknowledge)

    async def work(self, events: Sequence[int]) -> None:
        self.begun.append(events[0])
        await self.ends.setdefault(events[0], asyncio.Event()).wait()

    async def acknowledge(self, event: int) -> None:
        self.acknowledged.append(event)

    def end(self, batch: int) -> None:
        self.ends.setdefault(batch, asyncio.Event()).set()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_batch_is_acknowledged_after_those_before_it() -> None:
    watched = Watched()
    await watched.flight.add([1, 2], 10)
    await watched.flight.add([3, 4], 10)
    watched.end(3)
    await settle()
    assert watched.begun == [1, 3] and watched.acknowledged == [] and not watched.flight.idle.is_set()
    watched.end(1)
    await settle()
    assert watched.acknowledged == [1, 2, 3, 4] and watched.flight.idle.is_set()
    await watched.flight.close()


async def test_there_is_room_for_so_many_batches_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPTH_BYTES", 100)
    watched = Watched()
    for number in range(DEPTH):
        await watched.flight.add([number], 1)
    waiting = asyncio.create_task(watched.flight.add([99], 1))
    await settle()
    assert not waiting.done()
    watched.end(0)
    await waiting
    for number in range(1, DEPTH):
        watched.end(number)
    watched.end(99)
    await settle()
    await watched.flight.add([200], 1000)  # larger than all room together: alone
    waiting = asyncio.create_task(watched.flight.add([201], 1))
    await settle()
    assert not waiting.done()
    watched.end(200)
    await waiting
    await watched.flight.close()


async def test_what_is_ended_is_not_acknowledged() -> None:
    watched = Watched()
    await watched.flight.add([1], 1)
    await watched.flight.close()
    assert watched.acknowledged == [] and watched.flight.idle.is_set()


async def test_a_batch_that_raises_all_the_same_acknowledges_nothing_more() -> None:
    acknowledged: list[int] = []

    async def work(events: Sequence[int]) -> None:
        if events == [2]:
            raise RuntimeError("bug")

    async def acknowledge(event: int) -> None:
        acknowledged.append(event)

    flight = Flight(work, acknowledge)
    for number in (1, 2, 3):
        await flight.add([number], 1)
    await settle()
    assert acknowledged == [1] and not flight.idle.is_set()
    await flight.close()
