"""A directory's log is kept short: however it grew, opening it takes a few requests, and its commits do not stay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from merpati.directory.editing import INSTALLATION, log_of
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import RHYTHM, open_directory
from merpati.errors import Unavailable
from merpati.ids import AccountId, SeededDice
from merpati.log import layout
from merpati.log.keeping import Rhythm, due
from merpati.log.reading import GRACE
from merpati.objects.api import ObjectInfo
from merpati.objects.memory import MemoryStore
from merpati.objects.wrapped import WrappedStore
from merpati.telemetry import Metrics
from tests.upkeep.idle import HastyClock

DOMAIN = log_of("example.org")
QUICK = Rhythm(snapshot=10, compaction=50)
HASH = "$argon2id$v=19$m=65536,t=3,p=4$" + "c2FsdHNhbHRzYWx0" + "$" + "aGFzaA" * 7


class Counted(WrappedStore):
    """Counts requests, and how many had to come one after another: each is a round later than those it waited for."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.requests: Counter[str] = Counter()
        self.rounds = 0

    def reset(self) -> None:
        self.requests.clear()
        self.rounds = 0

    async def get(self, key: str) -> bytes:
        async with self._request("get"):
            return await super().get(key)

    async def head(self, key: str) -> ObjectInfo:
        async with self._request("head"):
            return await super().head(key)

    async def create(self, key: str, data: bytes) -> None:
        async with self._request("create"):
            await super().create(key, data)

    async def put(self, key: str, data: bytes) -> None:
        async with self._request("put"):
            await super().put(key, data)

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        async with self._request("list"):
            found = [info async for info in super().list(prefix, after=after, limit=limit)]
        for info in found:
            yield info

    @asynccontextmanager
    async def _request(self, operation: str) -> AsyncIterator[None]:
        self.requests[operation] += 1
        mine = self.rounds + 1
        for _ in range(50):  # those that are asked for together are under way together
            await asyncio.sleep(0)
        try:
            yield
        finally:
            self.rounds = max(self.rounds, mine)


class Site:
    """A bucket, and directories of processes that begin and end."""

    def __init__(self) -> None:
        self.clock = HastyClock()  # writers give way to each other, and nobody moves the time on
        self.bare = MemoryStore(self.clock)
        self.store = Counted(self.bare)
        self._seed = 0

    def directory(self, rhythm: Rhythm = RHYTHM, *, counted: bool = False) -> LogDirectory:
        self._seed += 1
        store = self.store if counted else self.bare
        return open_directory(store, None, self.clock, SeededDice(self._seed), Metrics(), rhythm=rhythm)

    async def add(self, directory: LogDirectory, first: int, last: int) -> None:
        for number in range(first, last):
            await directory.add_account(f"user{number}@example.org", HASH, quota=number)

    async def keys(self, kind: str, log: AccountId = DOMAIN) -> list[str]:
        return [info.key async for info in self.bare.list(f"accounts/{log}/{kind}/")]


async def filled(rhythm: Rhythm, accounts: int) -> Site:
    site = Site()
    directory = site.directory(rhythm)
    await directory.add_domain("example.org")
    await site.add(directory, 0, accounts)
    await directory.stop(0)
    return site


def until_due(rhythm: Rhythm, least: int) -> int:
    """Accounts to add, `least` or more, so that the newest snapshot is as old as it gets."""
    place = layout.log_of(DOMAIN)
    return next(n for n in range(least, least + 1000) if due(place, n + 2, rhythm.snapshot))


@pytest.mark.slow
async def test_ten_thousand_accounts_added_one_by_one_open_in_few_round_trips() -> None:
    many = until_due(RHYTHM, 10_000)
    site = await filled(RHYTHM, many)
    directory = site.directory(counted=True)
    assert len(await directory.accounts("example.org")) == many
    opening = dict(site.store.requests)
    # two logs; of the large one the listings, a snapshot, eleven chunks at once, and up to 99 commits
    assert site.store.rounds <= 14, opening
    assert sum(opening.values()) <= 140, opening
    assert (await directory.account("USER77@example.org")).quota == 77  # type: ignore[union-attr]


