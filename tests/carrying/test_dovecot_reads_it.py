"""Dovecot reads what we write, UIDs and flags and all; and we read what Dovecot writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from tests.carrying.doveadm import Doveadm, Fetched
from tests.carrying.everything import empty, everything, from_maildir, from_mbox, present, to_maildir, to_mbox
from tests.mailbox.worlds import mail

pytestmark = pytest.mark.live

RAWS = [
    mail("from") + b"\r\nFrom a@b.test Sun Sep 13 12:26:40 2020\r\n>From y\r\n",
    mail("large", 400_000) + b"\r\n",
    b"Subject: x\r\nX-Keywords: spam\r\nContent-Length: 3\r\n\r\nno more\r\n\r\n",
]
FLAGS = [("\\Seen", "$late"), ("\\Answered", "\\Flagged", "\\Draft", "Long-Keyword"), ()]
FOLDERS = ["INBOX", "Work", "Work/Entwürfe & 日本"]


@pytest.fixture
def maildir() -> Iterator[Doveadm]:
    with Doveadm() as doveadm:
        yield doveadm


@pytest.fixture
def mbox() -> Iterator[Doveadm]:
    with Doveadm("mbox") as doveadm:
        yield doveadm


async def account() -> MailAccount:
    made = await empty()
    for folder in FOLDERS:
        letters = [
            Append(folder, raw, flags, 1_600_000_000 + number)
            for number, (raw, flags) in enumerate(zip([mail("gone"), *RAWS], [(), *FLAGS], strict=True))
        ]
        await made.append(letters, create=True)
        await made.expunge(folder, [1], only_deleted=False)
    return made


async def as_dovecot_says(made: MailAccount) -> Fetched:
    found: Fetched = {}
    for name in FOLDERS:
        view = await made.folder(name)
        found[name] = [
            (
                view.uids[row],
                frozenset(view.flag_names(view.flags[row])),
                time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(view.dates[row])),
            )
            for row in range(view.exists)
        ]
    return found


async def test_it_opens_a_maildir_in_place_with_its_uids(maildir: Doveadm) -> None:
    made = await account()
    await to_maildir(made, maildir.home / "out")
    there = f"maildir:{maildir.home}/out"
    assert maildir.fetch(there) == await as_dovecot_says(made)
    info = (await made.folder("Work")).info
    status = maildir.run("mailbox", "status", "uidvalidity uidnext", "Work", location=there)
    assert status.split()[1:] == [f"uidnext={info.uidnext}", f"uidvalidity={info.uidvalidity}"]
    subscribed = maildir.run("mailbox", "list", "-s", location=there).splitlines()
    assert set(subscribed) == (await present(made)).state.subscriptions


async def test_it_imports_a_maildir_and_we_what_it_made_of_it(maildir: Doveadm) -> None:
    made, other = await account(), await empty()
    await to_maildir(made, maildir.home / "out")
    maildir.run("import", f"maildir:{maildir.home}/out", "", "ALL")
    await from_maildir(other, maildir.own)
    expected, found = await everything(made), await everything(other)
    assert {name: found[name] for name in FOLDERS} == {name: expected[name] for name in FOLDERS}


def without_fields(raw: bytes) -> bytes:
    return raw.replace(b"X-Keywords: spam\r\nContent-Length: 3\r\n", b"")


async def test_it_reads_an_mbox_with_its_uids(mbox: Doveadm) -> None:
    made = await account()
    await to_mbox(made, mbox.own / "inbox", "INBOX")
    there = f"mbox:{mbox.home}/none:INBOX={mbox.own}/inbox"
    assert mbox.fetch(there)["INBOX"] == (await as_dovecot_says(made))["INBOX"]
    info = (await made.folder("INBOX")).info
    status = mbox.run("mailbox", "status", "uidvalidity uidnext", "INBOX", location=there)
    assert status.split()[1:] == [f"uidnext={info.uidnext}", f"uidvalidity={info.uidvalidity}"]


async def test_we_read_the_mbox_that_it_writes_and_the_one_that_it_wrote_into(mbox: Doveadm) -> None:
    made, other, third = await account(), await empty(), await empty()
    await to_mbox(made, mbox.home / "out", "INBOX")
    there = f"mbox:{mbox.home}/none:INBOX={mbox.home}/out"
    mbox.run("import", there, "", "ALL")
    mbox.run("flags", "add", "\\Seen \\Deleted", "ALL", location=there)
    written = next(path for path in Path(mbox.own).rglob("*") if path.is_file() and path.name.lower() == "inbox")
    await from_mbox(other, written, "INBOX")
    expected, found = (await everything(made))["INBOX"], (await everything(other))["INBOX"]
    assert [message[1:] for message in found] == [message[1:] for message in expected]
    assert [message[0] for message in found] == [
        # it takes our quoting for the message's own, and puts no quoting on
        without_fields(raw).replace(b"\r\nFrom a", b"\r\n>From a").replace(b"\r\n>From y", b"\r\n>>From y")
        for raw in RAWS
    ]
    await from_mbox(third, mbox.home / "out", "INBOX")
    found = (await everything(third))["INBOX"]
    assert [message[0] for message in found] == [without_fields(raw) for raw in RAWS]
    assert [message[1] for message in found] == [message[1] | {"\\Seen", "\\Deleted"} for message in expected]
