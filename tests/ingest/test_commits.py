"""The group commit: alone at once, together when busy, nobody kept out by a neighbour, nobody waiting for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ingest.commits import FLIGHTS, MAX_BATCH, GroupCommit
from merpati.bus.api import Record
from merpati.clock import ManualClock
from merpati.errors import Permanent, Unavailable, Unknown


class Desk:
    """A bus whose publishes end when they are let."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.open = asyncio.Event()
        self.fails: Exception | None = None

    async def publish(self, records: Sequence[Record]) -> None:
        self.batches.append([record.value for record in records])
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        if any(record.value.startswith(b"bad") for record in records):
            raise Permanent("too large")


def record(value: bytes) -> list[Record]:
    return [Record("t", b"k", value)]


def commits_of(desk: Desk, clock: ManualClock | None = None) -> GroupCommit:
    return GroupCommit(desk, clock or ManualClock(), 30.0)  # type: ignore[arg-type]


async def test_an_idle_bus_is_asked_at_once() -> None:
    desk = Desk()
    desk.open.set()
    await commits_of(desk).commit(record(b"one"))
    assert desk.batches == [[b"one"]]


async def test_what_comes_in_the_same_turn_goes_together() -> None:
    desk = Desk()
    desk.open.set()
    commits = commits_of(desk)
    await asyncio.gather(*(commits.commit(record(bytes([n]))) for n in range(50)))
    assert len(desk.batches) == 1


async def test_what_comes_while_the_bus_is_busy_goes_together_in_order() -> None:
    desk = Desk()
    commits = commits_of(desk)
    waiting = []
    for n in range(40):
        waiting.append(asyncio.ensure_future(commits.commit(record(bytes([n])))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(desk.batches) == FLIGHTS
    desk.open.set()
    await asyncio.gather(*waiting)
    assert len(desk.batches) == FLIGHTS + 1
    assert [value for batch in desk.batches for value in batch] == [bytes([n]) for n in range(40)]


async def test_a_publish_has_a_size() -> None:
    desk = Desk()
    desk.open.set()
    commits = commits_of(desk)
    big = b"x" * (MAX_BATCH // 2 + 1)
    await asyncio.gather(*(commits.commit(record(big)) for _ in range(3)), commits.commit(record(b"y" * 2 * MAX_BATCH)))
    assert [len(batch) for batch in desk.batches] == [1, 1, 1, 1]


async def test_one_that_the_bus_will_not_have_keeps_no_neighbour_out() -> None:
    desk = Desk()
    desk.open.set()
    commits = commits_of(desk)
    ends = await asyncio.gather(
        *(commits.commit(record(value)) for value in (b"good", b"bad", b"fine")), return_exceptions=True
    )
    assert [type(end) for end in ends] == [type(None), Permanent, type(None)]


async def test_a_failure_is_everybodys_and_the_next_one_is_tried_again() -> None:
    desk = Desk()
    desk.open.set()
    desk.fails = Unavailable("down")
    commits = commits_of(desk)
    ends = await asyncio.gather(*(commits.commit(record(b"x")) for _ in range(3)), return_exceptions=True)
    assert {type(end) for end in ends} == {Unavailable}
    assert commits.trouble == "down"
    desk.fails = None
    await commits.commit(record(b"y"))
    assert commits.trouble == ""


async def test_a_publish_that_hangs_is_given_up_and_others_go_on() -> None:
    desk, clock = Desk(), ManualClock()
    commits = commits_of(desk, clock)
    first = asyncio.ensure_future(commits.commit(record(b"first")))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(commits.commit(record(b"second")))
    await asyncio.sleep(0.01)
    third = asyncio.ensure_future(commits.commit(record(b"third")))
    await clock.advance(31)
    commits.expire()
    for each in (first, second):
        with pytest.raises(Unknown):
            await each
    desk.open.set()
    await third


async def test_one_who_stopped_waiting_is_not_published() -> None:
    desk = Desk()
    commits = commits_of(desk)
    for n in range(FLIGHTS):
        asyncio.ensure_future(commits.commit(record(bytes([n]))))  # noqa: RUF006
        await asyncio.sleep(0.01)
    late = asyncio.ensure_future(commits.commit(record(b"late")))
    await asyncio.sleep(0.01)
    late.cancel()
    desk.open.set()
    await commits.commit(record(b"end"))
    assert b"late" not in [value for batch in desk.batches for value in batch]


async def test_what_is_posted_is_published_and_a_failure_is_looked_away_from() -> None:
    desk = Desk()
    desk.open.set()
    commits = commits_of(desk)
    commits.post(record(b"news"))
    desk.fails = Unavailable("down")
    await asyncio.sleep(0.01)
    assert desk.batches == [[b"news"]]


async def test_closing_waits_for_what_is_under_way_but_not_for_ever() -> None:
    desk = Desk()
    clock = ManualClock()
    commits = commits_of(desk, clock)
    waiting = asyncio.ensure_future(commits.commit(record(b"x")))
    await asyncio.sleep(0.01)
    closing = asyncio.ensure_future(commits.close(1.0))
    await clock.advance(2)
    await closing
    with pytest.raises(Unknown):
        await waiting
