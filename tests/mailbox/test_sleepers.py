"""Processes that stood still for hours in the middle of their upkeep: nothing that others rely on goes with them."""

from __future__ import annotations

import pytest

from merpati.clock import ManualClock
from merpati.errors import Temporary
from merpati.log.reading import GRACE
from merpati.log.vacuum import Vacuum
from merpati.log.verifying import verified
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages


async def test_a_writer_that_slept_after_its_snapshot_stood_leaves_it_to_those_who_rely_on_it() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.keep_snapshot()
    await account.append(messages(3))

    class Slept(WrappedStore):
        async def create(self, key: str, data: bytes) -> None:
            await super().create(key, data)
            if "/snap/" in key:
                await clock.advance(8 * 86_400.0)
                await Vacuum(account.log.reader, grace=GRACE, retention=GRACE).run()
                await clock.advance(GRACE)

    await fresh(Slept(store), clock, 5).compact()
    assert [info.key async for info in store.list(LAYOUT.snapshots)], "the others had gone meanwhile"
    other = fresh(store, clock, 6)
    assert (await other.refresh()).messages == 3
    assert await verified(other.log.reader) == []


async def test_a_vacuum_that_slept_while_others_cleaned_removes_nothing() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()

    class Slept(WrappedStore):
        def __init__(self, inner: ObjectStore) -> None:
            super().__init__(inner)
            self.slept = False

        async def get(self, key: str) -> bytes:
            if "/snap/" in key and not self.slept:
                self.slept = True
                await clock.advance(8 * 86_400.0)
                await account.append(messages(3))
                await account.keep_snapshot()
                await clock.advance(2 * GRACE)
                await Vacuum(account.log.reader, grace=GRACE, retention=GRACE).run()
            return await super().get(key)

    reader = fresh(Slept(store), clock, 5).log.reader
    with pytest.raises(Temporary):
        await Vacuum(reader, grace=GRACE, retention=GRACE).run()
    other = fresh(store, clock, 6)
    view = await other.folder("INBOX")
    assert [await other.body(view.body(row)) for row in range(view.exists)] == [mail(1), mail(2), mail(3)]
    assert await verified(other.log.reader) == []