@pytest.mark.parametrize("more", [0, 1, 50, 99])
async def test_opening_reads_a_snapshot_and_the_commits_after_it(more: int) -> None:
    site = await filled(RHYTHM, until_due(RHYTHM, 1000) + more + 1 - RHYTHM.snapshot)
    directory = site.directory(counted=True)
    await directory.domains()
    site.store.reset()
    await directory.accounts("example.org")
    # the installation is looked at once more, and the end of the log is seen by what is not there: up to 16 numbers
    assert site.store.requests["get"] <= 1 + 1 + 2 + more + 16 + 1
    assert site.store.requests["list"] <= 2


async def test_a_process_that_ends_finishes_the_snapshot_that_is_its_to_write() -> None:
    site = Site()
    directory = site.directory(QUICK, counted=True)
    await directory.add_domain("example.org")
    await site.add(directory, 0, until_due(QUICK, 5) + 1)
    assert await site.keys("snap") == []
    await directory.stop(0)
    assert len(await site.keys("snap")) == 1


async def test_one_that_is_killed_instead_loses_nothing() -> None:
    site = Site()
    directory = site.directory(QUICK, counted=True)
    await directory.add_domain("example.org")
    await site.add(directory, 0, until_due(QUICK, 5) + 1)
    assert directory._keeper is not None
    await directory._keeper.close()
    assert await site.keys("snap") == []
    other = site.directory(QUICK)
    await site.add(other, 100, 130)
    await other.stop(0)
    assert len(await site.keys("snap")) >= 2
    assert len(await site.directory().accounts()) == until_due(QUICK, 5) + 1 + 30


async def test_commits_become_few_objects_and_the_directory_stays_what_it_was() -> None:
    site = await filled(QUICK, 120)
    directory = site.directory(QUICK)
    for number in range(0, 120, 2):
        await directory.remove_account(f"user{number}@example.org")
    await directory.add_alias("info@example.org", ("user1@example.org",))
    await directory.change_account("user3@example.org", enabled=False)
    await directory.stop(0)
    before = (await site.directory().accounts(), await site.directory().aliases(), await site.directory().removed())
    await site.clock.advance(GRACE + 1)
    later = site.directory(QUICK)
    await site.add(later, 1000, 1060)  # a compaction is due among these, and the commits before the last are old enough
    await later.stop(0)
    assert len(await site.keys("log")) < 120, "of 243 commits"
    assert len(await site.keys("past")) >= 1
    after = site.directory()
    new = {f"user{number}@example.org" for number in range(1000, 1060)}
    assert [entry for entry in await after.accounts() if entry.address not in new] == before[0]
    assert (await after.aliases(), await after.removed()) == before[1:]


async def test_two_processes_that_write_at_once_agree() -> None:
    site = Site()
    one, two = site.directory(QUICK), site.directory(QUICK)
    await one.add_domain("example.org")
    await asyncio.gather(site.add(one, 0, 100), site.add(two, 100, 200))
    await asyncio.gather(one.stop(0), two.stop(0))
    assert {entry.quota for entry in await site.directory().accounts()} == set(range(200))


async def test_a_snapshot_that_cannot_be_written_is_nobodys_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    put = site.bare.put

    async def refuse(key: str, data: bytes) -> None:
        if "/chunk/" in key:
            raise Unavailable("store is full")
        await put(key, data)

    monkeypatch.setattr(site.bare, "put", refuse)
    directory = site.directory(QUICK)
    await directory.add_domain("example.org")
    await site.add(directory, 0, 60)
    await directory.stop(0)
    assert await site.keys("snap") == []
    assert len(await site.directory().accounts()) == 60
    monkeypatch.undo()
    again = site.directory(QUICK)
    await site.add(again, 60, 80)
    await again.stop(0)
    assert await site.keys("snap")


async def test_a_damaged_snapshot_is_passed_over() -> None:
    site = await filled(QUICK, 40)
    newest = (await site.keys("snap"))[0]
    await site.bare.put(newest, b"damage")
    assert len(await site.directory().accounts()) == 40


async def test_the_list_of_domains_is_kept_short_too() -> None:
    site = Site()
    directory = site.directory(QUICK)
    for number in range(30):
        await directory.add_domain(f"d{number}.example.org")
    await directory.stop(0)
    assert await site.keys("snap", INSTALLATION)
    assert len(await site.directory().domains()) == 30
