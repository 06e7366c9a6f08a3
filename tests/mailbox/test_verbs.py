"""Each verb by its promises, on one account over a store that works."""

from __future__ import annotations

import asyncio

import pytest

from merpati.clock import ManualClock
from merpati.errors import Permanent
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import (
    MAX_KEYWORDS,
    Append,
    NoSuchFolder,
    OverQuota,
    TooMany,
)
from merpati.mailbox.views import FolderAt
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, inbox, mail, mailboxes, messages


def flags_by_uid(view: FolderAt) -> dict[int, tuple[str, ...]]:
    return {uid: view.flag_names(bits) for uid, bits in zip(view.uids, view.flags, strict=True)}


# ---- an account's birth


async def test_an_account_is_born_with_the_folders_that_clients_look_for(account: MailAccount) -> None:
    view = account.view()
    assert list(view.folders) == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert {info.special_use for info in view.folders.values()} == {
        "",
        "\\Drafts",
        "\\Sent",
        "\\Junk",
        "\\Trash",
        "\\Archive",
    }
    assert view.subscriptions == set(view.folders)
    assert len({info.uidvalidity for info in view.folders.values()}) == 6
    assert all(info.highestmodseq >= 1 and info.uidnext == 1 for info in view.folders.values())


async def test_a_delivery_to_an_account_that_nobody_opened_is_one_commit(store: MemoryStore) -> None:
    (appended,) = await mailboxes(store).account(ACCOUNT).append(messages(1))
    assert appended.uid == 1
    assert [info.key async for info in store.list("")] == [LAYOUT.commit(2)]
    assert "Sent" in (await fresh(store).refresh()).folders


async def test_two_nodes_that_open_a_new_account_at_once_give_it_one_birth(store: MemoryStore) -> None:
    views = await asyncio.gather(*(fresh(store, seed=seed).refresh() for seed in range(4)))
    assert len({tuple(view.folders.items()) for view in views}) == 1


# ---- append


async def test_an_appended_message_is_read_back_byte_for_byte(account: MailAccount) -> None:
    (appended,) = await account.append(messages(1, flags=("\\Seen", "$Label")))
    view = await inbox(account)
    assert view.exists == 1
    assert (view.uids[0], view.flag_names(view.flags[0])) == (appended.uid, ("\\Seen", "$Label"))
    assert view.flags_text(view.flags[0]) == b"\\Seen $Label"
    assert await account.body(view.body(0)) == mail(1)
    assert await account.body_range(view.body(0), 3, 9) == mail(1)[3:9]
    assert b"".join([piece async for piece in account.body_stream(view.body(0), 10)]) == mail(1)
    (summary,) = await view.summaries([0])
    assert (summary.subject, summary.size) == ("message 1", len(mail(1)))
    assert list(await view.envelopes([0])) == [summary.envelope]
    assert list(await view.bodystructures([0])) == [summary.structure]


async def test_many_messages_to_many_folders_are_one_commit_or_none(account: MailAccount, store: MemoryStore) -> None:
    before = account.view().number
    appended = await account.append([*messages(1, 2), *messages(3, folder="Sent"), *messages(4)])
    assert [each.uid for each in appended] == [1, 2, 1, 3]
    assert account.view().number == before + 1
    with pytest.raises(NoSuchFolder):
        await account.append([*messages(5), *messages(6, folder="nowhere")])
    assert (await inbox(account)).exists == 3
    assert account.view().number == before + 1


async def test_a_cause_is_taken_once_however_often_it_is_delivered(account: MailAccount) -> None:
    one = Append("INBOX", mail(1), cause="id-1 bob@receiver.test")
    other = Append("INBOX", mail(1), cause="id-1 bob+x@receiver.test")
    first = await account.append([one])
    again = await account.append([one, other, one])
    assert [(each.uid, each.duplicate) for each in again] == [(1, True), (2, False), (1, True)]
    assert first[0].uid == 1
    await account.expunge("INBOX", [1], only_deleted=False)
    assert (await account.append([one]))[0].duplicate, "it was delivered, and its owner has removed it"
    assert (await inbox(account)).exists == 1


