"""A whole installation in memory for the tests of the upkeep: a directory, mailboxes, and time that is told to pass."""

from __future__ import annotations

from merpati.clock import ManualClock
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.ids import AccountId, SeededDice
from merpati.log.layout import log_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from merpati.upkeep.deleting import Purged, purge_removed
from tests.mailbox.worlds import mail

DAY = 86_400.0
HOUR = 3600.0
ANN, BOB = "ann@here.test", "bob@here.test"


class Installation:
    """A bucket and processes that work on it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self._seed = 0
        self.directory = self.new_directory()
        self.mailboxes = self.process()

    def new_directory(self, store: ObjectStore | None = None) -> LogDirectory:
        self._seed += 1
        return open_directory(store or self.store, None, self.clock, SeededDice(self._seed), Metrics(), "test")

    def process(self, store: ObjectStore | None = None) -> AllMailboxes:
        """Mailboxes as another process sees them, which has read nothing yet."""
        self._seed += 1
        return AllMailboxes(store or self.store, clock=self.clock, dice=SeededDice(self._seed), writer="test")

    async def add(self, address: str, mails: int = 3) -> AccountId:
        if not await self.directory.domains():
            await self.directory.add_domain("here.test")
        entry = await self.directory.add_account(address, "hash")
        for count in range(mails):
            await self.mailboxes.account(entry.id).append([Append("INBOX", mail(f"{address}-{count}"))])
        return entry.id

    async def filled(self, address: str) -> AccountId:
        """An account with all that a log can have: packs, pasts, snapshots, floors, chunks, commits, a large body."""
        id = await self.add(address, mails=12)
        account = self.mailboxes.account(id)
        await account.append([Append("INBOX", b"Subject: large\r\n\r\n" + b"x" * 300_000)])
        await account.compact()
        await self.clock.advance(2 * HOUR)
        await account.append([Append("INBOX", mail("later"))])
        await account.compact()
        await account.append([Append("INBOX", mail("latest"))])
        assert set(await self.kinds(id)) >= {"log", "snap", "floor", "chunk", "pack", "past"}
        return id

    async def round(self, **how: float) -> Purged:
        return await purge_removed(self.new_directory(), self.mailboxes, self.clock, **how)  # type: ignore[arg-type]

    async def kinds(self, id: AccountId) -> dict[str, int]:
        """How many keys of each kind are under an account's prefix."""
        found: dict[str, int] = {}
        for key in await self.keys(id):
            kind = key.split("/")[2]
            found[kind] = found.get(kind, 0) + 1
        return found

    async def keys(self, id: AccountId) -> list[str]:
        return [info.key async for info in self.store.list(f"{log_of(id).prefix}/")]

    async def blobs(self) -> list[str]:
        return [info.key async for info in self.store.list("blobs/")]


async def subjects(account: MailAccount) -> list[bytes]:
    """The first lines of the INBOX's bodies, after a strong read."""
    view = await account.folder("INBOX", fresh=True)
    return [(await account.body(view.body(row)))[:60] for row in range(view.exists)]
