"""What a purge that slept has left of an account that nobody remembers goes; nothing of any other log does."""

from __future__ import annotations

import pytest

from merpati.directory.editing import log_of as of_domain
from merpati.ids import AccountId, SeededDice
from merpati.log.floor import raise_floor
from merpati.log.layout import log_of
from merpati.log.reading import GRACE
from merpati.log.vacuum import RETENTION
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.deleting import REMEMBERED, Purged
from merpati.upkeep.ending import Ending
from merpati.upkeep.everything import clean_everything
from merpati.upkeep.leftovers import sweep_leftovers
from tests.upkeep.installation import ANN, BOB, HOUR, Installation

STRANGER = AccountId("w" * 26)


@pytest.fixture
def here() -> Installation:
    return Installation()


async def swept(here: Installation) -> Purged:
    return await sweep_leftovers(here.store, here.new_directory(), here.clock, SeededDice(9))


async def ended(here: Installation, id: AccountId) -> None:
    """A process that slept until nobody remembered the account ends its log, and dies."""
    await Ending(here.process().account(id), here.clock).close()


async def test_the_end_of_a_log_that_nobody_remembers_goes_when_it_is_old(here: Installation) -> None:
    bob = await here.filled(BOB)
    before = await here.keys(bob)
    await ended(here, STRANGER)
    assert set(await here.kinds(STRANGER)) == {"log", "snap", "floor"}
    await here.clock.advance(REMEMBERED + GRACE - HOUR)
    assert await swept(here) == Purged()
    await here.clock.advance(2 * HOUR)
    assert (await swept(here)).objects == 3
    assert await here.keys(STRANGER) == [] and await here.keys(bob) == before
    assert await swept(here) == Purged()


@pytest.mark.parametrize("last", ["a floor alone", "the question for the time"])
async def test_what_was_written_last_goes_alone_too(here: Installation, last: str) -> None:
    if last == "a floor alone":
        await raise_floor(here.store, log_of(STRANGER), 27)
    else:
        await here.store.put(log_of(STRANGER).now("0" * 32), b"now")
    await here.clock.advance(REMEMBERED + GRACE + 1)
    assert (await swept(here)).objects == 1 and await here.keys(STRANGER) == []


async def test_one_that_the_directory_knows_stays_however_little_is_left_of_it(here: Installation) -> None:
    """Without its floor it would be taken for an account that was never used."""
    ann, bob = await here.filled(ANN), await here.filled(BOB)
    for id in (ann, bob):
        await here.store.delete([key for key in await here.keys(id) if "/floor/" not in key])
    await here.directory.remove_account(BOB)
    await here.clock.advance(REMEMBERED + GRACE + 1)
    assert await swept(here) == Purged()
    assert set(await here.kinds(ann)) == set(await here.kinds(bob)) == {"floor"}


ALIVE = ("snap", "chunk", "pack", "past", "log", "odd")


@pytest.mark.parametrize("kind", ALIVE)
async def test_a_log_with_anything_else_in_it_stays_though_nobody_knows_it(here: Installation, kind: str) -> None:
    ann = await here.filled(ANN)
    await ended(here, STRANGER)
    there = [key for key in await here.keys(ann) if f"/{kind}/" in key]
    if kind == "odd":
        await here.store.put(f"accounts/{STRANGER}/odd/thing", b"of whatever kind")
    else:
        await here.store.put(there[-1].replace(ann, STRANGER), await here.store.get(there[-1]))
    before = await here.keys(STRANGER)
    await here.clock.advance(REMEMBERED + GRACE + 1)
    assert await swept(here) == Purged()
    assert await here.keys(STRANGER) == before


async def test_what_cannot_be_read_stays(here: Installation) -> None:
    await ended(here, STRANGER)
    (snapshot,) = [key for key in await here.keys(STRANGER) if "/snap/" in key]
    await here.store.put(snapshot, b"torn")
    await here.clock.advance(REMEMBERED + GRACE + 1)
    assert await swept(here) == Purged()


async def test_nothing_goes_while_the_directory_cannot_be_read_to_its_end(here: Installation) -> None:
    await here.add(ANN)
    await ended(here, STRANGER)
    await here.add(BOB)
    commits = [info.key async for info in here.store.list(log_of(of_domain("here.test")).commits)]
    await here.store.put(commits[-1], b"torn")
    await here.clock.advance(REMEMBERED + GRACE + 1)
    assert await swept(here) == Purged()


async def test_it_goes_with_everything_else_that_is_cleaned(here: Installation) -> None:
    await here.add(ANN)
    await ended(here, STRANGER)
    await here.clock.advance(REMEMBERED + GRACE + 1)
    done = await clean_everything(
        here.store, here.directory, here.mailboxes, here.clock, SeededDice(8),
        BlobVacuum(here.store, here.clock, SeededDice(7)), retention=RETENTION,
    )  # fmt: skip
    assert done.failures == () and done.purged.objects == 3 and await here.keys(STRANGER) == []
