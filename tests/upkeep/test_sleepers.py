"""Processes that stand still while an account is purged, and go on at each of its steps: none brings it back, none is
told that it wrote what is lost, and at the end no key is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent
from merpati.ids import AccountId
from merpati.log.api import Tip
from merpati.log.floor import raise_floor
from merpati.log.reading import GRACE
from merpati.log.snapshots import write_snapshot
from merpati.log.vacuum import RETENTION
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.state import MailState
from merpati.objects.api import ObjectStore
from merpati.upkeep import deleting
from merpati.upkeep.deleting import REMEMBERED, purge_removed
from merpati.upkeep.ending import Ending
from tests.log.lists import in_virtual_time
from tests.mailbox.worlds import mail
from tests.upkeep.installation import ANN, BOB, Installation, subjects
from tests.upkeep.stepping import Sleeper, SteppingStore

pytestmark = pytest.mark.slow

WAITS = (0.0, GRACE + 1, GRACE / 4, REMEMBERED)
"""Seconds before each round: after the first two, only what says that the log has ended is left, at the end nothing."""


async def begun(here: Installation) -> AccountId:
    """A small account with a truncated past, removed, to be purged at once; and a neighbour."""
    ann = await here.add(ANN, mails=2)
    await here.add(BOB, mails=1)
    await here.mailboxes.account(ann).compact()
    await here.clock.advance(GRACE + 1)
    await here.mailboxes.account(ann).compact()
    await here.mailboxes.account(ann).append([Append("INBOX", mail("last"))])
    await here.directory.remove_account(ANN, purge=True)
    return ann


async def purged(here: Installation, store: ObjectStore) -> None:
    """All rounds but the last, in which the memory goes, by a process on `store`."""
    directory, mailboxes = here.new_directory(store), here.process(store)
    for wait in WAITS:
        await here.clock.advance(wait)
        await purge_removed(directory, mailboxes, here.clock)


async def nothing_is_left(here: Installation, ann: AccountId) -> None:
    """After two more rounds: what came late is swept in one before the memory goes."""
    for _ in range(2):
        await here.clock.advance(GRACE + 1)
        await here.round()
    assert await here.directory.removed() == []
    assert await here.keys(ann) == []
    bob = await here.directory.account(BOB)
    assert bob is not None and len(await subjects(here.process().account(bob.id))) == 1


@dataclass(frozen=True, slots=True)
class Late:
    """Somebody who wakes late: what it does, and before which of its requests it sleeps."""

    does: Callable[[AllMailboxes, AccountId], Awaitable[object]]
    before: int
    knows: bool = True
    """Whether it has read the mailbox before."""


async def append(mailboxes: AllMailboxes, id: AccountId) -> int:
    account = mailboxes.account(id)
    await account.append([Append("INBOX", mail("late"))], create=True)
    tip = account.log.tip
    assert tip is not None
    return tip.number


async def compact(mailboxes: AllMailboxes, id: AccountId) -> None:
    await mailboxes.account(id).compact()


async def snapshot(mailboxes: AllMailboxes, id: AccountId) -> None:
    await mailboxes.account(id).keep_snapshot()


async def vacuum(mailboxes: AllMailboxes, id: AccountId) -> None:
    await mailboxes.account(id).vacuum(0.0)


LATE = {
    "a delivery about to write": Late(append, 1),
    "a delivery about to look whether it wrote": Late(append, 2),
    "a delivery about to open the mailbox": Late(append, 1, knows=False),
    "a delivery that has listed the snapshots": Late(append, 2, knows=False),
    "a delivery that has read a snapshot": Late(append, 3, knows=False),
    "a delivery that has read all": Late(append, 12, knows=False),
    "a compaction that begins": Late(compact, 1),
    "a compaction about to write": Late(compact, 8),
    "a compaction about to name what it wrote": Late(compact, 10),
    "a snapshot about to be written": Late(snapshot, 8),
    "a vacuum": Late(vacuum, 4),
}


async def tried(late: Late, wake_at: int) -> int:
    """Purge, wake the sleeper after the n-th request of the purge, and look at the end; how many requests it took."""
    here = Installation()
    ann = await begun(here)
    sleeper = Sleeper(here.store, -1 if late.knows else late.before)
    process = here.process(sleeper.store)
    if late.knows:
        await process.open(ann)
        sleeper._before = sleeper.store.steps + late.before
    task = asyncio.ensure_future(_quietly(late.does(process, ann)))
    await sleeper.fell_asleep(task)

    can_tell = False

    async def step(number: int) -> None:
        nonlocal can_tell
        if number == wake_at:
            can_tell = any("/floor/" in key for key in await here.keys(ann))
            sleeper.wake()
            await in_virtual_time(here.clock, task)

    stepping = SteppingStore(here.store, step)
    await purged(here, stepping)
    sleeper.wake()
    done = await in_virtual_time(here.clock, task)
    if isinstance(done, int) and can_tell:
        (removal,) = await here.directory.removed()
        assert done < removal.closed, "it was told that it wrote to a log that had ended"
    await nothing_is_left(here, ann)
    return stepping.steps


async def _quietly(work: Awaitable[object]) -> object:
    try:
        return await work
    except MerpatiError as error:
        return error


@pytest.mark.parametrize("who", LATE)
async def test_nobody_who_wakes_late_brings_it_back(who: str) -> None:
    late, wake_at, steps = LATE[who], 1, 2
    while wake_at <= steps:
        steps = await tried(late, wake_at)
        wake_at += 1
    assert steps > 20


async def somebody_is_wronged() -> bool:
    for late in LATE.values():
        wake_at, steps = 1, 2
        while wake_at <= steps:
            try:
                steps = await tried(late, wake_at)
            except AssertionError:
                return True
            wake_at += 1
    return False


async def test_without_the_wait_for_the_commits_a_writer_is_told_that_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation of rule D5."""

    class Hasty(Ending):
        def __init__(self, account: MailAccount, clock: Clock) -> None:
            super().__init__(account, clock)
            self.grace = -1.0

    monkeypatch.setattr(deleting, "Ending", Hasty)
    assert await somebody_is_wronged()


