"""Mailboxes out to a Maildir and in again: nothing changes on the way but the UIDs."""

from __future__ import annotations

import mailbox as stdlib_mailbox
import os
from pathlib import Path

import pytest

from merpati.mailbox.api import Append
from merpati.mailbox.carrying.maildir import UIDS, folder_name, folder_path
from merpati.mailbox.carrying.values import Unreadable
from tests.carrying.everything import everything, filled, from_maildir, to_maildir
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes

HARD_NAMES = [
    "INBOX",
    "Work",
    "Work/a.b",
    "..",
    "../../etc",
    "%2E",
    "Entwürfe/日本",
    ".hidden",
    "a%b",
    "a&b",
    "&-",
    "\\",
]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_name_comes_back_and_leads_nowhere_else(name: str) -> None:
    path = folder_path(name)
    assert folder_name(path) == name
    assert "/" not in path and path not in (".", "..") and path.isascii()


FOREIGN_NAMES = [
    (".Entw&APw-rfe", "Entwürfe"),
    (".Entwürfe", "Entwürfe"),
    (".a&b", "a&b"),
    (".&AGE", "&AGE"),
    (".Sent Items.2024", "Sent Items/2024"),
]


@pytest.mark.parametrize(("path", "name"), FOREIGN_NAMES)
def test_names_of_other_servers_are_understood(path: str, name: str) -> None:
    assert folder_name(path) == name


async def test_what_goes_out_comes_in(tmp_path: Path) -> None:
    account = await filled()
    expected = await everything(account)
    carried = await to_maildir(account, tmp_path / "out")
    assert (carried.folders, carried.messages, carried.lost) == (len(expected), 11, 0)
    other = await mailboxes().open(ACCOUNT)
    assert (await from_maildir(other, tmp_path / "out")).messages == 11
    assert await everything(other) == expected
    again = await from_maildir(other, tmp_path / "out")
    assert (again.messages, again.there) == (0, 11), "a second time adds nothing"


async def test_others_can_read_it(tmp_path: Path) -> None:
    account = await mailboxes().open(ACCOUNT)
    await account.append([Append("INBOX", mail(1), ("\\Seen", "\\Answered"))])
    await to_maildir(account, tmp_path / "out")
    (message,) = stdlib_mailbox.Maildir(tmp_path / "out", create=False)
    assert message["Subject"] == "message 1"
    assert message.get_flags() == "RS"


async def test_the_uids_are_written_as_dovecot_reads_them(tmp_path: Path) -> None:
    account = await mailboxes().open(ACCOUNT)
    await account.append([Append("INBOX", mail(number)) for number in range(3)])
    await account.expunge("INBOX", [1, 3], only_deleted=False)
    await to_maildir(account, tmp_path / "out")
    head, line = (tmp_path / "out" / UIDS).read_text().splitlines()
    uidvalidity = (await account.folder("INBOX")).info.uidvalidity
    assert head.startswith(f"3 V{uidvalidity} N4 G")
    (file,) = (tmp_path / "out" / "cur").iterdir()
    assert line == f"2 :{file.name.partition(':')[0]}"


async def test_keywords_that_a_maildir_has_no_room_for_are_named(tmp_path: Path) -> None:
    account = await mailboxes().open(ACCOUNT)
    flags = tuple(f"k{number:02}" for number in range(28))
    await account.append([Append("INBOX", mail(1), flags)])
    carried = await to_maildir(account, tmp_path / "out")
    assert carried.notes == ("INBOX: a Maildir has room for 26 keywords, but not for k26 k27",)
    other = await mailboxes().open(ACCOUNT)
    await from_maildir(other, tmp_path / "out")
    assert (await everything(other))["INBOX"][0][1] == set(flags[:26])


async def test_what_is_no_mail_is_passed_over_and_what_is_empty_is_named(tmp_path: Path) -> None:
    inbox = tmp_path / "old" / "cur"
    inbox.mkdir(parents=True)
    (tmp_path / "secret").write_text("not for you")
    (inbox / "1.a:2,S").write_bytes(b"Subject: one\n\nwords\n")
    (inbox / "2.b:2,").write_bytes(b"")
    (inbox / "3.c:2,").symlink_to(tmp_path / "secret")
    (inbox / ".nfs0001").write_bytes(b"busy")
    (inbox / "a folder").mkdir()
    os.mkfifo(inbox / "4.d:2,")
    account = await mailboxes().open(ACCOUNT)
    carried = await from_maildir(account, tmp_path / "old")
    assert (carried.messages, carried.refused) == (1, 1)
    assert carried.notes == (f"{inbox}/2.b:2,: it is empty",)
    assert (await everything(account))["INBOX"][0][:2] == (b"Subject: one\r\n\r\nwords\r\n", {"\\Seen"})


async def test_a_folder_of_a_name_that_we_do_not_have_gets_a_like_one(tmp_path: Path) -> None:
    for path in ("cur", ".100%.cur", ".100%/cur", ".a*b/cur", ".. ./cur"):
        (tmp_path / "old" / path).mkdir(parents=True)
    (tmp_path / "old" / ".a*b" / "cur" / "1.a:2,S").write_bytes(b"Subject: one\n\nwords\n")
    account = await mailboxes().open(ACCOUNT)
    carried = await from_maildir(account, tmp_path / "old")
    assert len((await everything(account))["a_b"]) == 1
    assert "'a*b' is called 'a_b' here" in carried.notes
    assert carried.lost == carried.refused == 0


async def test_one_folder_of_many_can_be_taken(tmp_path: Path) -> None:
    account = await filled()
    await to_maildir(account, tmp_path / "out")
    other = await mailboxes().open(ACCOUNT)
    assert (await from_maildir(other, tmp_path / "out", "Work/a.b")).messages == 1
    with pytest.raises(Unreadable, match="no folder Other"):
        await from_maildir(other, tmp_path / "out", "Other")
