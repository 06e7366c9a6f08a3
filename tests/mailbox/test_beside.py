"""Keepers beside each other, one of which sleeps: what one does is never undone by the other (rules S5, P5, P8, V4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from merpati.clock import ManualClock
from merpati.errors import Unknown
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.reach import covered
from merpati.log.reading import GRACE, Reader
from merpati.log.snapshots import RELIED_UPON, Snapshot, TooLate
from merpati.log.vacuum import RETENTION
from merpati.log.verifying import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.marking import larges_needed
from merpati.objects.memory import MemoryStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mailboxes, messages
from tests.objects.paused import Held, Paused


async def bodies(account: MailAccount) -> set[bytes]:
    view = await account.folder("INBOX", fresh=True)
    return {await account.body(view.body(row)) for row in range(view.exists)}


async def filled(store: MemoryStore, clock: ManualClock) -> MailAccount:
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1))
    await account.keep_snapshot()
    await account.append(messages(2, 3))
    return account


async def test_a_snapshot_stays_that_others_have_come_to_rely_on_while_its_writer_slept() -> None:
    """Found by the simulated world: the older ones had gone because of it, and then it went too."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    expected = await bodies(account)

    async def meanwhile() -> None:
        await clock.advance(3 * GRACE)
        assert (await account.vacuum(GRACE)).snapshots > 0
        await clock.advance(3 * GRACE)

    sleeper = fresh(Paused(store, "create", "/snap/", meanwhile, after=True), clock)
    await sleeper.compact()
    await account.vacuum(GRACE)
    assert await bodies(fresh(store, clock, 7)) == expected
    assert await verified(account.log.reader) == []


@pytest.mark.parametrize("slept", [RELIED_UPON + 1, GRACE + RELIED_UPON])
async def test_a_snapshot_that_came_too_late_is_removed_by_its_writer(slept: float) -> None:
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    sleeper = fresh(Paused(store, "create", "/snap/", lambda: clock.advance(slept)), clock)
    with pytest.raises(TooLate):
        await sleeper.compact()
    assert len([info async for info in store.list(LAYOUT.snapshots)]) == 1
    assert len(await bodies(account)) == 3


async def test_a_snapshot_whose_chunks_the_vacuum_took_before_it_stood_is_removed_by_its_writer() -> None:
    """S5: nobody can have come to rely on it."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)

    async def meanwhile() -> None:
        await clock.advance(2 * GRACE)
        await account.vacuum(GRACE)

    slow = Paused(store, "create", "/snap/", lambda: clock.advance(2 * GRACE), after=True)
    with pytest.raises(TooLate):
        await fresh(Paused(slow, "create", "/snap/", meanwhile), clock).compact()
    reader = fresh(store, clock, 7)
    assert len(await bodies(reader)) == 3
    assert reader.log.reader.broken.damage is None


async def test_no_commit_is_deleted_because_of_a_snapshot_that_is_the_newest_no_more() -> None:
    """Found by the simulated world: of two compactions side by side the later snapshot covered less."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    later, age = Held(store, "/snap/"), Held(store, "/now/")
    past, earlier = Held(later, "/past/"), Held(age, "/snap/")
    slow = mailboxes(past, clock, SeededDice(8)).account(ACCOUNT)
    quick = mailboxes(earlier, clock, SeededDice(9)).account(ACCOUNT)

    compacting = [asyncio.ensure_future(slow.compact())]  # as far as there are commits now
    await past.reached.wait()
    await account.append(messages(4))
    compacting.append(asyncio.ensure_future(quick.compact()))  # one commit more
    await earlier.reached.wait()
    await slow.append(messages(5))
    past.go.set()
    await later.reached.wait()  # has seen no newer snapshot, and is about to write its own
    earlier.go.set()
    await age.reached.wait()  # has raised the floor to what its own snapshot covers
    later.go.set()
    await compacting[0]
    await clock.advance(GRACE + 1)
    age.go.set()
    await compacting[1]

    for _ in range(3):
        await clock.advance(2 * GRACE)
        await account.vacuum(GRACE)
        await account.compact()
    assert len(await bodies(fresh(store, clock, 7))) == 5