async def test_without_the_last_commit_a_writer_is_told_that_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation of rule D2: a snapshot and a floor alone, which nobody looks at whose view is fresh."""

    class Silent(Ending):
        async def close(self) -> int:
            tip = await self._account.log.read()
            ended = Tip(MailState(number=tip.number + 1, closed=1.0), tip.number + 1, b"x" * 16, tip.at)
            reader = self._reader
            await write_snapshot(self._store, self._layout, reader.fold, ended, reader.dice, None, (), ())
            await raise_floor(self._store, self._layout, ended.number + 1)
            return ended.number

    monkeypatch.setattr(deleting, "Ending", Silent)
    assert await somebody_is_wronged()


async def test_a_purge_that_dies_at_any_request_is_finished_by_the_next() -> None:
    die_at, died = 0, True
    while died:
        here = Installation()
        ann = await begun(here)
        die_at += 1
        sleeper = Sleeper(here.store, die_at)
        task = asyncio.ensure_future(purged(here, sleeper.store))
        if died := await sleeper.fell_asleep(task):
            task.cancel()
            await asyncio.wait([task])
            await purged(here, here.store)
        await nothing_is_left(here, ann)
    assert die_at > 20


async def test_two_purges_at_once_at_any_step_of_each_other_are_one() -> None:
    meet_at, steps = 1, 2
    while meet_at <= steps:
        here = Installation()
        ann = await begun(here)

        async def step(number: int, meet: int = meet_at, here: Installation = here) -> None:
            if number == meet:
                await purge_removed(here.new_directory(), here.process(), here.clock)

        stepping = SteppingStore(here.store, step)
        await purged(here, stepping)
        await nothing_is_left(here, ann)
        meet_at, steps = meet_at + 1, stepping.steps
    assert steps > 20


async def test_a_purge_that_slept_through_all_of_another_leaves_nothing_behind() -> None:
    for asleep_before in range(1, 25):
        here = Installation()
        ann = await begun(here)
        sleeper = Sleeper(here.store, asleep_before)
        work = purge_removed(here.new_directory(sleeper.store), here.process(sleeper.store), here.clock)
        task = asyncio.ensure_future(work)
        await sleeper.fell_asleep(task)
        await purged(here, here.store)
        await nothing_is_left(here, ann)
        sleeper.wake()
        await in_virtual_time(here.clock, task)
        assert await here.keys(ann) == []


async def test_a_removal_that_is_undone_at_any_request_is_undone_whole_or_refused() -> None:
    at, steps, outcomes = 1, 2, set[bool]()
    while at <= steps:
        here = Installation()
        ann = await here.add(ANN, mails=2)
        await here.add(BOB, mails=1)
        await here.directory.remove_account(ANN)
        await here.clock.advance(RETENTION + 1)
        back = False

        async def act(number: int, at: int = at, here: Installation = here) -> None:
            nonlocal back
            if number == at:
                try:
                    await here.new_directory().restore_account(ANN)
                    back = True
                except Permanent:
                    pass

        stepping = SteppingStore(here.store, act)
        await purged(here, stepping)
        if back:
            assert len(await subjects(here.process().account(ann))) == 2
            assert await here.directory.removed() == []
        else:
            await nothing_is_left(here, ann)
        outcomes.add(back)
        at, steps = at + 1, stepping.steps
    assert outcomes == {True, False}
