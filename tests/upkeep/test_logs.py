"""Which logs a bucket has, found by listing: on each store, for stores differ in how they list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import MerpatiError
from merpati.ids import AccountId, SeededDice, SystemDice, new_account_id
from merpati.log.api import Damaged
from merpati.log.layout import log_of
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.open import open_store
from merpati.upkeep.logs import DIRECTORY, MAILBOX, NOTHING, kind_of, log_ids
from tests.mailbox.worlds import mail
from tests.objects.conftest import ENGINES, store_url
from tests.upkeep.installation import ANN, Installation


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened = open_store(store_url(request), data=tmp_path, clock=SystemClock(), dice=SystemDice())
    yield opened
    await opened.close()


async def test_every_log_is_found_once_and_nothing_else(store: ObjectStore) -> None:
    dice = SystemDice()
    ids = [new_account_id(dice) for _ in range(12)] + [AccountId("a" * 26), AccountId("7" * 26), AccountId("z2" * 13)]
    for id in ids:
        for kind in ("chunk", "floor", "log", "snap"):
            await store.put(f"accounts/{id}/{kind}/0000", b"x")
    await store.put("blobs/one", b"x")
    await store.put("account", b"x")
    await store.put("accounts2/x/log/1", b"x")
    assert [id async for id in log_ids(store)] == sorted(ids)


async def test_a_mailbox_on_each_store_is_told_from_a_directory(store: ObjectStore) -> None:
    id = new_account_id(SystemDice())
    mailboxes = AllMailboxes(store, clock=SystemClock(), dice=SystemDice())
    await mailboxes.account(id).append([Append("INBOX", mail(1))])
    assert [(each, await kind_of(store, each)) async for each in log_ids(store)] == [(id, MAILBOX)]


async def test_a_log_costs_one_listing_to_find() -> None:
    seen: list[str] = []
    clock = ManualClock()
    counted = MeteredStore(MemoryStore(clock), clock, lambda operation, outcome, took: seen.append(operation))
    for _ in range(20):
        id = new_account_id(SystemDice())
        for number in range(50):
            await counted.put(log_of(id).commit(number + 2), b"x")
    seen.clear()
    assert len([id async for id in log_ids(counted)]) == 20
    assert seen == ["list"] * 21


async def test_what_a_log_is_shows_in_its_snapshot_or_in_its_first_commit() -> None:
    here = Installation()
    ann = await here.filled(ANN)
    young = await here.add("young@here.test", mails=1)
    dice = SeededDice(4)
    nothing = new_account_id(dice)
    kinds = {id: await kind_of(here.store, id) async for id in log_ids(here.store)}
    assert (kinds.pop(ann), kinds.pop(young)) == (MAILBOX, MAILBOX)
    assert set(kinds.values()) == {DIRECTORY} and len(kinds) == 2
    assert await kind_of(here.store, nothing) == NOTHING


@pytest.mark.parametrize(
    ("kind", "number", "data"),
    [
        ("log", 2, b"junk"),
        ("log", 3, b"junk"),
        ("snap", 10**20 - 7, b"junk"),
        ("log", 2, b"MERPATI\nC\xff" + bytes(60)),
    ],
)
async def test_what_cannot_be_told_is_an_error(kind: str, number: int, data: bytes) -> None:
    memory, id = MemoryStore(ManualClock()), AccountId("q" * 26)
    await memory.put(f"{log_of(id).prefix}/{kind}/{number:020}", data)
    with pytest.raises(MerpatiError) as caught:
        await kind_of(memory, id)
    assert id in str(caught.value.facts["key"])
    assert isinstance(caught.value, Damaged) or "upgrade" in caught.value.public
