"""A short life of a mailbox, in which a process dies, or is stopped for hours, at each of its requests in turn.

What it had begun another process does again, and goes on to the end; the stopped one wakes and goes on too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from merpati.errors import MerpatiError
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.restoring import restored
from tests.objects.faulty import Faults
from tests.world.judging import judged
from tests.world.letters import TWINS, as_large, large, large_part, letter
from tests.world.lives import WINDOW
from tests.world.missing import Missing
from tests.world.nodes import Fate, Node, Surroundings
from tests.world.told import Told
from tests.world.truth import History, Truth
from tests.world.virtual import VirtualClock, run_virtually
from tests.world.wire import Weather, Wire

Step = Callable[[MailAccount], Awaitable[None]]
FOREVER = 1_000_000_000
PRODIGAL, VICTIM = 6, 3


@dataclass(frozen=True, slots=True)
class Swept:
    """How a life went."""

    wrong: list[str]
    requests: int
    """Of the first process."""


class Script:
    """What happens; each step may be done again by another process after it was broken off."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._before = 0
        """A commit at which all messages were there."""

    @property
    def steps(self) -> list[Step | float]:
        """Steps, and seconds between them."""
        return [
            *(self._deliver(number) for number in (1, 2, VICTIM, PRODIGAL)),
            self._flag, self._arrange, self._move, self._snapshot, self._append, self._expunge, self._compact,
            self._deliver(7), GRACE + 1, self._compact, self._flag, self._restore, GRACE + 1, self._deliver(11),
            self._compact, self._rename, WINDOW, self._reclaim, GRACE + 1, self._vacuum, self._append, self._remove,
            self._compact, GRACE + 1, self._vacuum,
        ]  # fmt: skip

    def _deliver(self, number: int) -> Step:
        async def deliver(account: MailAccount) -> None:
            self._told.sent.add(number)
            message = Append("INBOX", letter(number), cause=f"cause {number}")
            if large(number):
                stored = await account.put_large(_pieces(large_part(number)[1]))
                message = as_large(number, stored, f"cause {number}")
            await account.append([message])
            self._told.acked.add(number)

        return deliver

    async def _append(self, account: MailAccount) -> None:
        self._told.tried[TWINS[0]] += 1
        await account.append([Append("Archive", letter(TWINS[0]), date=1.0)])
        self._told.appended[TWINS[0]] += 1

    async def _flag(self, account: MailAccount) -> None:
        view = await account.folder("INBOX", fresh=True)
        done = await account.store("INBOX", view.uids[:2], ["$k1"])
        self._told.flagged += [(int(done.modseq), view.info.id, uid, "$k1") for uid in done.changed]

    async def _arrange(self, account: MailAccount) -> None:
        if "x" not in (await account.refresh()).folders:
            await account.create("x")
        done = await account.copy("INBOX", [1, 2], "x")
        folder = (await account.folder("INBOX")).info.id
        self._told.copied += [(folder, a, done.folder, b) for a, b in zip(done.source, done.target, strict=True)]

    async def _move(self, account: MailAccount) -> None:
        uid = await _uid(account, 2)
        if uid:
            done = await account.move("INBOX", [uid], "Archive")
            self._told.expunged |= {((await account.folder("INBOX")).info.id, uid) for uid in done.source}
        self._before = (await account.refresh()).number

    async def _snapshot(self, account: MailAccount) -> None:
        await account.refresh()
        await account.keep_snapshot()

    async def _expunge(self, account: MailAccount) -> None:
        folder = (await account.folder("INBOX", fresh=True)).info.id
        uids = [await _uid(account, number) for number in (VICTIM, PRODIGAL)]
        gone = await account.expunge("INBOX", [uid for uid in uids if uid], only_deleted=False)
        self._told.expunged |= {(folder, uid) for uid in gone}

    async def _compact(self, account: MailAccount) -> None:
        await account.compact()

    async def _reclaim(self, account: MailAccount) -> None:
        await account.reclaim(WINDOW)

    async def _vacuum(self, account: MailAccount) -> None:
        await account.vacuum(WINDOW)

    async def _restore(self, account: MailAccount) -> None:
        await account.refresh()
        past = (await Travel(account.log.reader).state_at(self._before)).state
        view = account.past_folder(past.find("INBOX"), past)
        subjects = [summary.subject for summary in await view.summaries(range(view.exists))]
        wanted = [uid for uid, subject in zip(view.uids, subjects, strict=True) if subject == str(PRODIGAL)]
        done = await restored(account, past, folder="INBOX", uids=wanted)
        if done.lost or (not done.messages and not await _uid(account, PRODIGAL)):
            self._told.say(f"V1: what was expunged did not come back: {done}")

    async def _rename(self, account: MailAccount) -> None:
        folders = (await account.refresh()).folders
        if "x" in folders:
            await account.rename("x", "y/z")
            self._told.renamed.append((folders["x"].id, "y/z"))

    async def _remove(self, account: MailAccount) -> None:
        folders = (await account.refresh()).folders
        if "y/z" in folders:
            await account.delete("y/z")
            self._told.removed.append(folders["y/z"].id)


async def _uid(account: MailAccount, number: int) -> int:
    view = await account.folder("INBOX", fresh=True)
    for row, summary in enumerate(await view.summaries(range(view.exists))):
        if summary.subject == str(number):
            return view.uids[row]
    return 0


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


class _Life:
    def __init__(self, fate: Fate, missing: Missing) -> None:
        self._clock = VirtualClock()
        self._truth = Truth(self._clock)
        self._told = Told(History(self._truth))
        around = Surroundings(
            truth=self._truth,
            clock=self._clock,
            wire=Wire(SeededDice(1), Weather(0.0, 0.0, 0.0, 0.0, 1.0)),
            belated=[],
            believed=self._told.believe,
            faults=Faults(),
            missing=missing,
        )
        self._first, self._other = Node(around, 1), Node(around, 2)
        self._first.start(fate)
        self._broken_off: asyncio.Task[None] | None = None

    async def run(self) -> Swept:
        node = self._first
        for step in Script(self._told).steps:
            if isinstance(step, float):
                await self._clock.sleep(step)
                continue
            if node is self._first and not await self._done(step):
                node = self._other
            if node is self._other:
                await step(node.account)
        await self._wake()
        requests = self._first.process.requests
        for each in (self._first, self._other):
            each.end()
        await judged(self._truth, self._clock, self._told)
        for each in (self._first, self._other):
            each.bury()
        return Swept(self._told.wrong, requests)

    async def _done(self, step: Step) -> bool:
        """Whether the first process came to the end of it."""
        process = self._first.process
        task = asyncio.ensure_future(_within(step, self._first.account))
        waited: list[asyncio.Future[Any]] = [task, process.dead, process.slept]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not process.dead.done() and not process.slept.done():
            task.result()
            return True
        self._broken_off = task
        return False

    async def _wake(self) -> None:
        """Whoever was stopped goes on with what it did."""
        if self._broken_off is not None and self._first.process.slept.done():
            await asyncio.wait([self._broken_off])
            try:
                self._broken_off.result()
            except MerpatiError:
                pass


async def _within(step: Step, account: MailAccount) -> None:
    await step(account)


def lived(fate: Fate | None = None, missing: Missing | None = None) -> Swept:
    """A whole life; without a fate nothing happens to the first process."""

    async def live() -> Swept:
        return await _Life(fate or Fate(FOREVER, late=False), missing or Missing()).run()

    return run_virtually(live())
