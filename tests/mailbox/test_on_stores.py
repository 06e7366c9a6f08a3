"""The whole life of a mailbox on each store: written by many, compacted, truncated, cleaned, and still right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.ids import SystemDice, new_account_id
from merpati.log.commit_log import LogLimits
from merpati.log.verifying import verified
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store
from tests.mailbox.worlds import mail
from tests.objects.conftest import ENGINES, store_url

WRITERS, EACH = 16, 15
SHORT = 6.0
"""A grace period for which a test can wait, and in half of which a compaction is done."""


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened = open_store(store_url(request), data=tmp_path, clock=SystemClock(), dice=SystemDice())
    yield opened
    await opened.close()


@pytest.mark.slow
async def test_sixteen_writers_on_one_mailbox_and_then_the_broom(store: ObjectStore) -> None:
    clock, dice = SystemClock(), SystemDice()
    who = new_account_id(dice)

    def node() -> AllMailboxes:
        return AllMailboxes(store, clock=clock, dice=dice, log_limits=LogLimits(grace=SHORT, patience=60.0))

    async def write(number: int) -> None:
        account = node().account(who)
        for count in range(EACH):
            body = mail(f"{number}-{count}", 3000)
            await account.append([Append("INBOX", body, cause=f"{number}-{count}")])

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    account = await node().open(who)
    await account.compact()
    await asyncio.sleep(SHORT + 1.1)  # a store may tell whole seconds
    await account.compact()
    await account.vacuum(0.0)
    other = await node().open(who)
    assert await verified(other.log.reader) == []
    assert [info.key async for info in store.list(f"accounts/{who}/log/")] == []
    view = await other.folder("INBOX")
    found = {await other.body(view.body(row)) for row in range(view.exists)}
    assert view.exists == WRITERS * EACH
    assert found == {mail(f"{number}-{count}", 3000) for number in range(WRITERS) for count in range(EACH)}
    await account.append([Append("INBOX", mail("after"))])
    assert (await other.refresh()).messages == WRITERS * EACH + 1
