"""The archive loses nothing: what comes in is what went out, UIDs and all, however often it is broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merpati.ids import SeededDice
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.objects.memory import MemoryStore
from tests.carrying.changing import changed, with_json
from tests.carrying.everything import OTHER, Hurried, Watch, empty, everything, from_archive, rich, seen, to_archive
from tests.mailbox.worlds import mail, mailboxes

SAMPLES = Path(__file__).parents[1] / "samples" / "archive"


async def test_an_empty_account_becomes_the_same(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    went = await to_archive(account, tmp_path / "a.tar.gz")
    came = await from_archive(other, tmp_path / "a.tar.gz")
    expected = await seen(account)
    assert (went.messages, came.messages, came.renumbered, came.lost, came.notes) == (13, 13, 0, 0, ())
    assert went.folders == came.folders == len(expected) - 1
    found = await seen(other)
    del found["Sent"]  # a new account has one; it is empty and has lost its special use
    found[""] = (found[""][0], found[""][1] - {"Sent"})
    expected[""] = (expected[""][0], expected[""][1] - {"Sent"})
    assert found == expected
    assert (await other.refresh()).folders["Sent"].special_use == ""


async def test_what_came_back_goes_out_as_the_same_archive_but_for_its_head(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await to_archive(account, tmp_path / "a.tar.gz")
    await to_archive(account, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes(), "one state, one archive"
    await from_archive(other, tmp_path / "a.tar.gz")
    await to_archive(other, tmp_path / "c.tar.gz")
    first, second = (list(ArchiveReader(tmp_path / name).messages()) for name in ("a.tar.gz", "c.tar.gz"))
    assert [(each.folder, each.uid, each.flags, each.date) for each in first] == [
        (each.folder, each.uid, each.flags, each.date) for each in second
    ]


async def test_new_mail_gets_uids_beyond_those_of_the_archive(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await account.expunge("INBOX", [5, 6], only_deleted=False)
    uidnext = (await account.folder("INBOX", fresh=True)).info.uidnext
    await to_archive(account, tmp_path / "a.tar.gz")
    await from_archive(other, tmp_path / "a.tar.gz")
    (new,) = await other.append([Append("INBOX", mail("new"))])
    assert new.uid == uidnext


async def test_a_second_import_adds_nothing(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await to_archive(account, tmp_path / "a.tar.gz")
    await from_archive(other, tmp_path / "a.tar.gz")
    before, number = await seen(other), other.view().number
    again = await from_archive(other, tmp_path / "a.tar.gz")
    assert (again.messages, again.there) == (0, 13)
    assert await seen(other) == before
    assert other.view().number == number, "not even a commit"


async def test_the_account_it_came_from_takes_back_what_it_lacks(tmp_path: Path) -> None:
    account = await rich()
    await to_archive(account, tmp_path / "a.tar.gz")
    before = await everything(account)
    gone = (await account.folder("INBOX", fresh=True)).uids[:2]
    await account.expunge("INBOX", list(gone), only_deleted=False)
    carried = await from_archive(account, tmp_path / "a.tar.gz")
    assert (carried.messages, carried.there, carried.renumbered) == (2, 11, 2)
    assert carried.notes == ("INBOX was there: 2 messages have new UIDs",)
    after = await everything(account)
    assert {name: sorted(mails, key=repr) for name, mails in after.items()} == {
        name: sorted(mails, key=repr) for name, mails in before.items()
    }


async def test_an_archive_brings_back_messages_whose_bytes_are_lost_and_no_others(tmp_path: Path) -> None:
    clock = Hurried()
    store = MemoryStore(clock)
    account = mailboxes(store, clock).account(OTHER)
    raw = mail("in parts", 300_000)
    stored = replace(await account.put_large(pieces(raw[50:])), prefix=raw[:50])
    large = [mail(f"large {number}", 300_000) for number in range(2)]
    await account.append([Append("INBOX", each) for each in (mail(1), stored, *large)])
    await to_archive(account, tmp_path / "a.tar.gz")
    assert (await from_archive(account, tmp_path / "a.tar.gz")).there == 4
    assert len([info async for info in store.list("blobs/")]) == 3, "what is there is not stored once more"
    view = await account.folder("INBOX")
    place = view.body(3).large
    assert place is not None
    await store.delete([place.body.key])
    bad = changed(tmp_path / "a.tar.gz", tmp_path / "b.tar.gz", with_json("merpati-archive", id="f" * 32))
    carried = await from_archive(account, bad)
    assert (carried.messages, carried.there) == (1, 3)
    view = await account.folder("INBOX")
    assert [await account.body(view.body(row)) for row in (1, 4)] == [raw, large[1]]


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_a_folder_in_use_keeps_its_own_and_others_keep_their_uids(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await to_archive(account, tmp_path / "a.tar.gz")
    own = [Append("INBOX", mail("own"), ("$b", "\\Seen")), Append("Work", mail("own work"))]
    await other.append(own, create=True)
    await other.set_metadata("Work", {"/private/comment": b"mine"})
    carried = await from_archive(other, tmp_path / "a.tar.gz")
    old, new = await seen(account), await seen(other)
    assert carried.renumbered == len(old["INBOX"][-1]) + len(old["Work"][-1])
    assert [message[0] for message in new["INBOX"][-1]] == list(range(1, 6))
    assert {message[3] for message in new["INBOX"][-1]} == {mail("own")} | {message[3] for message in old["INBOX"][-1]}
    assert {frozenset(message[1]) for message in new["INBOX"][-1][1:]} == {
        frozenset(message[1]) for message in old["INBOX"][-1]
    }
    assert new["Work"][-2] == {"/private/comment": b"mine", "/shared/comment": "größer".encode()}
    assert new["Work/a.b"] == old["Work/a.b"]
    again = await from_archive(other, tmp_path / "a.tar.gz")
    assert (again.messages, again.renumbered) == (0, 0)
    assert await seen(other) == new


async def test_a_uidvalidity_that_was_seen_under_a_name_does_not_come_again(tmp_path: Path) -> None:
    account = await rich()
    await to_archive(account, tmp_path / "a.tar.gz")
    then = (await seen(account))["Work"]
    await account.append([Append("Work", mail("after the archive"))])
    await account.delete("Work")
    carried = await from_archive(account, tmp_path / "a.tar.gz", "Work")
    now = (await seen(account))["Work"]
    assert now[0] > then[0], "else the UID of the message after the archive would be another's"
    assert now[-1] == then[-1]
    assert carried.notes == (f"Work has UIDVALIDITY {now[0]}: {then[0]} had been seen under its name",)


class Died(Exception):
    """The process did."""


def stopping(account: MailAccount, commits: int) -> None:
    """Let only so many more commits through."""
    left, through = [commits], account.log.commit

    async def commit(decide: Any) -> Any:
        if not left[0]:
            raise Died
        left[0] -= 1
        return await through(decide)

    account.log.commit = commit  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize("used", [False, True])
async def test_an_import_that_is_broken_off_anywhere_goes_on_without_doubles(tmp_path: Path, used: bool) -> None:
    account = await rich()
    await to_archive(account, tmp_path / "a.tar.gz")
    own = [Append("INBOX", mail("own")), Append("x.mbox", mail("own"))] if used else []
    whole = mailboxes(clock=Hurried(1_800_000_000.0)).account(OTHER)
    await whole.append(own, create=True)
    await from_archive(whole, tmp_path / "a.tar.gz")
    expected = await everything(whole)
    for commits in range(40):
        clock = Hurried(1_800_000_000.0)
        store = MemoryStore(clock)
        first = mailboxes(store, clock).account(OTHER)
        await first.append(own, create=True)
        stopping(first, commits)
        try:
            await from_archive(first, tmp_path / "a.tar.gz")
            break
        except Died:
            second = mailboxes(store, clock).account(OTHER)
            await from_archive(second, tmp_path / "a.tar.gz")
            assert await everything(second) == expected, commits
    assert 20 < commits < 40


async def test_an_archive_of_the_first_version_is_read() -> None:
    account = await empty()
    await from_archive(account, SAMPLES / "version-1.tar.gz")
    found = await seen(account)
    assert found["INBOX"][:2] == (1_700_000_000, 4) and found["INBOX"][7] == ("$label",)
    assert found["INBOX"][-1] == [(1, ("\\Seen", "$label"), 1_700_000_000, mail(1)), (3, (), 1_700_000_000, mail(3))]
    assert found["Work/2024"][-1] == [(1, ("\\Flagged",), 1_600_000_000, mail(4))]
    assert found["Work"][8] == {"/private/comment": b"\xff"}
    assert "Gone" in found[""][1]


@pytest.mark.parametrize("target", ["empty", "used", "the same"])
async def test_nobody_ever_sees_a_uid_below_those_he_was_told_of(tmp_path: Path, target: str) -> None:
    """RFC 9051 section 2.3.1.1, at every commit, for every name and UIDVALIDITY that was shown."""
    account = await rich()
    await to_archive(account, tmp_path / "a.tar.gz")
    other = account if target == "the same" else await empty()
    if target == "used":
        await other.append([Append("INBOX", mail("own")), Append("Work", mail("own"))], create=True)
    watch = Watch(other)
    await other.append([Append("Junk", mail("first"))])
    if target == "the same":
        await other.expunge("INBOX", [2], only_deleted=False)
        await other.append([Append("Work", mail("after the archive"))])
        await other.delete("Work")
    await from_archive(other, tmp_path / "a.tar.gz")
    await other.append([Append(name, mail(f"{name} last")) for name in ("INBOX", "Work", "Junk")])
    assert watch.commits > 30


async def test_what_was_brought_is_in_the_snapshots_and_outlives_compaction(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    clock = Hurried(1_800_000_000.0)
    store = MemoryStore(clock)
    account = mailboxes(store, clock).account(OTHER)
    await from_archive(account, tmp_path / "a.tar.gz")
    expected = await seen(account)
    await account.keep_snapshot()
    assert await seen(mailboxes(store, clock).account(OTHER)) == expected
    await account.compact()
    await clock.advance(2 * 3600)
    await account.tidy(1)
    later = mailboxes(store, clock).account(OTHER)
    assert await seen(later) == expected
    assert (await from_archive(later, tmp_path / "a.tar.gz")).messages == 0


async def test_two_at_once_bring_each_message_once(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    expected = await empty()
    await from_archive(expected, tmp_path / "a.tar.gz")
    clock = Hurried(1_800_000_000.0)
    store = MemoryStore(clock)
    nodes = [mailboxes(store, clock, SeededDice(seed)).account(OTHER) for seed in (1, 2, 3)]
    done = await asyncio.gather(*(from_archive(node, tmp_path / "a.tar.gz") for node in nodes))
    assert await seen(nodes[0]) == await seen(expected)
    assert sum(one.messages for one in done) == 13


@pytest.mark.parametrize("commit", range(1, 9))
async def test_mail_that_is_delivered_meanwhile_stays_and_no_uid_is_given_twice(tmp_path: Path, commit: int) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz", "INBOX")
    account = await empty()
    through, count = account.log.commit, [0]

    async def delivering(decide: Any) -> Any:
        count[0] += 1
        if count[0] == commit:
            account.log.commit = through  # type: ignore[method-assign]
            await account.append([Append("INBOX", mail("meanwhile"))])
            account.log.commit = delivering  # type: ignore[method-assign]
        return await through(decide)

    account.log.commit = delivering  # type: ignore[method-assign]
    await from_archive(account, tmp_path / "a.tar.gz")
    uidvalidity, uidnext, *_, messages = (await seen(account))["INBOX"]
    kept = uidvalidity == 1_700_000_000
    assert len(messages) == (5 if count[0] >= commit else 4)
    assert [message[0] for message in messages] == ([2, 3, 5, 6, 8][: len(messages)] if kept else [1, 2, 3, 4, 5])
    assert uidnext == messages[-1][0] + 1 or len(messages) == 4
    assert not [name for name in account.view().folders if name.startswith("Import")]
