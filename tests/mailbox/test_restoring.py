"""Bringing back what was expunged: messages, folders, whole accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from merpati.clock import ManualClock
from merpati.log.reading import GRACE
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, Large
from merpati.mailbox.restoring import Restored, restored
from merpati.mailbox.state import MailState
from merpati.mailbox.values import DELETED
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, mail, mailboxes, messages

DAY = 86_400.0


async def past_of(account: MailAccount, number: int) -> MailState:
    return (await Travel(account.log.reader).state_at(number)).state


async def everything(account: MailAccount) -> dict[str, list[tuple[bytes, tuple[str, ...]]]]:
    found = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        rows = range(view.exists)
        found[name] = sorted([(await account.body(view.body(r)), view.flag_names(view.flags[r])) for r in rows])
    return found


async def ruined(store: MemoryStore, clock: ManualClock) -> tuple[MailAccount, int]:
    """A mailbox out of which nearly everything went, and the commit before that."""
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.create("Work/Plans")
    await account.append(messages(1, 2, 3, flags=("\\Seen", "$a")))
    await account.append([Append("Work/Plans", mail(4, 300_000), ("$b",)), *messages(5, folder="Work/Plans")])
    number = account.view().number
    await account.expunge("INBOX", [1, 3], only_deleted=False)
    await account.delete("Work/Plans")
    await account.delete("Work")
    return account, number


async def test_an_account_comes_back_into_place_with_flags_and_twice_is_as_once() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account, number = await ruined(store, clock)
    past = await past_of(account, number)
    assert await restored(account, past) == Restored(2, 4, 0)
    assert await restored(account, past) == Restored(0, 0, 0)
    found = await everything(fresh(store, clock))
    assert [body for body, _ in found["INBOX"]] == sorted([mail(1), mail(2), mail(3)])
    assert all(set(flags) == {"\\Seen", "$a"} for _, flags in found["INBOX"])
    assert found["Work/Plans"] == sorted([(mail(4, 300_000), ("$b",)), (mail(5), ())])


async def test_one_message_comes_back_beside() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account, number = await ruined(store, clock)
    done = await restored(account, await past_of(account, number), folder="INBOX", uids=[3], beside="Back")
    assert done == Restored(1, 1, 0)
    assert [body for body, _ in (await everything(account))["Back/INBOX"]] == [mail(3)]


async def test_what_was_marked_for_removal_comes_back_without_the_mark_if_that_is_asked_for() -> None:
    clock = ManualClock()
    account = await mailboxes(MemoryStore(clock), clock).open(ACCOUNT)
    await account.append([Append("INBOX", mail(1), ("\\Seen", "\\Deleted", "$a"))])
    number = account.view().number
    await account.expunge("INBOX")
    past = await past_of(account, number)
    assert await restored(account, past, without=DELETED) == Restored(1, 1, 0)
    assert (await everything(account))["INBOX"] == [(mail(1), ("\\Seen", "$a"))]
    assert (await account.folder("INBOX")).info.deleted == 0


async def test_it_comes_back_out_of_packs_too() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account, number = await ruined(store, clock)
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    assert (await restored(account, await past_of(account, number))).messages == 4
    assert len((await everything(fresh(store, clock)))["INBOX"]) == 3


async def test_what_is_lost_is_counted_and_the_rest_comes_back() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account, number = await ruined(store, clock)
    (blob,) = [info.key async for info in store.list("blobs/")]
    await store.delete([blob])
    assert await restored(account, await past_of(account, number)) == Restored(2, 3, 1)


@pytest.mark.parametrize("first", [False, True])
async def test_what_comes_back_though_its_pack_is_about_to_go_does_not_go_with_it(first: bool) -> None:
    """P9: from before the window, or expunged again within it; nothing names the pack once the window has moved on."""
    clock = ManualClock(19_676 * DAY)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    rest, prefix = mail("large")[20:], mail("large")[:20]
    body = await account.put_large(pieces(rest))
    large = Append("INBOX", Large(body.key, body.digest, body.size, prefix), ("$large",), 5.0)
    await account.append([*messages(1, 2, 3, flags=("$a",)), large])
    number = account.view().number
    await account.expunge("INBOX", [1, 2, 4], only_deleted=False)
    await account.compact()
    if first:
        await clock.advance(2 * DAY)
        assert (await restored(account, await past_of(account, number), folder="INBOX")).messages == 3
        number = account.view().number
        await account.expunge("INBOX", [5, 6, 7], only_deleted=False)
    await clock.advance(8 * DAY - 2 * DAY * first)
    assert await account.reclaim() == 1
    past = await past_of(account, number)
    assert (await restored(account, past, folder="INBOX")).messages == 3
    assert (await restored(account, past, folder="INBOX")).messages == 0
    before = await everything(account)
    for _ in range(9):
        await clock.advance(DAY)
        await account.create(f"f{clock.time()}")
        await account.compact()
        await account.reclaim()
        await account.vacuum()
    after = (await everything(fresh(store, clock, 7)))["INBOX"]
    assert after == before["INBOX"] and (mail("large"), ("$large",)) in after and (mail(2), ("$a",)) in after


async def test_what_has_come_back_is_not_reclaimed() -> None:
    """P6: the state at the beginning of the window had it not, the present one has."""
    clock = ManualClock(19_676 * DAY)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2, 3))
    number = account.view().number
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    await account.compact()
    await clock.advance(2 * DAY)
    await restored(account, await past_of(account, number), folder="INBOX")
    for _ in range(9):
        await clock.advance(DAY)
        await account.create(f"f{clock.time()}")
        await account.compact()
        await account.reclaim(7 * DAY)
        await account.vacuum(7 * DAY)
        await clock.advance(DAY)
    assert len((await everything(fresh(store, clock, 7)))["INBOX"]) == 3


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
