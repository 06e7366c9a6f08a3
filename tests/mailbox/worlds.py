"""Mailboxes over a store in memory, and messages to put into them: what the tests of the mailbox begin with."""

from __future__ import annotations

from merpati.clock import Clock, ManualClock
from merpati.ids import AccountId, Dice, SeededDice
from merpati.log.commit_log import Safeguards
from merpati.log.layout import log_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, MailboxLimits, Publisher
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.views import FolderAt
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics

ACCOUNT = AccountId("b" * 26)
LAYOUT = log_of(ACCOUNT)


def mail(number: int | str, size: int = 0) -> bytes:
    """A small message that no other number gives."""
    head = f"From: alice@sender.test\r\nTo: bob@receiver.test\r\nSubject: message {number}\r\n"
    return f"{head}Message-ID: <{number}@sender.test>\r\n\r\nBody {number}\r\n".encode() + b"x" * size


def mailboxes(
    store: ObjectStore | None = None,
    clock: Clock | None = None,
    dice: Dice | None = None,
    publish: Publisher | None = None,
    limits: MailboxLimits | None = None,
    safeguards: Safeguards | None = None,
    metrics: Metrics | None = None,
) -> AllMailboxes:
    clock = clock or ManualClock()
    return AllMailboxes(
        store or MemoryStore(clock),
        clock=clock,
        dice=dice or SeededDice(1),
        publish=publish,
        limits=limits,
        writer="test",
        safeguards=safeguards,
        metrics=metrics,
    )


def fresh(store: ObjectStore, clock: Clock | None = None, seed: int = 99) -> MailAccount:
    """The account as a process sees it that has just started."""
    return mailboxes(store, clock, SeededDice(seed)).account(ACCOUNT)


def messages(*numbers: int | str, folder: str = "INBOX", flags: tuple[str, ...] = ()) -> list[Append]:
    return [Append(folder, mail(number), flags) for number in numbers]


async def inbox(account: MailAccount, name: str = "INBOX") -> FolderAt:
    """The folder after a strong read."""
    return await account.folder(name, fresh=True)