async def test_a_cause_is_taken_once_by_all_nodes(store: MemoryStore) -> None:
    one = Append("INBOX", mail(1), cause="id-1 bob")
    nodes = [fresh(store, seed=seed) for seed in range(6)]
    answers = await asyncio.gather(*(node.append([one]) for node in nodes * 2))
    assert sum(not answer[0].duplicate for answer in answers) == 1
    assert {answer[0].uid for answer in answers} == {1}


async def test_a_delivery_makes_its_folder_and_shows_it(account: MailAccount) -> None:
    (appended,) = await account.append(messages(1, folder="Lists/python"), create=True)
    view = account.view()
    assert view.folders["Lists/python"].exists == 1
    assert view.folders["Lists/python"].id == appended.folder
    assert "Lists" in view.folders
    assert "Lists/python" in view.subscriptions


async def test_a_message_without_a_date_has_the_time_of_its_append(account: MailAccount, clock: ManualClock) -> None:
    await account.append([Append("INBOX", mail(1)), Append("INBOX", mail(2), date=1_000_000.9)])
    assert list((await inbox(account)).dates) == [int(clock.time()), 1_000_000]


async def test_a_full_mailbox_takes_nothing_and_says_so(account: MailAccount) -> None:
    size = len(mail(1))
    await account.append(messages(1), quota=2 * size)
    await account.append(messages(2), quota=2 * size)
    with pytest.raises(OverQuota) as refused:
        await account.append(messages(3), quota=2 * size)
    assert refused.value.reply.startswith("552 5.2.2 ")
    await account.append([Append("INBOX", mail(4))])  # no quota given
    with pytest.raises(OverQuota):
        await account.copy("INBOX", [1], "Sent", quota=2 * size)
    assert account.view().size == 3 * size


async def test_a_message_with_nothing_in_it_is_refused(account: MailAccount) -> None:
    with pytest.raises(Permanent, match="nothing in this message"):
        await account.append([*messages(1), Append("INBOX", b"")])
    assert (await inbox(account)).exists == 0


async def test_a_warm_delivery_is_one_request(clock: ManualClock) -> None:
    seen: list[str] = []
    store = MeteredStore(MemoryStore(clock), clock, lambda operation, outcome, seconds: seen.append(operation))
    account = await mailboxes(store, clock).open(ACCOUNT)
    seen.clear()
    await account.append(messages(1))
    assert seen == ["create"]


async def test_a_burst_for_one_account_is_a_few_commits(account: MailAccount) -> None:
    before = account.view().number
    await asyncio.gather(*(account.append(messages(number)) for number in range(200)))
    assert (await inbox(account)).exists == 200
    assert account.view().number - before <= 3


# ---- flags


