"""The last day: the store is good again, a new process looks at everything, and all is held against the promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from merpati.errors import MerpatiError
from merpati.ids import SeededDice
from merpati.log.api import EMPTY
from merpati.log.reading import GRACE
from merpati.log.snapshots import Snapshot
from merpati.log.travel import Travel
from merpati.log.vacuum import names_in
from merpati.log.verifying import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.views import FolderAt
from merpati.upkeep.blobs import BlobVacuum
from tests.world.letters import number_of
from tests.world.lives import FOLDERS, WINDOW
from tests.world.nodes import ACCOUNT
from tests.world.told import Told, judged_counts, judged_promises
from tests.world.truth import LAYOUT, Truth, fingerprint, larges_in
from tests.world.virtual import VirtualClock

POINTS = 12
"""Earlier states from which what changed since is replayed, and that are looked back upon."""


async def judged(truth: Truth, clock: VirtualClock, told: Told) -> None:
    """Everything.  What is wrong is told."""
    judge = _Judge(truth, clock, told)
    try:
        await judge.look_back()
        await clock.sleep(3 * GRACE)
        await judge.look()
        judged_promises(told)
        await judge.tidy()
        await judge.look()
    except MerpatiError as error:
        told.say(f"V2: the mailbox cannot be read: {type(error).__name__} {error} {error.facts}")


class _Judge:
    def __init__(self, truth: Truth, clock: VirtualClock, told: Told) -> None:
        self._truth = truth
        self._clock = clock
        self._told = told
        self._seed = 0

    def _opened(self) -> MailAccount:
        self._seed += 1
        self._boxes = AllMailboxes(self._truth, clock=self._clock, dice=SeededDice(self._seed))
        return self._boxes.account(ACCOUNT)

    def _points(self, numbers: Iterable[int]) -> list[int]:
        wanted = sorted(numbers)
        return wanted[:: max(1, len(wanted) // POINTS)]

    async def look_back(self) -> None:
        """V1 of PROTOCOL.md: each state in the window can be had, and each message of it."""
        account, begin = self._opened(), self._clock.time() - WINDOW
        await account.refresh()
        travel = Travel(account.log.reader)
        for number in self._points(n for n, (_, made) in self._truth.commits.items() if made > begin):
            tip = await travel.state_at(number)
            if fingerprint(tip.state) != self._told.history.print_at(number):
                self._told.say(f"V6: the past was another at {number}")
            for folder in tip.state.folders.values():
                view = account.past_folder(folder, tip.state)
                for row in range(0, view.exists, 5):
                    self._told.check_body(await account.body(view.body(row)), f"{folder.name} at {number}")

    async def look(self) -> None:
        """V1 to V4, at the present state."""
        account = self._opened()
        view, there = await account.refresh(), Counter[int]()
        self._told.check_state(account)
        if account.log.damage is not None:
            self._told.say(f"V2: the log is damaged: {account.log.damage} {account.log.damage.facts}")
        if view.number != self._told.history.last().number:
            self._told.say(f"V5: the log ends at {view.number}, not at {self._told.history.last().number}")
        for name in view.folders:
            folder = await account.folder(name)
            for number in await self._bodies(account, folder, name):
                there[number] += name in FOLDERS
            self._replay(folder)
        judged_counts(self._told, there)

    async def _bodies(self, account: MailAccount, folder: FolderAt, name: str) -> list[int]:
        """V2: every message is whole, and its summary is its own."""
        numbers = []
        for row, summary in enumerate(await folder.summaries(range(folder.exists))):
            body = await account.body(folder.body(row))
            self._told.check_body(body, name)
            numbers.append(number_of(body))
            if summary.subject != str(numbers[-1]):
                self._told.say(f"V2: the summary of {numbers[-1]} is another's")
        return numbers

    def _replay(self, folder: FolderAt) -> None:
        """V4: whoever knew the folder at some commit, and hears what changed since, knows it now."""
        for number in self._points(self._told.seen):
            tip = self._told.history.at(number)
            before = tip.state.folders.get(folder.info.id) if tip else None
            if before is None:
                continue
            columns = before.columns
            now = dict(zip(columns.uids[: columns.length], columns.flags[: columns.length], strict=True))
            for first, last in folder.vanished_since(number):
                for uid in [uid for uid in now if first <= uid <= last]:
                    del now[uid]
            for row in folder.changed_since(number):
                now[folder.uids[row]] = folder.flags[row]
            if now != dict(zip(folder.uids, folder.flags, strict=True)):
                self._told.say(f"V4: what changed in {folder.info.name} since {number} does not lead to what is there")

    async def tidy(self) -> None:
        """V7: after two rounds of tidying everything that is named is there, and nothing else is."""
        account = self._opened()
        for _ in range(2):
            await account.compact()
            await self._clock.sleep(2 * GRACE)
            await account.vacuum(GRACE)
            await self._clock.sleep(2 * GRACE)
        for finding in await verified(account.log.reader):
            self._told.say(f"V7: {finding}")
        named = set[str]()
        async for snapshot in account.log.reader.snapshots():
            if isinstance(snapshot, Snapshot):
                named |= names_in(account.log.reader, snapshot)
        await self._tidy_blobs(account)
        last = account.log.tip.number if account.log.tip else EMPTY
        async for info in self._truth.list(f"{LAYOUT.prefix}/"):
            kind = info.key.split("/")[2]
            if kind in ("chunk", "pack", "past", "now") and info.key not in named:
                self._told.say(f"V7: {info.key} is needed by nobody")
            if kind == "log" and int(info.key[-20:]) <= last - 2:
                self._told.say(f"V7: {info.key} should have gone")

    async def _tidy_blobs(self, account: MailAccount) -> None:
        """V7: of the large bodies those are there that a message of the present state needs."""
        vacuum = BlobVacuum(self._truth, self._clock, SeededDice(9), retention=GRACE, horizon=0.0)
        await vacuum.run()
        tip = account.log.tip
        named = {place.body.key for place in larges_in(tip.state)} if tip else set()
        there = {info.key async for info in self._truth.list("blobs/")}
        for key in sorted(there - named):
            self._told.say(f"V7: {key} is needed by nobody")
        for key in sorted(named - there):
            self._told.say(f"V7: {key} is needed and has gone")
