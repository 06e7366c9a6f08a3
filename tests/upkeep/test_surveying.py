"""What a survey finds worth doing, from what is there; and that it asks for little."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from merpati.directory.fold import DirectoryFold
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.floor import raise_floor
from merpati.log.layout import log_of
from merpati.log.reading import GRACE, Reader
from merpati.log.vacuum import RETENTION
from merpati.upkeep.surveying import FEW, MANY, REST, TURNS, When, Worth, survey
from tests.upkeep.idle import DAY, Idle, id_of

LAYOUT = log_of(id_of(1))


async def surveyed(here: Idle) -> Worth:
    reader = Reader(here.store, LAYOUT, DirectoryFold(), here.clock, SeededDice(5))
    return await survey(reader, When(here.clock.time(), DAY, RETENTION))


async def compacted(here: Idle) -> None:
    """An account whose commits are in a pack and gone, and nothing is to be done."""
    account = await here.filled(1, 30)
    await account.compact()
    here.pass_by(GRACE + 1)
    await account.compact()
    await account.vacuum()
    assert (await surveyed(here)).nothing


@pytest.mark.parametrize(
    ("commits", "rest", "worth"),
    [
        (0, 0.0, Worth()),
        (FEW - 1, 100 * DAY, Worth()),
        (FEW, REST - 10, Worth()),
        (FEW, REST + 10, Worth(compact=True)),
        (MANY, 0.0, Worth(compact=True)),
    ],
)
async def test_commits_are_worth_moving_if_they_are_many_or_at_rest(commits: int, rest: float, worth: Worth) -> None:
    here = Idle()
    await here.filled(1, commits)
    for info in [info async for info in here.bare.list(LAYOUT.snapshots)]:
        await here.bare.delete([info.key])
    for info in [info async for info in here.bare.list(f"{LAYOUT.prefix}/chunk/")]:
        await here.bare.delete([info.key])
    here.pass_by(rest)
    here.requests.clear()
    assert await surveyed(here) == worth
    assert sum(here.requests.values()) == 1


async def _chunk(here: Idle) -> None:
    await here.bare.put(f"{LAYOUT.prefix}/chunk/{'a' * 64}_00000000", b"left over")


async def _pack(here: Idle) -> None:
    await here.bare.put(LAYOUT.pack("b" * 32), b"left over")


async def _now(here: Idle) -> None:
    await here.bare.put(LAYOUT.now("c" * 32), b"now")


async def _second_floor(here: Idle) -> None:
    await raise_floor(here.bare, LAYOUT, 7)


async def _old_commit(here: Idle) -> None:
    await here.bare.put(LAYOUT.commit(9), b"a stalled writer's")


LEFT = [
    (_chunk, Worth(vacuum=True)),
    (_pack, Worth(vacuum=True)),
    (_now, Worth(vacuum=True)),
    (_second_floor, Worth(vacuum=True)),
]


@pytest.mark.parametrize(("leave", "worth"), LEFT, ids=[leave.__name__ for leave, _ in LEFT])
async def test_what_a_crash_left_is_worth_a_vacuum_once_it_is_old(
    leave: Callable[[Idle], Awaitable[None]], worth: Worth
) -> None:
    here = Idle()
    await compacted(here)
    await leave(here)
    assert (await surveyed(here)).nothing, "somebody may be about to name it"
    here.pass_by(GRACE + 1)
    assert await surveyed(here) == worth
    await here.account(1).vacuum()
    assert (await surveyed(here)).nothing


async def test_what_an_older_snapshot_needs_is_not_left_over() -> None:
    here = Idle()
    account = await here.filled(1, 30)
    await account.keep_snapshot()
    here.pass_by(DAY)
    await account.expunge("INBOX", range(1, 20), only_deleted=False)
    await account.keep_snapshot()
    here.pass_by(GRACE + 1)
    here.requests.clear()
    assert (await surveyed(here)).nothing
    assert here.requests == {"list": 1, "get": 2}
    here.pass_by(2 * RETENTION)
    worth = await surveyed(here)
    assert worth.vacuum and not worth.truncate
    await account.vacuum()
    here.requests.clear()
    assert not (await surveyed(here)).vacuum
    assert here.requests == {"list": 1, "get": 1}


async def test_commits_that_were_moved_are_deleted_when_their_floor_is_old() -> None:
    here = Idle()
    account = await here.filled(1, 30)
    await account.compact()
    assert (await surveyed(here)).nothing
    here.pass_by(GRACE + 1)
    assert (await surveyed(here)).truncate
    for info in [info async for info in here.bare.list(LAYOUT.floors)]:
        await here.bare.delete([info.key])
    assert (await surveyed(here)).truncate, "a crash came before the floor"
    await account.compact()
    assert (await surveyed(here)).nothing, "the floor is new"
    here.pass_by(GRACE + 1)
    await account.compact()
    assert (await surveyed(here)).nothing
    await _old_commit(here)
    assert (await surveyed(here)).truncate


async def test_packs_are_looked_at_a_few_times_after_the_window_has_moved_on() -> None:
    here = Idle()
    await compacted(here)
    turns = []
    for day in range(60):
        if (await surveyed(here)).reclaim:
            turns.append(day)
        here.pass_by(DAY)
    assert len(turns) == 2 and turns[0] >= 7 and turns[1] - turns[0] == TURNS


async def test_a_snapshot_that_cannot_be_read_is_damage() -> None:
    here = Idle()
    await compacted(here)
    [snapshot] = [info.key async for info in here.bare.list(LAYOUT.snapshots)]
    await here.bare.put(snapshot, b"damage")
    with pytest.raises(Damaged):
        await surveyed(here)