async def test_flags_are_set_added_and_removed(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    stored = await account.store("INBOX", [1, 2], ["\\Seen", "$Work"], mode="set")
    assert stored.changed == (1, 2)
    await account.store("INBOX", [2, 3], ["\\Flagged", "$work"], mode="add")
    await account.store("INBOX", [1], ["\\SEEN", "$never"], mode="remove")
    view = await inbox(account)
    assert flags_by_uid(view) == {1: ("$Work",), 2: ("\\Seen", "\\Flagged", "$Work"), 3: ("\\Flagged", "$Work")}
    assert (view.info.unseen, view.keywords) == (2, ("$Work",))


async def test_a_message_that_has_the_flags_already_keeps_its_modseq(account: MailAccount) -> None:
    await account.append(messages(1, 2, flags=("\\Seen",)))
    before = await inbox(account)
    stored = await account.store("INBOX", [1, 2], ["\\Seen"])
    assert (stored.changed, stored.modseq) == ((), before.info.highestmodseq)
    assert (await inbox(account)).number == before.number


async def test_unchanged_since_leaves_alone_what_somebody_else_changed(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    seen = (await inbox(account)).info.highestmodseq
    await account.store("INBOX", [2], ["\\Flagged"])
    stored = await account.store("INBOX", [1, 2, 3, 99], ["\\Deleted"], unchanged_since=seen)
    assert (stored.changed, stored.modified) == ((1, 3), (2,))
    view = await inbox(account)
    assert stored.modseq == view.info.highestmodseq == view.modseqs[0]
    assert await account.store("INBOX", [1], ["$x"], unchanged_since=0) == stored.__class__(stored.modseq, (), (1,))


async def test_the_sums_follow_the_flags(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    size = len(mail(1))
    await account.store("INBOX", [1, 2], ["\\Deleted", "\\Seen"])
    info = (await inbox(account)).info
    assert (info.unseen, info.deleted, info.size, info.deleted_size) == (1, 2, 3 * size, 2 * size)
    await account.expunge("INBOX", [2])
    await account.store("INBOX", [1], ["\\Flagged"], mode="set")
    info = (await inbox(account)).info
    assert (info.exists, info.unseen, info.deleted, info.size, info.deleted_size) == (2, 2, 0, 2 * size, 0)


async def test_keywords_have_a_limit_that_mail_is_not_refused_for(account: MailAccount) -> None:
    many = tuple(f"$k{n}" for n in range(MAX_KEYWORDS + 5))
    await account.append(messages(1, flags=many))
    view = await inbox(account)
    assert len(view.keywords) == MAX_KEYWORDS
    assert view.flag_names(view.flags[0]) == many[:MAX_KEYWORDS]
    with pytest.raises(TooMany):
        await account.store("INBOX", [1], ["$one-more"])


@pytest.mark.parametrize("flag", ["\\Recent", "\\Nonsense", "two words", "", "a(b", "x" * 101, "naïve", 'a"b'])
async def test_what_is_no_flag_is_refused(account: MailAccount, flag: str) -> None:
    await account.append(messages(1))
    with pytest.raises(Permanent):
        await account.store("INBOX", [1], [flag])
    (appended,) = await account.append(messages(2, flags=(flag, "\\Seen")))
    view = await inbox(account)
    assert view.flag_names(view.flags[view.row(appended.uid)]) == ("\\Seen",)


# ---- expunge


async def test_expunge_removes_what_is_deleted_and_no_uid_comes_back(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3, 4))
    await account.store("INBOX", [2, 4], ["\\Deleted"])
    assert await account.expunge("INBOX", [4, 3]) == (4,)
    assert await account.expunge("INBOX") == (2,)
    assert await account.expunge("INBOX") == ()
    (appended,) = await account.append(messages(5))
    assert appended.uid == 5
    assert list((await inbox(account)).uids) == [1, 3, 5]


async def test_pop3_removes_by_uid_whatever_the_flags(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    assert await account.expunge("INBOX", [1, 3, 77], only_deleted=False) == (1, 3)
    assert list((await inbox(account)).uids) == [2]


async def test_a_client_that_was_away_learns_what_vanished_and_what_changed(account: MailAccount) -> None:
    await account.append(messages(*range(1, 11)))
    away = (await inbox(account)).info.highestmodseq
    await account.expunge("INBOX", [2, 3, 4], only_deleted=False)
    await account.store("INBOX", [7], ["\\Seen"])
    later = (await inbox(account)).info.highestmodseq
    await account.expunge("INBOX", [5, 9], only_deleted=False)
    view = await inbox(account)
    assert view.vanished_since(away) == [(2, 5), (9, 9)]
    assert view.vanished_since(later) == [(5, 5), (9, 9)]
    assert [view.uids[row] for row in view.changed_since(away)] == [7]
    assert view.changed_since(view.info.highestmodseq) == []
    assert view.vanished_since(view.info.highestmodseq) == []


# ---- copy and move


async def test_a_copy_shares_the_bytes_and_has_its_own_flags(account: MailAccount, store: MemoryStore) -> None:
    await account.append(messages(1, 2, flags=("\\Seen", "$a", "$b")))
    await account.append(messages(3, folder="Sent", flags=("$b", "$c")))
    stored = [info.size async for info in store.list("")]
    copied = await account.copy("INBOX", [2, 1, 99], "Sent")
    assert (copied.source, copied.target) == ((1, 2), (2, 3))
    sent, view = await inbox(account, "Sent"), await inbox(account)
    assert flags_by_uid(sent)[2] == ("\\Seen", "$b", "$a")
    assert await account.body(sent.body(1)) == mail(1)
    assert sent.email_id(1) == view.email_id(0)
    assert (await sent.summaries([1]))[0].subject == "message 1"
    assert sent.dates[1] == view.dates[0]
    await account.store("INBOX", [1], ["\\Seen"], mode="remove")
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    assert flags_by_uid(await inbox(account, "Sent"))[2] == ("\\Seen", "$b", "$a")
    assert await account.body(sent.body(2)) == mail(2)
    assert max([info.size async for info in store.list("")][len(stored) :]) < 600, "no body was copied"


async def test_a_move_is_one_commit(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    before = account.view().number
    moved = await account.move("INBOX", [1, 3], "Trash")
    assert account.view().number == before + 1
    assert (moved.source, moved.target) == ((1, 3), (1, 2))
    assert list((await inbox(account)).uids) == [2]
    view = await inbox(account)
    assert view.vanished_since(before) == [(1, 1), (3, 3)]
    assert account.view().folders["Trash"].exists == 2


async def test_a_move_into_the_same_folder_gives_new_uids(account: MailAccount) -> None:
    await account.append(messages(1, 2))
    moved = await account.move("INBOX", [1], "INBOX")
    assert moved.target == (3,)
    view = await inbox(account)
    assert list(view.uids) == [2, 3]
    assert await account.body(view.body(1)) == mail(1)


async def test_of_two_nodes_that_move_a_message_one_finds_it_gone(store: MemoryStore) -> None:
    first, second = fresh(store, seed=1), fresh(store, seed=2)
    await first.append(messages(1))
    await second.refresh()
    moves = await asyncio.gather(first.move("INBOX", [1], "Trash"), second.move("INBOX", [1], "Archive"))
    assert sorted(len(move.source) for move in moves) == [0, 1]
    assert (await fresh(store).refresh()).messages == 1


@pytest.mark.parametrize("verb", ["copy", "move"])
async def test_copying_to_nowhere_is_refused(account: MailAccount, verb: str) -> None:
    await account.append(messages(1))
    with pytest.raises(NoSuchFolder):
        await getattr(account, verb)("INBOX", [1], "nowhere")
    assert (await inbox(account)).exists == 1


# ---- what is seen of it


async def test_a_view_never_changes(account: MailAccount) -> None:
    await account.append(messages(1, 2, 3))
    view = await inbox(account)
    await account.append(messages(4))
    await account.store("INBOX", [1], ["\\Seen"])
    await account.expunge("INBOX", [2], only_deleted=False)
    await account.append(messages(5))
    assert view.exists == 3
    assert list(view.uids) == [1, 2, 3]
    assert list(view.flags) == [0, 0, 0]
    assert view.row(4) == -1
    assert list(view.rows(1, 99)) == [0, 1, 2]
    assert (view.seq(3), view.seq(9)) == (3, None)
    assert [await account.body(view.body(row)) for row in range(3)] == [mail(1), mail(2), mail(3)]


async def test_a_state_is_the_same_to_whoever_reads_the_log(account: MailAccount, store: MemoryStore) -> None:
    await account.append(messages(1, 2, 3))
    await account.move("INBOX", [2], "Sent")
    await account.store("Sent", [1], ["$x"])
    await account.rename("Sent", "Out")
    ours, theirs = account.view(), await fresh(store).refresh()
    assert ours.folders == theirs.folders
    assert (await inbox(account, "Out")).uids == (await fresh(store).folder("Out")).uids


async def test_news_come_to_those_who_wait(account: MailAccount, store: MemoryStore) -> None:
    number = account.view().number
    waiting = asyncio.ensure_future(account.wait_changed(number))
    await asyncio.sleep(0)
    await account.append(messages(1))
    assert await waiting == number + 1
