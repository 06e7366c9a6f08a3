"""The archive loses nothing: what comes in is what went out, UIDs and all, however often it is broken off."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merpati.errors import Permanent
from merpati.ids import SeededDice
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.mailbox.carrying.values import Unreadable
from merpati.mailbox.verbs.bring import MARK
from merpati.objects.memory import MemoryStore
from tests.carrying.everything import (
    NAMES,
    OTHER,
    Hurried,
    Watch,
    empty,
    everything,
    filled,
    from_archive,
    present,
    to_archive,
)
from tests.mailbox.worlds import mail, mailboxes

SAMPLES = Path(__file__).parents[1] / "samples" / "archive"


async def seen(account: MailAccount) -> dict[str, Any]:
    """All that a client can see but MODSEQs and MAILBOXIDs, of all folders that were ever used."""
    view = await account.refresh()
    found: dict[str, Any] = {"": (dict(view.metadata("")), view.subscriptions)}
    for name, info in view.folders.items():
        folder = await account.folder(name)
        messages = [
            (uid, folder.flag_names(flags), date, await account.body(folder.body(row)))
            for row, (uid, flags, date) in enumerate(zip(folder.uids, folder.flags, folder.dates, strict=True))
        ]
        entries = {key: value for key, value in view.metadata(name).items() if not key.startswith(MARK)}
        found[name] = (
            *(info.uidvalidity, info.uidnext, info.special_use, info.subscribed, info.size, info.unseen, info.deleted),
            *(folder.keywords, entries, messages),
        )
    return found


async def rich() -> MailAccount:
    """`filled`, with gaps in its UIDs, another special use, subscriptions and annotations."""
    account = await filled()
    await account.append([Append("INBOX", mail(f"more {number}")) for number in range(5)])
    await account.expunge("INBOX", [1, 4, 7], only_deleted=False)
    await account.store("INBOX", [3], ["\\Deleted", "$late"])
    await account.delete("Sent")
    await account.create("Sent Items", "\\Sent")
    await account.unsubscribe("Work")
    await account.subscribe("Not there/yet")
    await account.set_metadata("Work", {"/private/comment": b"\x00\xff work", "/shared/comment": "größer".encode()})
    await account.set_metadata("", {"/private/vendor/x": b"y"})
    return account


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


def changed(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with other members; None leaves one out."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            data = change(info.name, file.read() if file else b"")
            if data is not None:
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return target


def without(part: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, data: None if part in name else data


def with_json(part: str, **values: Any) -> Callable[[str, bytes], bytes]:
    """Each line of a member has other values."""

    def change(name: str, data: bytes) -> bytes:
        if part not in name:
            return data
        return b"".join(json.dumps({**json.loads(line), **values}).encode() + b"\n" for line in data.splitlines())

    return change


BAD = [
    (without("merpati-archive"), "does not begin with"),
    (without("folders.jsonl"), "not in their order"),
    (without("index-"), "not in their order"),
    (without("0000000002.eml"), "not in their order"),
    (without("end.json"), "ends in the middle"),
    (with_json("merpati-archive", version=2), "upgrade to read it"),
    (with_json("merpati-archive", format="other"), "no archive of a mailbox"),
    (with_json("merpati-archive", id="../../x"), "id is not"),
    (with_json("folders.jsonl", name="same"), "is in the archive twice"),
    (with_json("folders.jsonl", uidvalidity=0), "UIDVALIDITY or UIDNEXT"),
    (with_json("folders.jsonl", uidnext=1 << 32), "UIDVALIDITY or UIDNEXT"),
    (with_json("folders.jsonl", uidnext="many"), "not what it should be"),
    (with_json("folders.jsonl", uidnext=2), "do not ascend"),
    (with_json("index-", uid=1), "do not ascend"),
    (with_json("index-", uid=-1), "do not ascend"),
    (with_json("index-", file="../../../etc/passwd"), "not in their order"),
    (with_json("index-", date=1 << 70), "a date in the archive"),
    (with_json("index-", date=1 << 60), "a date in the archive"),
    (with_json("folders.jsonl", special_use="\\Sent\r\n* BYE"), "a special use"),
    (with_json("folders.jsonl", annotations={"/private/x\r\n* BYE": ""}), "name of an annotation"),
    (with_json("merpati-archive", annotations={"x": ""}), "name of an annotation"),
    (lambda name, data: b'{"x":' + b"[" * 1_000_000 if "merpati-archive" in name else data, "not what it should be"),
    (lambda name, data: b"no json" if "index-" in name else data, "not what it should be"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
async def test_an_archive_that_is_wrong_is_told_so(tmp_path: Path, change: Any, words: str) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    bad = changed(tmp_path / "a.tar.gz", tmp_path / "bad.tar.gz", change)
    with pytest.raises(Unreadable) as refused:
        await from_archive(await empty(), bad)
    assert words in str(refused.value)


async def test_a_folder_of_an_impossible_name_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    account = await filled()
    await to_archive(account, tmp_path / "a.tar.gz", "Work")
    bad = changed(tmp_path / "a.tar.gz", tmp_path / "bad.tar.gz", with_json("folders.jsonl", name="a//b"))
    other = await empty()
    with pytest.raises(Unreadable, match="no folder can have"):
        await from_archive(other, bad)
    assert (await other.refresh()).messages == 0 and len(other.view().folders) == 6


async def test_one_message_that_is_damaged_is_named_and_the_rest_comes(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await to_archive(account, tmp_path / "a.tar.gz")
    inbox = len((await account.folder("INBOX")).uids)
    bad = changed(
        tmp_path / "a.tar.gz",
        tmp_path / "bad.tar.gz",
        lambda name, data: data.replace(b"Subject", b"Sabject") if name.endswith("0000000002.eml") else data,
    )
    carried = await from_archive(other, bad)
    assert carried.lost == 2 and carried.messages == 11
    assert carried.notes == ("INBOX UID 2: its bytes are lost", "Work UID 2: its bytes are lost")
    assert len((await other.folder("INBOX")).uids) == inbox - 1
    assert (await seen(other))["INBOX"][1] == (await seen(account))["INBOX"][1], "UIDNEXT as it was"


async def test_every_cut_is_told_from_the_whole(tmp_path: Path) -> None:
    await to_archive(await filled(), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    whole = gzip.compress(data)
    for cut in [*range(1, len(whole) - 1, len(whole) // 37), len(whole) - 9]:
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(Unreadable):
            for _ in ArchiveReader(tmp_path / "cut").messages():
                pass
    (tmp_path / "twice").write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + b"\0" * 100)
    assert len(list(ArchiveReader(tmp_path / "twice").messages())) == 11


async def test_what_came_of_half_an_archive_is_named_and_a_whole_one_goes_on(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:-40_000])
    account = await empty()
    with pytest.raises(Unreadable, match="ends in the middle") as refused:
        await from_archive(account, tmp_path / "cut.tar")
    folders = account.view().folders
    aside = str(refused.value.facts["unfinished"])
    assert aside in folders and refused.value.facts["messages"] == account.view().messages > 0
    assert (await from_archive(account, tmp_path / "a.tar")).there == refused.value.facts["messages"]
    whole = await empty()
    await from_archive(whole, tmp_path / "a.tar")
    assert await seen(account) == await seen(whole)


async def test_a_gigabyte_of_nothing_costs_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("merpati-archive.json")
    info.size = 1 << 30
    (tmp_path / "bomb").write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"{" * (1 << 20)))
    with pytest.raises(Unreadable, match="more than"):
        ArchiveReader(tmp_path / "bomb")


def tar(*words: object) -> list[str]:
    done = subprocess.run(["tar", *map(str, words)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


async def test_tar_opens_it_and_what_tar_packs_again_comes_in(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    names = tar("-tzf", tmp_path / "a.tar.gz")
    assert names[:3] == ["merpati-archive.json", "folders.jsonl", "folders/0001-INBOX/index-000001.jsonl"]
    assert names[-1] == "end.json" and all(name.isascii() and ".." not in name for name in names)
    (tmp_path / "x").mkdir()
    tar("-xzf", tmp_path / "a.tar.gz", "-C", tmp_path / "x")
    head = json.loads((tmp_path / "x" / "merpati-archive.json").read_bytes())
    assert (head["format"], head["version"], head["address"]) == ("merpati-mailbox", 1, "ann@here.test")
    tar("-czf", tmp_path / "b.tgz", "-C", tmp_path / "x", *(f"./{name}" for name in names))
    assert (await from_archive(await empty(), tmp_path / "b.tgz")).messages == 13


async def test_an_archive_is_there_when_it_is_whole_and_never_overwritten(tmp_path: Path) -> None:
    account = await filled()
    await to_archive(account, tmp_path / "a.tar.gz")
    with pytest.raises(Permanent, match="there already"):
        await to_archive(account, tmp_path / "a.tar.gz")
    (tmp_path / "stopped.tar.gz.part").write_bytes(b"of an export that was killed")
    await to_archive(account, tmp_path / "stopped.tar.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "stopped.tar.gz"]


@pytest.mark.parametrize("only", NAMES[:3])
async def test_one_folder_goes_out_and_one_of_many_comes_in(tmp_path: Path, only: str) -> None:
    account, other, third = await rich(), await empty(), await empty()
    await to_archive(account, tmp_path / "one.tar.gz", only)
    await to_archive(account, tmp_path / "all.tar.gz")
    await from_archive(other, tmp_path / "one.tar.gz")
    await from_archive(third, tmp_path / "all.tar.gz", only)
    expected = (await seen(account))[only]
    assert (await seen(other))[only] == (await seen(third))[only] == expected
    assert (await present(other)).state.messages == len(expected[-1]) == (await present(third)).state.messages