class Silent(WrappedStore):
    """Takes a snapshot, and does not say so: or whoever wrote it has died over it."""

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        if "/snap/" in key:
            raise Unknown("no answer")


async def compacted_beside(store: MemoryStore, clock: ManualClock, account: MailAccount, number: int) -> Held:
    """A compaction, and a snapshot of one commit more that was begun before, and is about to be written."""
    earlier, later = Held(store, "/snap/"), Held(Silent(store), "/snap/")
    compacting = asyncio.ensure_future(fresh(earlier, clock, 10 * number).compact())
    await earlier.reached.wait()
    await account.append(messages(number))
    keeper = fresh(later, clock, 10 * number + 1)
    await keeper.refresh()
    keeping = asyncio.ensure_future(keeper.keep_snapshot())
    keeping.add_done_callback(lambda done: done.exception())
    await later.reached.wait()
    earlier.go.set()
    await compacting
    return later


@pytest.mark.parametrize("slept", [False, True])
@pytest.mark.parametrize("mended_by", ["compaction", "snapshot"])
async def test_nothing_goes_because_the_newest_snapshot_covers_less_than_an_older_one(
    slept: bool, mended_by: str
) -> None:
    """P8: the commits had gone because of the older one, which then went too, with its packs."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    later = await compacted_beside(store, clock, account, 4)
    if slept:
        await clock.advance(GRACE + 1)
        await account.compact(100)  # deletes what is below the floor
    else:
        later.go.set()
        await clock.advance(GRACE + 1)
        await account.append(messages(5))
        later = await compacted_beside(store, clock, account, 6)  # deletes because of the floor of the one before
    later.go.set()
    await clock.advance(1)
    reader, there = fresh(store, clock, 6).log.reader, await bodies(account)
    assert not await reaches_the_floor(reader)
    assert LAYOUT.commit(2) not in {info.key async for info in store.list(LAYOUT.commits)}
    # V6: who asks for large bodies need not wait until that is mended
    assert [key async for key in larges_needed(reader, clock.time(), retention=RETENTION, grace=GRACE)] == []
    for _ in range(3):
        await clock.advance(2 * GRACE)
        await account.vacuum(GRACE)
        assert await verified(reader) == []
        assert await bodies(fresh(store, clock, 7)) == there
        await account.create(f"f{clock.time()}")
        await (account.compact() if mended_by == "compaction" else account.keep_snapshot())
        assert await reaches_the_floor(reader)


async def reaches_the_floor(reader: Reader[Any, Any]) -> bool:
    """Whether the newest snapshot has taken over from all commits that may be gone."""
    return covered(await reader.newest_head()) + 1 >= await reader.floor()


async def test_what_a_late_snapshot_covers_stays_elsewhere_until_it_is_sure_that_it_stays() -> None:
    """P8, S5: its writer withdraws it, and the newest one covers less than an older one again."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    later = await compacted_beside(store, clock, account, 4)
    await clock.advance(GRACE + 1)
    await account.compact(100)
    later.go.set()
    await clock.advance(2 * GRACE)
    await account.create("x")
    cleaned = Paused(store, "create", "/snap/", lambda: vacuumed(account), after=True)
    sleeper = fresh(Paused(cleaned, "create", "/snap/", lambda: clock.advance(RELIED_UPON + 1)), clock, 5)
    with pytest.raises(TooLate):
        await sleeper.keep_snapshot()
    await clock.advance(2 * GRACE)
    await account.vacuum(GRACE)
    assert len(await bodies(fresh(store, clock, 7))) == 4


