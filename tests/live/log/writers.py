"""A process that writes to one mailbox: `python -m tests.live.log.writers PLAN`, a Plan as JSON.  Started by `crew`.

Each of its writers has a log of its own and shares nothing with the others but the store.  It appends messages, each
with a cause, and counts: a total that all raise, and beside it, in the same commit, a count of its own.  An append is
repeated until it is acknowledged, also by the process that comes after this one; an increment is not, for it cannot
tell whether it was made.  With `tends` it keeps the mailbox instead: snapshots, compaction, truncation, vacuum.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import sys
from collections.abc import Iterable

import msgspec
import uvloop

from merpati.clock import SystemClock
from merpati.errors import Temporary, Unavailable
from merpati.ids import AccountId, SeededDice, SystemDice
from merpati.log.api import Contended, Decision
from merpati.log.commit_log import LogLimits
from merpati.log.vacuum import Vacuum
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.changes import Annotated, Change
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.state import MailState
from merpati.mailbox.verbs.born import with_birth
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store
from merpati.objects.wrapped import WrappedStore
from tests.live.log.ledger import LedgerFile, read_ledger

TOTAL = "/shared/total"
CACHE = 16 << 20
"""Bytes of a node's disk cache: less than is written."""
PAUSE = 0.2
"""Seconds before what was refused is tried again, and from one round of tending to the next."""


class Plan(msgspec.Struct, frozen=True):
    """What a process is to do."""

    url: str
    account: str
    folder: str
    """Where the ledgers are."""
    names: tuple[str, ...] = ()
    """Its writers."""
    until: int = 0
    """The number of the commit after which it ends; 0: when it is asked to (SIGTERM)."""
    seed: int = 0
    grace: float = 3600.0
    patience: float = 30.0
    dies: tuple[str, bool, int] | None = None
    """Operation of the store, before or after, which one: at that point the process kills itself."""
    tends: bool = False
    node: str = "node"
    """Processes of one node share its disk cache."""


def own(name: str) -> str:
    """The annotation with a writer's own count."""
    return f"/shared/by/{name}"


def letter(name: str, number: int) -> bytes:
    """A writer's message of that number; every other one is different."""
    head = (
        f"From: {name}@writers.test\r\nSubject: {name} {number}\r\nMessage-ID: <{name}.{number}@writers.test>\r\n\r\n"
    )
    lines = [f"{name} {number} {line} " + "x" * (line * 7 % 60) for line in range(number * 11 % 40)]
    return (head + "\r\n".join(lines) + "\r\n").encode()


