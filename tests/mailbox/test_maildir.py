"""Mailboxes out to a Maildir and in again: nothing changes on the way but the UIDs."""

from __future__ import annotations

import mailbox as stdlib_mailbox
from pathlib import Path

import pytest

from merpati.clock import ManualClock
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.maildir import Carried, exported, folder_name, folder_path, imported
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes

NAMES = ["INBOX", "Work", "Work/a.b", "..", "../../etc", "%2E", "Entwürfe/日本", ".hidden", "a%b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back_and_leads_nowhere_else(name: str) -> None:
    path = folder_path(name)
    assert folder_name(path) == name
    assert "/" not in path and path not in (".", "..")


Everything = dict[str, list[tuple[bytes, frozenset[str], int]]]


async def everything(account: MailAccount) -> Everything:
    found: Everything = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found[name] = [
            (await account.body(view.body(row)), frozenset(view.flag_names(view.flags[row])), view.dates[row])
            for row in range(view.exists)
        ]
    return found


async def test_what_goes_out_comes_in(tmp_path: Path) -> None:
    account = await mailboxes(MemoryStore(ManualClock())).open(ACCOUNT)
    names = [name for name in NAMES if ".." not in name and "%" not in name]
    for number, name in enumerate(names):
        flags = ("\\Seen", "$a") if number % 2 else ("\\Flagged", "\\Draft", "Long-Keyword")
        sizes = (0, 400_000) if number < 2 else (0,)
        letters = [Append(name, mail(f"{number}-{size}", size), flags, 1_600_000_000 + number) for size in sizes]
        await account.append(letters, create=True)
    expected = await everything(account)
    carried = await exported(account, tmp_path / "out")
    assert carried == Carried(len(expected), len(names) + 2)
    other = await mailboxes(MemoryStore(ManualClock())).open(ACCOUNT)
    assert (await imported(other, tmp_path / "out")).messages == len(names) + 2
    assert await everything(other) == expected
    assert (await imported(other, tmp_path / "out")).messages == 0, "a second time adds nothing"


async def test_others_can_read_it(tmp_path: Path) -> None:
    account = await mailboxes(MemoryStore(ManualClock())).open(ACCOUNT)
    await account.append([Append("INBOX", mail(1), ("\\Seen", "\\Answered"))])
    await exported(account, tmp_path / "out")
    (message,) = stdlib_mailbox.Maildir(tmp_path / "out", create=False)
    assert message["Subject"] == "message 1"
    assert message.get_flags() == "RS"
