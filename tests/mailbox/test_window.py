"""What the window of the past promises: each state in it can be had, with the bytes of its messages (rule V1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from merpati.clock import ManualClock
from merpati.log.travel import OutOfReach, Travel
from merpati.log.vacuum import kept
from merpati.mailbox.account import MailAccount
from merpati.mailbox.restoring import restored
from merpati.mailbox.state import MailState
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, fresh, mail, mailboxes, messages
from tests.objects.paused import Held

HOUR = 3600.0
DAY = 24 * HOUR


async def test_a_mailbox_can_be_seen_as_of_every_commit_in_the_window() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    shapes: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for number in range(40):
        await account.append(messages(number))
        if number % 7 == 6:
            await account.expunge("INBOX", [number - 3], only_deleted=False)
        if number in (10, 20):
            await account.compact()
        tip = account.log.tip
        assert tip is not None
        shapes[tip.number] = list((await account.folder("INBOX")).uids)
        times[tip.number] = clock.time()
        await clock.advance(600)
    await account.compact()
    await account.vacuum()
    travel = Travel(fresh(store, clock).log.reader)
    for number, uids in shapes.items():
        folder = (await travel.state_at(number)).state.find("INBOX")
        assert list(folder.columns.uids[: folder.columns.length]) == uids
        assert await travel.number_at(times[number]) == number
    commits = [commit.number async for commit, _ in travel.commits()]
    assert commits == list(range(2, commits[-1] + 1))
    with pytest.raises(OutOfReach):
        await travel.state_at(10_000)


async def test_a_log_that_is_younger_than_the_window_gives_nothing_up() -> None:
    """Found by the simulated world: the oldest snapshot was taken for the window's beginning, however young it was."""
    clock = ManualClock(19_676 * DAY)
    account = await mailboxes(MemoryStore(clock), clock).open(ACCOUNT)
    await account.append(messages(1))
    number = account.view().number
    await account.append(messages(2))
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    for hour in range(2, 12, 2):
        await account.compact()
        await clock.advance(2 * HOUR)
        await account.reclaim(7 * DAY)
        await account.vacuum(7 * DAY)
        await account.append(messages(f"at {hour}"))
    past = (await Travel(account.log.reader).state_at(number)).state
    view = account.past_folder(past.find("INBOX"), past)
    assert [await account.body(view.body(row)) for row in range(view.exists)] == [mail(1)]


async def test_what_left_before_the_window_is_given_up() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    await account.compact()
    await clock.advance(8 * DAY)
    assert await account.reclaim(7 * DAY) == 1
    await clock.advance(8 * DAY)
    await account.vacuum(7 * DAY)
    assert [info async for info in store.list(f"accounts/{ACCOUNT}/pack/")] == []


async def test_a_vacuum_with_a_longer_window_keeps_what_one_with_a_shorter_has_left() -> None:
    """Found by the simulated world: neither the log's beginning nor the oldest snapshot was there any more."""
    clock = ManualClock(19_676 * DAY)
    account = await mailboxes(MemoryStore(clock), clock).open(ACCOUNT)
    for hour in range(12):
        await account.append(messages(hour))
        number = account.view().number
        await account.compact()
        await account.reclaim(2 * HOUR)
        await account.vacuum(2 * HOUR)
        await clock.advance(HOUR)
    await account.vacuum(7 * DAY)
    past = (await Travel(account.log.reader).state_at(number)).state
    assert past.messages == 12


class Sleeper(WrappedStore):
    """Sleeps before it reads the first of some objects: a process that is stopped, or a machine that is suspended."""

    def __init__(self, inner: ObjectStore, part: str, sleep: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__(inner)
        self._part = part
        self._sleep = sleep
        self._slept: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes:
        if self._part in key:
            self._slept = self._slept or asyncio.ensure_future(self._sleep())
            await self._slept
        return await super().get(key)


@pytest.mark.parametrize("rounds", [3, 8])
@pytest.mark.parametrize("part", ["/snap/", "/chunk/"])
async def test_who_slept_while_reading_a_snapshot_that_has_gone_since_begins_again(part: str, rounds: int) -> None:
    """Found by the simulated world: the log seemed damaged, and was read without the part that was "missing"."""
    clock = ManualClock(19_676 * DAY)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.compact()

    async def meanwhile() -> None:
        await account.append(messages(3))
        await account.expunge("INBOX", [1], only_deleted=False)
        for _ in range(rounds):  # in the end neither snapshot nor past leads from the log's beginning
            await account.compact()
            await clock.advance(2 * HOUR)
            await account.append(messages("more"))
            await account.reclaim(HOUR)
            await account.vacuum(HOUR)

    sleeper = fresh(Sleeper(store, part, meanwhile), clock)
    view = await sleeper.refresh()
    assert view.messages == 2 + rounds
    assert sleeper.log.damage is None and sleeper.log.reader.broken.damage is None


@pytest.mark.parametrize(
    ("hours", "stay"),
    [
        # the window of a week begins at noon: a snapshot of that morning is its beginning, an earlier one is not
        ((200, 40, 34, 30), (200, 40, 34)),
        # it begins before them all: the oldest is what leads to what was before the others
        ((180, 179, 178, 177), (180, 177)),
    ],
)
def test_the_snapshot_that_the_window_begins_with_stays_whatever_its_day(
    hours: tuple[int, ...], stay: tuple[int, ...]
) -> None:
    listed = [ObjectInfo(str(hour), 1, hour * HOUR) for hour in hours]
    assert kept(listed, 204 * HOUR, 7 * DAY, HOUR) == {str(hour) for hour in stay}


async def reclaimable(store: MemoryStore, clock: ManualClock) -> tuple[MailAccount, MailState]:
    """A mailbox with a pack of three messages, two of which no state in the window has, and the state that had them."""
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2, 3))
    number = account.view().number
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    await account.compact()
    await clock.advance(8 * DAY)
    return account, (await Travel(account.log.reader).state_at(number)).state


async def test_a_reclaim_beside_which_messages_come_back_changes_nothing() -> None:
    """P6: what it was about to give up is needed again."""
    clock = ManualClock(19_676 * DAY)
    store = MemoryStore(clock)
    account, past = await reclaimable(store, clock)
    held = Held(store, "/pack/")
    reclaiming = asyncio.ensure_future(fresh(held, clock, 5).reclaim())
    await held.reached.wait()
    assert (await restored(account, past, folder="INBOX")).messages == 2
    held.go.set()
    assert await reclaiming == 0


async def test_a_reclaim_beside_a_compaction_does_not_forget_what_that_has_moved() -> None:
    clock = ManualClock(19_676 * DAY)
    store = MemoryStore(clock)
    account, _ = await reclaimable(store, clock)
    held = Held(store, "/pack/")
    reclaiming = asyncio.ensure_future(fresh(held, clock, 5).reclaim())
    await held.reached.wait()
    await account.append(messages(4))
    await account.compact()
    held.go.set()
    assert await reclaiming == 0
    newest = await account.log.reader.newest_head()
    assert newest is not None and len(newest.packs) == len(newest.pasts) == 2