class Mortal(WrappedStore):
    """A store in whose middle the process dies as if it were killed: nothing is closed, flushed or told."""

    def __init__(self, inner: ObjectStore, operation: str, before: bool, last: int) -> None:
        super().__init__(inner)
        self._operation, self._before, self._left = operation, before, last

    async def create(self, key: str, data: bytes) -> None:
        self._reach("create", True)
        await super().create(key, data)
        self._reach("create", False)

    async def put(self, key: str, data: bytes) -> None:
        self._reach("put", True)
        await super().put(key, data)
        self._reach("put", False)

    async def delete(self, keys: Iterable[str]) -> None:
        self._reach("delete", True)
        await super().delete(keys)
        self._reach("delete", False)

    def _reach(self, operation: str, before: bool) -> None:
        if (operation, before) == (self._operation, self._before):
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Writer:
    """One writer, in this life."""

    def __init__(self, name: str, account: MailAccount, folder: pathlib.Path, dice: SeededDice) -> None:
        path = folder / f"{name}.ledger"
        before = read_ledger(path)
        self._name, self._account, self._dice, self._clock = name, account, dice, SystemClock()
        self._ledger = LedgerFile(path)
        self._number = max(before.appends, default=0)
        self._unanswered = self._number not in before.appended and self._number > 0

    async def run(self, until: int, stop: asyncio.Event) -> None:
        if self._unanswered:
            await self._append(self._number)
        while not stop.is_set() and not (until and self._known >= until):
            if self._dice.uniform(0, 1) < 0.5:
                self._number += 1
                await self._append(self._number)
            else:
                await self._count()

    @property
    def _known(self) -> int:
        return self._account.log.tip.number if self._account.log.tip else 0

    async def _append(self, number: int) -> None:
        self._ledger.say("try", "append", number)
        message = Append("INBOX", letter(self._name, number), cause=f"{self._name} {number}")
        while True:
            began = self._clock.monotonic()
            try:
                (where,) = await self._account.append([message])
            except Temporary as error:
                await self._failed(error)
                continue
            self._ledger.say("done", "append", number, where.uid, round(self._clock.monotonic() - began, 4))
            return

    async def _count(self) -> None:
        self._ledger.say("try", "count")
        decide = with_birth(self._one_more, self._clock.time())
        while True:
            began = self._clock.monotonic()
            try:
                outcome = await self._account.log.commit(decide)
            except (Unavailable, Contended) as error:  # nothing was written: the same again is still one increment
                await self._failed(error)
                continue
            except Temporary as error:  # perhaps
                await self._failed(error)
                return
            self._ledger.say("done", "count", outcome.answer, round(self._clock.monotonic() - began, 4))
            return

    def _one_more(self, state: MailState) -> Decision[Change, int]:
        known = state.metadata.get(0, {})
        mine = int(known.get(own(self._name), b"0")) + 1
        total = int(known.get(TOTAL, b"0")) + 1
        raised = ((TOTAL, b"%d" % total), (own(self._name), b"%d" % mine))
        return Decision(mine, [Annotated(0, raised)])

    async def _failed(self, error: Temporary) -> None:
        self._ledger.say("failed", type(error).__name__)
        await self._clock.sleep(self._dice.uniform(0.0, PAUSE))


async def _tend(account: MailAccount, plan: Plan, dice: SeededDice, stop: asyncio.Event) -> None:
    """Everything that keeps a mailbox small, again and again, in any order."""
    clock = SystemClock()
    ledger = LedgerFile(pathlib.Path(plan.folder) / "tended")

    async def snapshot() -> None:
        await account.refresh()
        await account.keep_snapshot()

    async def compact() -> None:
        done = await account.compact()
        ledger.say("compacted", done.commits, "deleted", done.deleted)

    async def vacuum() -> None:
        done = await Vacuum(account.log.reader, grace=plan.grace, retention=plan.grace).run()
        ledger.say("vacuumed", done.snapshots, done.objects)

    works = (snapshot, compact, compact, vacuum)
    while not stop.is_set():
        try:
            await works[int(dice.uniform(0, len(works)))]()
        except Temporary as error:
            ledger.say("failed", type(error).__name__)
        await clock.sleep(dice.uniform(0.0, PAUSE))


async def _main(plan: Plan) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    folder, clock, dice = pathlib.Path(plan.folder), SystemClock(), SystemDice()
    store = open_store(plan.url, data=folder / plan.node, clock=clock, dice=dice, cache=CACHE)
    if plan.dies is not None:
        store = Mortal(store, *plan.dies)
    limits = LogLimits(grace=plan.grace, patience=plan.patience)

    def boxes(name: str) -> AllMailboxes:
        return AllMailboxes(store, clock=clock, dice=dice, log_limits=limits, writer=f"{name}@{os.getpid()}")

    nodes = {name: boxes(name) for name in plan.names or ("tender",)}
    who = AccountId(plan.account)
    if plan.tends:
        await _tend(nodes["tender"].account(who), plan, SeededDice(plan.seed), stop)
    else:
        works = []
        for count, (name, node) in enumerate(nodes.items()):
            writer = Writer(name, node.account(who), folder, SeededDice(plan.seed * 1000 + count))
            works.append(writer.run(plan.until, stop))
        await asyncio.gather(*works)
    for node in nodes.values():
        await node.close()
    await store.close()


if __name__ == "__main__":
    uvloop.run(_main(msgspec.json.decode(sys.argv[1], type=Plan)))
