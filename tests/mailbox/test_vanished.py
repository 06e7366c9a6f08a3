"""What a client that was away has to be told (CONDSTORE, QRESYNC): exact, however the state came to be, and bounded.

A client keeps UIDVALIDITY, HIGHESTMODSEQ and what it knows of each message.  Given only `changed_since` and
`vanished_since` of its MODSEQ, it must end with what is there (RFC 7162 section 3.2.5.1), whether the node that answers
has followed the log, read it from a snapshot, or from a compacted log; UIDs that it never had are allowed in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.vanished import KEPT_RANGES, MAX_RANGES
from merpati.mailbox.views import FolderAt
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, inbox, mailboxes, messages

Known = dict[int, tuple[str, ...]]


def known(view: FolderAt) -> Known:
    """What a client has that has seen it all."""
    return {uid: view.flag_names(bits) for uid, bits in zip(view.uids, view.flags, strict=True)}


def in_step(before: Known, modseq: int, view: FolderAt) -> Known:
    """What it has after it was told what changed and vanished since `modseq`."""
    gone = {uid for first, last in view.vanished_since(modseq) for uid in range(first, last + 1)}
    after = {uid: flags for uid, flags in before.items() if uid not in gone}
    for row in view.changed_since(modseq):
        assert view.modseqs[row] > modseq
        after[view.uids[row]] = view.flag_names(view.flags[row])
    return after


async def some_life(account: MailAccount, dice: SeededDice, rounds: int) -> list[tuple[int, Known]]:
    """Mail comes, is marked, moved and expunged; what a client knew at each moment, by its HIGHESTMODSEQ."""
    await account.append(messages(*range(20)))
    moments = []
    for number in range(rounds):
        view = await inbox(account)
        moments.append((int(view.info.highestmodseq), known(view)))
        uids = [uid for uid in view.uids if dice.uniform(0, 1) < 0.2] or [1]
        match int(dice.uniform(0, 5)):
            case 0:
                await account.append(messages(f"{number} a", f"{number} b"))
            case 1:
                await account.store("INBOX", uids, [f"$k{number % 7}"])
            case 2:
                await account.expunge("INBOX", uids, only_deleted=False)
            case 3:
                await account.move("INBOX", uids, "Archive" if number % 2 else "INBOX")
            case _:
                await account.copy("INBOX", uids[:3], "INBOX")
    return moments


async def as_it_is(account: MailAccount, clock: ManualClock) -> None:
    """Nothing is done."""


async def a_snapshot(account: MailAccount, clock: ManualClock) -> None:
    await account.keep_snapshot()


async def compacted(account: MailAccount, clock: ManualClock) -> None:
    await account.compact()
    await clock.advance(GRACE + 1)
    assert (await account.compact()).deleted


async def compacted_and_vacuumed(account: MailAccount, clock: ManualClock) -> None:
    await compacted(account, clock)
    await account.append(messages("one more", folder="Sent"))
    await clock.advance(8 * 86_400)
    await account.keep_snapshot()
    await clock.advance(2 * GRACE)
    await account.vacuum()


WAYS = [as_it_is, a_snapshot, compacted, compacted_and_vacuumed]


@pytest.mark.parametrize("way", WAYS)
async def test_who_was_away_is_in_step_again(
    store: MemoryStore, clock: ManualClock, way: Callable[[MailAccount, ManualClock], Awaitable[None]]
) -> None:
    account = await mailboxes(store, clock).open(ACCOUNT)
    moments = await some_life(account, SeededDice(7), 60)
    await way(account, clock)
    for reader in (account, fresh(store, clock)):
        view = await inbox(reader)
        for modseq, before in moments:
            assert in_step(before, modseq, view) == known(view), modseq
        assert view.changed_since(view.info.highestmodseq) == view.vanished_since(view.info.highestmodseq) == []
    assert [modseq for modseq, _ in moments] == sorted(modseq for modseq, _ in moments)


async def test_renaming_inbox_is_told_as_messages_that_went_and_uids_go_on(
    store: MemoryStore, clock: ManualClock
) -> None:
    """RFC 9051 section 6.3.6.  A range may have UIDs in it that went before: the client does not have them."""
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(*range(10)))
    await account.expunge("INBOX", [2, 3], only_deleted=False)
    before, since = known(await inbox(account)), int((await inbox(account)).info.highestmodseq)
    await account.expunge("INBOX", [10], only_deleted=False)
    await account.rename("INBOX", "Old")
    await compacted(account, clock)
    for reader in (account, fresh(store, clock)):
        view = await inbox(reader)
        assert in_step(before, since, view) == {}
        assert view.vanished_since(since) == [(1, 10)]
        assert (view.info.uidnext, view.info.highestmodseq > since) == (11, True)
        assert (await inbox(reader, "Old")).exists == 7
    (appended,) = await account.append(messages("later"))
    assert appended.uid == 11


async def test_beyond_what_is_remembered_every_uid_that_is_not_there_is_told(
    store: MemoryStore, clock: ManualClock
) -> None:
    """RFC 7162 section 3.2.5.1: a server may tell of more than vanished; the memory of a folder is bounded."""
    account = await mailboxes(store, clock).open(ACCOUNT)
    count = 5 * MAX_RANGES // 2
    for start in range(0, count, 500):
        await account.append(messages(*range(start, start + 500)))
    moments = []
    for start in range(0, count, 500):
        view = await inbox(account)
        moments.append((int(view.info.highestmodseq), known(view)))
        await account.expunge("INBOX", range(start + 1, start + 501, 2), only_deleted=False)
    await account.keep_snapshot()
    for reader in (account, fresh(store, clock)):
        view = await inbox(reader)
        forgotten = view._vanished.since
        assert KEPT_RANGES <= len(view._vanished.entries) <= MAX_RANGES
        assert moments[0][0] < forgotten < moments[-1][0]
        for modseq, before in moments:
            assert in_step(before, modseq, view) == known(view)
            told = sum(last - first + 1 for first, last in view.vanished_since(modseq))
            exact = len(before) - len(set(before) & set(view.uids))
            assert told == exact if modseq >= forgotten else told >= exact
