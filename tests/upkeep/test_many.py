"""Accounts that come, share mail, go and come back, in any order, with upkeep between: nobody misses a byte that is
his, and when all are gone nothing is left.
"""

from __future__ import annotations

import random

import pytest

from merpati.errors import Permanent
from merpati.events import longest_reference
from merpati.ids import AccountId, SeededDice
from merpati.log.reading import GRACE
from merpati.log.vacuum import RETENTION
from merpati.mailbox.api import Append, Large
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.deleting import REMEMBERED
from merpati.upkeep.everything import clean_everything
from tests.mailbox.worlds import mail
from tests.upkeep.installation import DAY, HOUR, Installation
from tests.upkeep.test_blobs import put

STEPS = 150
FOLDERS = ("INBOX", "Archive")


class Life:
    """A seeded sequence of what operators, senders and owners do, and what each mailbox must hold after it."""

    def __init__(self, seed: int) -> None:
        self.here = Installation()
        self.chance = random.Random(seed)
        self.ids: dict[str, AccountId] = {}
        self.removed: dict[str, float] = {}
        self.gone: list[AccountId] = []
        self.held: dict[AccountId, dict[str, list[bytes]]] = {}
        self.shared: list[tuple[Large, bytes]] = []
        self.count = 0
        self.swept = 0
        """Large bodies that the upkeep removed on the way."""

    async def step(self) -> None:
        doings = [self.come] * 3 + [self.go, self.come_back, self.purge] + [self.deliver, self.share] * 3
        await self.chance.choice([*doings, self.move, self.expunge, self.wait, self.wait, self.clean, self.clean])()

    def somebody(self) -> AccountId | None:
        here = [self.ids[name] for name in sorted(self.ids) if name not in self.removed]
        return self.chance.choice(here) if here else None

    async def come(self) -> None:
        name = f"user{self.chance.randrange(5)}@here.test"
        if name in self.ids and name not in self.removed:
            return
        if name in self.removed:
            self.gone.append(self.ids[name])
            del self.removed[name]
        self.ids[name] = await self.here.add(name, mails=0)
        self.held[self.ids[name]] = {folder: [] for folder in FOLDERS}

    async def go(self) -> None:
        if (id := self.somebody()) is not None:
            (name,) = [name for name, each in self.ids.items() if each == id]
            await self.here.directory.remove_account(name)
            self.removed[name] = self.here.clock.time()

    async def come_back(self) -> None:
        for name in sorted(self.removed)[:1]:
            try:
                await self.here.directory.restore_account(name)
            except Permanent:
                assert self.here.clock.time() >= self.removed[name] + RETENTION or self.ids[name] in self.gone
                continue
            del self.removed[name]

    async def purge(self) -> None:
        for name in sorted(self.removed)[:1]:
            await self.here.directory.remove_account(name, purge=True)
            await self.here.round()
            self.removed[name] = -RETENTION
            self._forget()

    async def deliver(self) -> None:
        if (id := self.somebody()) is not None:
            self.count += 1
            await self._append(id, mail(self.count), mail(self.count))

    async def share(self) -> None:
        if (id := self.somebody()) is None:
            return
        if not self.shared or self.chance.random() < 0.4:
            self.count += 1
            body = mail(self.count, 260_000)
            self.shared.append((await put(self.here, body, self.count), body))
        large, body = self.chance.choice(self.shared[-3:])
        if large.key in await self.here.blobs():
            await self._append(id, large, body)

    async def _append(self, id: AccountId, content: bytes | Large, body: bytes) -> None:
        await self.here.mailboxes.account(id).append([Append("INBOX", content)])
        self.held[id]["INBOX"].append(body)

    async def move(self) -> None:
        if (id := self.somebody()) is not None:
            await self.here.mailboxes.account(id).move("INBOX", range(1, 1000), "Archive")
            self.held[id]["Archive"] += self.held[id]["INBOX"]
            self.held[id]["INBOX"] = []

    async def expunge(self) -> None:
        if (id := self.somebody()) is not None:
            folder = self.chance.choice(FOLDERS)
            await self.here.mailboxes.account(id).expunge(folder, range(1, 1000), only_deleted=False)
            self.held[id][folder] = []

    async def wait(self) -> None:
        await self.here.clock.advance(self.chance.choice([60.0, HOUR / 2, 2 * HOUR, DAY, 3 * DAY, 8 * DAY, 40 * DAY]))

    async def clean(self) -> None:
        for id in list(self.ids.values()):
            if id not in self.gone:
                await self.here.mailboxes.account(id).refresh()
                await self.here.mailboxes.account(id).compact()
        blobs = BlobVacuum(self.here.store, self.here.clock, SeededDice(self.count))
        here = self.here
        done = await clean_everything(
            here.store, here.directory, here.mailboxes, here.clock, SeededDice(8), blobs, retention=RETENTION
        )
        assert done.failures == ()
        self.swept += done.blobs.removed
        self._forget()

    def _forget(self) -> None:
        """A round has begun to purge those whose time had come."""
        for name in [name for name, at in self.removed.items() if at + RETENTION <= self.here.clock.time()]:
            self.gone.append(self.ids.pop(name))
            del self.removed[name]

    async def check(self) -> None:
        """Each living mailbox has what it is to have, as a process sees it that has just started."""
        for name, id in self.ids.items():
            if name in self.removed:
                continue
            account = self.here.process().account(id)
            for folder in FOLDERS:
                view = await account.folder(folder, fresh=True)
                assert [await account.body(view.body(row)) for row in range(view.exists)] == self.held[id][folder]

    async def end(self) -> None:
        """All are removed, and time passes."""
        for entry in await self.here.directory.accounts():
            await self.here.directory.remove_account(entry.address)
        for wait in (RETENTION + 1, GRACE + 1, REMEMBERED, GRACE + 1, longest_reference()):
            await self.here.clock.advance(wait)
            await self.here.round()
        await BlobVacuum(self.here.store, self.here.clock, SeededDice(9)).run()
        keys = [info.key async for info in self.here.store.list("")]
        assert [key for key in keys for id in self.held if id in key] == []
        assert await self.here.blobs() == [] and await self.here.directory.removed() == []


async def lived(seed: int) -> int:
    """A whole life; how many large bodies went on its way."""
    life = Life(seed)
    for _ in range(STEPS):
        await life.step()
        if life.chance.random() < 0.2:
            await life.check()
    await life.check()
    assert life.count > 20 and len(life.held) > 3, "a dull life proves nothing"
    await life.end()
    return life.swept


@pytest.mark.slow
async def test_nobody_misses_a_byte_and_at_the_end_nothing_is_left() -> None:
    assert sum([await lived(seed) for seed in range(3)]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", range(3, 39, 6))
async def test_the_same_for_many_lives(first: int) -> None:
    assert sum([await lived(seed) for seed in range(first, first + 6)]) > 0
