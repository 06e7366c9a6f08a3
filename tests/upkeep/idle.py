"""An installation in memory whose accounts lie idle, and a clock whose sleepers wait for nothing: for the rounds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from merpati.clock import ManualClock
from merpati.directory.api import AccountEntry, DomainEntry
from merpati.directory.open import DirectoryLogs
from merpati.ids import AccountId, SeededDice, derived_account_id
from merpati.log.layout import log_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.telemetry import Metrics
from merpati.upkeep.rounds import Chore, Rounds
from tests.mailbox.worlds import messages

DAY = 86_400.0


class HastyClock(ManualClock):
    """Whoever sleeps wakes at once, and it is later then."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        """Let time go on."""
        self._now += max(0.0, seconds)


@dataclass
class Tenants:
    """The directory, as far as the upkeep asks it."""

    entries: dict[str, AccountEntry] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    async def domains(self) -> list[DomainEntry]:
        return [DomainEntry(name) for name in self.names]

    async def accounts(self, domain: str = "") -> list[AccountEntry]:
        return list(self.entries.values())

    async def account(self, address: str) -> AccountEntry | None:
        return self.entries.get(address)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            address = address_of(number)
            self.entries[address] = AccountEntry(id_of(number), address)


def id_of(number: int) -> AccountId:
    return derived_account_id("upkeep", str(number))


def address_of(number: int) -> str:
    return f"user{number}@example.org"


class Idle:
    """A store whose requests are counted, and what works on it; `wrap` puts something between."""

    def __init__(
        self, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store, clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or HastyClock()
        self.requests: Counter[str] = Counter()
        self.bare = MemoryStore(self.clock)
        self.store = MeteredStore(wrap(self.bare), self.clock, lambda operation, _, __: self._count(operation))
        self.tenants = Tenants()
        self.metrics = Metrics()
        self._seed = 0

    def _count(self, operation: str) -> None:
        self.requests[operation] += 1

    def mailboxes(self) -> AllMailboxes:
        self._seed += 1
        return AllMailboxes(self.store, clock=self.clock, dice=SeededDice(self._seed), writer="test")

    def account(self, number: int) -> MailAccount:
        """As a process sees it that has just started."""
        return self.mailboxes().account(id_of(number))

    def rounds(self, *, every: float = DAY, chores: Sequence[Chore] = (), metrics: Metrics | None = None) -> Rounds:
        """The upkeep of one process."""
        boxes = self.mailboxes()
        dice, metrics = SeededDice(1000 + self._seed), metrics or self.metrics
        return Rounds(
            self.store, self.tenants, lambda account: boxes.account(account).log,
            DirectoryLogs(self.store, self.clock, dice, metrics).open, self.clock, dice, metrics,
            every=every, writer=f"node{self._seed}", chores=chores,
        )  # fmt: skip

    async def filled(self, number: int, commits: int) -> MailAccount:
        """An account that gets so many messages, delivered one by one."""
        self.tenants.add(number)
        account = self.account(number)
        for message in range(commits):
            await account.append(messages(f"{number}.{message}"))
        return account

    async def copied(self, source: int, number: int) -> None:
        """Another account with the same objects: nothing in a log says whose it is."""
        self.tenants.add(number)
        old, new = log_of(id_of(source)).prefix, log_of(id_of(number)).prefix
        for info in [info async for info in self.bare.list(f"{old}/")]:
            await self.bare.put(new + info.key.removeprefix(old), await self.bare.get(info.key))

    async def objects(self, number: int) -> Counter[str]:
        """How many objects of each kind an account has."""
        prefix = f"{log_of(id_of(number)).prefix}/"
        return Counter([info.key.removeprefix(prefix).partition("/")[0] async for info in self.bare.list(prefix)])

    async def days(self, rounds: Rounds, many: int) -> None:
        """So many days, a round on each."""
        for _ in range(many):
            await rounds.round()
            self.pass_by(DAY - self.clock.time() % DAY + 60)

    def pass_by(self, seconds: float) -> None:
        """Let time go on, with nobody at work."""
        assert isinstance(self.clock, HastyClock)
        self.clock.pass_by(seconds)