async def test_no_commit_is_deleted_below_a_floor_that_was_raised_for_a_snapshot_that_has_gone() -> None:
    """P5: its writer slept before it raised the floor, and died after; the vacuum saw no reason to keep it."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    await account.compact()
    await account.append(messages(4))
    age, later = Held(store, "/now/"), Held(store, "/snap/")
    earlier = Held(age, "/snap/")
    floor = Held(earlier, "/floor/")
    compacting = asyncio.ensure_future(fresh(floor, clock, 5).compact())
    await earlier.reached.wait()
    await account.append(messages(5))
    keeper = fresh(later, clock, 6)
    await keeper.refresh()
    keeping = asyncio.ensure_future(keeper.keep_snapshot())
    await later.reached.wait()
    earlier.go.set()
    await floor.reached.wait()
    later.go.set()
    await keeping
    await clock.advance(2 * GRACE)
    await account.vacuum(GRACE)
    reach = [covered(each) async for each in account.log.reader.snapshots() if isinstance(each, Snapshot)]
    floor.go.set()
    await age.reached.wait()
    compacting.cancel()
    assert max(reach) + 1 < await account.log.reader.floor()
    for _ in range(2):
        await clock.advance(2 * GRACE)
        await account.compact(100)
        await account.vacuum(GRACE)
    assert len(await bodies(fresh(store, clock, 7))) == 5


async def vacuumed(account: MailAccount) -> None:
    await account.vacuum(GRACE)


async def test_a_snapshot_that_lacks_something_makes_no_other_go() -> None:
    """V4: it may be one that its writer has died over; from the older ones everything can still be had."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    expected = await bodies(account)
    await account.append(messages(4))
    chunks = {info.key async for info in store.list(f"{LAYOUT.prefix}/chunk/")}
    await account.keep_snapshot()
    new = [info.key async for info in store.list(f"{LAYOUT.prefix}/chunk/") if info.key not in chunks]
    await store.delete(new)
    await clock.advance(3 * GRACE)
    with pytest.raises(Damaged):
        await account.vacuum(GRACE)
    assert len([info async for info in store.list(LAYOUT.snapshots)]) == 2
    assert expected < await bodies(fresh(store, clock, 7))


async def test_a_vacuum_that_slept_removes_nothing_more() -> None:
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    for number in (5, 6):
        await account.append(messages(number))
        await account.keep_snapshot()
    await clock.advance(3 * GRACE)
    sleeper = fresh(Paused(store, "delete", "/snap/", lambda: clock.advance(GRACE), after=True), clock)
    before = len(await bodies(account))
    with pytest.raises(TooLate):
        await sleeper.vacuum(GRACE)
    assert len([info async for info in store.list(f"{LAYOUT.prefix}/chunk/")]) > 5
    assert len(await bodies(fresh(store, clock, 7))) == before


async def test_a_push_that_comes_late_does_not_say_that_nothing_follows_it() -> None:
    """R4: the number after it was taken, moved and deleted long ago."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await filled(store, clock)
    late = fresh(store, clock, 6)
    number = (await late.refresh()).number + 1
    await account.append(messages(4))
    pushed = await store.get(LAYOUT.commit(number))
    await account.append(messages(5, 6))
    for _ in range(2):
        await account.compact()
        await clock.advance(GRACE + 1)
    assert not late.told(number, pushed) and late.view().number == number
    await late.append(messages(7))
    assert len(await bodies(fresh(store, clock, 7))) == 7


class SetBack(ManualClock):
    """A machine's clock; somebody may set it, and then only the monotonic one tells how long it was."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.wrong = 0.0

    def time(self) -> float:
        return super().time() - self.wrong


@pytest.mark.parametrize("set_back", [0.0, 4 * GRACE])
async def test_writers_that_were_too_late_lose_to_each_other_below_the_floor(set_back: float) -> None:
    """F3, F4: what the one writes under the number is not the log's to the other; nor is the clock believed."""
    clock = SetBack(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await filled(store, clock)
    late = [fresh(store, clock, seed) for seed in (6, 7)]
    for each in late:
        await each.refresh()
    for number in range(4, 8):
        await account.append(messages(number))
    for _ in range(2):
        await account.compact()
        await clock.advance(GRACE + 1)
    clock.wrong = set_back
    for number, each in enumerate(late, 8):
        await each.append(messages(number))
    assert [each.log.damage for each in late] == [None, None]
    assert len(await bodies(fresh(store, clock, 9))) == 9
