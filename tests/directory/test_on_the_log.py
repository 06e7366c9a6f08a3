"""The directory on the commit log itself: what one process writes another reads, also after all are gone."""

import asyncio
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.errors import Permanent
from merpati.ids import SystemDice
from merpati.objects.api import ObjectStore
from merpati.objects.files import FilesStore
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore(SystemClock()) if request.param == "memory" else FilesStore(tmp_path, SystemClock())


def process(store: ObjectStore) -> LogDirectory:
    return open_directory(store, None, SystemClock(), SystemDice(), Metrics(), "test")


async def test_what_one_process_wrote_the_next_one_reads(store: ObjectStore) -> None:
    first = process(store)
    await first.add_domain("a.test", "bob@a.test")
    account = await first.add_account("bob@a.test", "hash", quota=5)
    await first.add_alias("all@a.test", ("bob@a.test", "x@else.where"))
    second = process(store)
    assert await second.account("BOB@a.test") == account
    assert (await second.resolve("all@a.test")).remote == ("x@else.where",)
    assert (await second.resolve("nobody@a.test")).accounts[0].account == account.id
    changed = await second.change_account("bob@a.test", enabled=False)
    assert changed.version == 2 and (await process(store).account("bob@a.test")) == changed


async def test_of_many_who_add_the_same_name_at_once_one_has_it(store: ObjectStore) -> None:
    await process(store).add_domain("a.test")
    attempts = [process(store).add_account("bob@a.test", f"hash{n}") for n in range(8)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Permanent) for outcome in outcomes) == 7


async def test_many_additions_at_once_all_stand(store: ObjectStore) -> None:
    await process(store).add_domain("a.test")
    writers = [process(store) for _ in range(4)]
    await asyncio.gather(*(writers[n % 4].add_account(f"user{n}@a.test", "") for n in range(60)))
    assert len(await process(store).accounts("a.test")) == 60
