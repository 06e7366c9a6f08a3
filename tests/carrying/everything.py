"""A mailbox with a bit of everything, and all that can be seen of one: what these tests begin and end with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from merpati.clock import ManualClock
from merpati.ids import AccountId
from merpati.log.api import Tip
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying.archive_format import head_of
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.mailbox.carrying.archive_writing import ArchiveWriter
from merpati.mailbox.carrying.arriving import carried_in
from merpati.mailbox.carrying.bringing import brought_in
from merpati.mailbox.carrying.leaving import carried_out, departing
from merpati.mailbox.carrying.maildir import MaildirReader, MaildirWriter
from merpati.mailbox.carrying.mbox import MboxReader, MboxWriter
from merpati.mailbox.carrying.values import Carried
from merpati.mailbox.state import MailState
from merpati.mailbox.verbs.bring import MARK
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes

OTHER = AccountId("c" * 26)


class Hurried(ManualClock):
    """Time that passes when somebody waits for it."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.gather(super().sleep(seconds), self.advance(max(0.0, seconds)))


async def empty(start: float = 1_800_000_000.0) -> MailAccount:
    """An account of another installation, of a later time."""
    return mailboxes(clock=Hurried(start)).account(OTHER)


NAMES = ["INBOX", "Work", "Work/a.b", "Work/a.b/deep", "Entwürfe/日本", ".hidden", "a&b", "x.mbox", "x.mbox/mbox"]

Everything = dict[str, list[tuple[bytes, frozenset[str], int]]]


async def everything(account: MailAccount) -> Everything:
    """Bytes, flags and date of every message."""
    found: Everything = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found[name] = [
            (await account.body(view.body(row)), frozenset(view.flag_names(view.flags[row])), view.dates[row])
            for row in range(view.exists)
        ]
    return found


async def filled() -> MailAccount:
    """Folders of all sorts of names; small and large messages; flags and keywords."""
    account = await mailboxes(clock=Hurried()).open(ACCOUNT)
    for number, name in enumerate(NAMES):
        flags = ("\\Seen", "$a") if number % 2 else ("\\Flagged", "\\Draft", "\\Answered", "Long-Keyword")
        sizes = (0, 400_000) if number < 2 else (0,)
        letters = [Append(name, mail(f"{number}-{size}", size), flags, 1_600_000_000 + number) for size in sizes]
        await account.append(letters, create=True)
    return account


async def present(account: MailAccount) -> Tip[MailState]:
    await account.refresh()
    assert account.log.tip is not None
    return account.log.tip


async def to_maildir(account: MailAccount, target: Path) -> Carried:
    state = (await present(account)).state
    return await carried_out(account, state, departing(state), MaildirWriter(target))


async def to_mbox(account: MailAccount, target: Path, folder: str = "") -> Carried:
    state = (await present(account)).state
    return await carried_out(account, state, departing(state, folder), MboxWriter(target, single=bool(folder)))


async def to_archive(account: MailAccount, target: Path, folder: str = "") -> Carried:
    tip = await present(account)
    folders = departing(tip.state, folder)
    head = head_of("ann@here.test", account.id, tip, folders, complete=not folder)
    return await carried_out(account, tip.state, folders, ArchiveWriter(target, head, folders))


async def from_maildir(account: MailAccount, source: Path, only: str = "") -> Carried:
    return await carried_in(account, MaildirReader(source, only))


async def from_mbox(account: MailAccount, source: Path, only: str = "") -> Carried:
    return await carried_in(account, MboxReader(source, only))


async def from_archive(account: MailAccount, source: Path, only: str = "") -> Carried:
    return await brought_in(account, ArchiveReader(source, only))


class Watch:
    """Looks at an account after each of its commits, and remembers what was shown.

    RFC 9051 section 2.3.1.1: under one name and UIDVALIDITY a UID is one message for ever, and none comes up behind.
    """

    def __init__(self, account: MailAccount) -> None:
        self.commits = 0
        self._account = account
        self._uidnexts: dict[tuple[str, int], int] = {}
        self._messages: dict[tuple[str, int, int], str] = {}
        self._through = account.log.commit
        account.log.commit = self._commit  # type: ignore[method-assign, assignment]

    async def _commit(self, decide: Any) -> Any:
        outcome = await self._through(decide)
        self.commits += 1
        for name, info in self._account.view().folders.items():
            shown, folder = (name, info.uidvalidity), await self._account.folder(name)
            before = self._uidnexts.get(shown, 1)
            for row, uid in enumerate(folder.uids):
                known = self._messages.get((*shown, uid))
                assert known is not None or uid >= before, f"UID {uid} of {shown} came up behind"
                assert known in (None, folder.email_id(row)), f"UID {uid} of {shown} is another message's"
                self._messages[*shown, uid] = folder.email_id(row)
            assert info.uidnext >= before, f"UIDNEXT of {shown} fell"
            self._uidnexts[shown] = info.uidnext
        return outcome


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
