"""A whole purge, and the vacuum of large bodies, on each store: real listings, real deletes, real dates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.directory.open import open_directory
from merpati.ids import SystemDice
from merpati.log.commit_log import LogLimits
from merpati.mailbox.api import Append, NoSuchAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store
from merpati.telemetry import Metrics
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.deleting import purge_removed
from tests.mailbox.worlds import mail
from tests.objects.conftest import ENGINES, store_url

GRACE = 1.0
"""For which a test can wait."""
LATER = GRACE + 1.1
"""A store may tell whole seconds."""
LARGE = mail("large", 300_000)


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened = open_store(store_url(request), data=tmp_path, clock=SystemClock(), dice=SystemDice())
    yield opened
    await opened.close()


async def keys(store: ObjectStore, prefix: str) -> list[str]:
    return [info.key async for info in store.list(prefix)]


@pytest.mark.slow
async def test_nothing_is_left_of_one_and_all_of_its_neighbour(store: ObjectStore) -> None:
    clock, dice = SystemClock(), SystemDice()
    directory = open_directory(store, None, clock, dice, Metrics(), "test")
    mailboxes = AllMailboxes(store, clock=clock, dice=dice, log_limits=LogLimits(grace=GRACE))
    await directory.add_domain("here.test")
    ann, bob = [(await directory.add_account(f"{name}@here.test", "")).id for name in ("ann", "bob")]
    for id in (ann, bob):
        for count in range(5):
            await mailboxes.account(id).append([Append("INBOX", mail(count))])
        await mailboxes.account(id).append([Append("INBOX", LARGE)])
        await mailboxes.account(id).compact()
    await directory.remove_account("ann@here.test", purge=True)
    for _ in range(4):
        assert (await purge_removed(directory, mailboxes, clock, remembered=1.5 * LATER)).failures == ()
        with pytest.raises(NoSuchAccount):
            await mailboxes.account(ann).append([Append("INBOX", mail("late"))])
        await asyncio.sleep(LATER)
    assert await keys(store, f"accounts/{ann}") == [] and await directory.removed() == []
    vacuum = BlobVacuum(store, clock, dice, horizon=0.0, grace=GRACE)
    assert (await vacuum.run()).removed == 1
    view = await AllMailboxes(store, clock=clock, dice=dice).account(bob).folder("INBOX", fresh=True)
    bodies = [await mailboxes.account(bob).body(view.body(row)) for row in range(view.exists)]
    assert bodies == [*(mail(count) for count in range(5)), LARGE]
    assert len(await keys(store, "blobs/")) == 1
