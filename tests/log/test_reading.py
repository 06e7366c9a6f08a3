"""What a process believes of a log that it has read: it never goes back, and never past what is lost."""

from __future__ import annotations

import asyncio

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.compaction import Compaction
from merpati.log.floor import raise_floor
from merpati.log.frame import Kind, head_of
from merpati.log.past import encoded_past
from merpati.log.reading import GRACE
from merpati.log.snapshots import PastEntry, write_snapshot
from merpati.objects.api import NotFound
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.log.lists import LAYOUT, WordsFold, adding, words_log


async def filled(store: MemoryStore, words: str, clock: ManualClock) -> None:
    log = words_log(store, clock, SeededDice(2))
    for word in words:
        await log.commit(adding(word))


async def test_a_lost_commit_stays_one_however_often_it_is_looked_for() -> None:
    """R7: nothing comes into its place, though a reader of its number alone would take it for the end."""
    clock = ManualClock()
    store = MemoryStore(clock)
    await filled(store, "abc", clock)
    await store.delete([LAYOUT.commit(3)])
    log = words_log(store, clock)
    for _ in range(3):
        assert (await log.read()).state == ("a",)
        assert log.damage is not None and log.damage.facts["rule"] == "R7"
    with pytest.raises(Damaged):
        await log.commit(adding("x"))
    with pytest.raises(NotFound):
        await store.get(LAYOUT.commit(3))


async def test_damage_behind_what_is_known_is_met_by_the_next_read_and_so_is_its_end() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await filled(store, "a", clock)
    log = words_log(store, clock)
    await log.read()
    await filled(store, "b", clock)
    whole = await store.get(LAYOUT.commit(3))
    await store.put(LAYOUT.commit(3), whole[:-1])
    for _ in range(2):
        assert (await log.read()).state == ("a",)
        assert log.damage is not None
    await store.put(LAYOUT.commit(3), whole)
    assert (await log.read()).state == ("a", "b")
    assert log.damage is None


async def test_a_read_that_was_overtaken_by_a_commit_of_ours_does_not_lead_back() -> None:
    clock = ManualClock()
    asked, go = asyncio.Event(), asyncio.Event()

    class Held(WrappedStore):
        async def get(self, key: str) -> bytes:
            try:
                return await super().get(key)
            finally:
                if key == LAYOUT.commit(3) and log.tip is not None and not asked.is_set():
                    asked.set()
                    await go.wait()

    store = MemoryStore(clock)
    await filled(store, "a", clock)
    log = words_log(Held(store), clock)
    await log.read()
    reading = asyncio.ensure_future(log.read())
    await asked.wait()
    await log.commit(adding("b"))
    go.set()
    await reading
    assert log.tip is not None and log.tip.state == ("a", "b")


async def test_a_commit_whose_answer_comes_late_does_not_lead_back_behind_what_was_pushed_meanwhile() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)

    class Late(WrappedStore):
        async def create(self, key: str, data: bytes) -> None:
            await super().create(key, data)
            await words_log(store, clock, SeededDice(3)).commit(adding("b"))
            assert all([log.feed(await store.get(LAYOUT.commit(number))) for number in (2, 3)])

    log = words_log(Late(store), clock)
    await log.read()
    assert (await log.commit(adding("a"))).number == 2
    assert log.tip is not None and log.tip.state == ("a", "b")


async def test_who_reads_often_need_not_ask_for_the_floor() -> None:
    """F3: each read that finds nothing says anew that nothing was there."""
    clock = ManualClock()
    seen: list[str] = []
    store = MeteredStore(MemoryStore(clock), clock, lambda operation, outcome, seconds: seen.append(operation))
    log = words_log(store, clock)
    await log.commit(adding("a"))
    for _ in range(10):
        await clock.advance(GRACE / 3)
        await log.read()
    seen.clear()
    await log.commit(adding("b"))
    assert seen == ["create"]


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("number", [3, 5])
async def test_no_commit_is_moved_that_is_not_of_this_log(number: int, elsewhere: bool) -> None:
    """P1, C2: not one in the middle, nor the last; and what it took the place of is not said to be in a past."""
    clock = ManualClock()
    store, other = MemoryStore(clock), MemoryStore(clock)
    await filled(store, "abcd", clock)
    log = words_log(store, clock)
    await log.read()
    await words_log(other, clock, SeededDice(7)).commit(adding("x"))
    for word in "yzw":
        await words_log(other, clock, SeededDice(8)).commit(adding(word))
    whence = other if elsewhere else store
    await store.put(LAYOUT.commit(number), await whence.get(LAYOUT.commit(number if elsewhere else 2)))
    with pytest.raises(Damaged) as refused:
        await Compaction(log, grace=GRACE).run()
    assert refused.value.facts["key"] in (LAYOUT.commit(number), LAYOUT.commit(number + 1))
    assert [info async for info in store.list(LAYOUT.snapshots)] == []


async def test_below_the_floor_a_stalled_writers_commit_is_told_by_the_snapshot() -> None:
    """R5: it follows the one before it as well as the right one does, whose past only a listing finds."""
    clock = ManualClock()
    store = MemoryStore(clock)
    await filled(store, "ab", clock)
    stalled = words_log(store, clock, SeededDice(5))
    before = await stalled.read()
    await filled(store, "c", clock)
    keys = [info.key async for info in store.list(LAYOUT.commits)]
    heads = [head_of(Kind.COMMIT, await store.get(key), key) for key in keys]
    await store.put(LAYOUT.past("unnamed"), encoded_past(2, heads))
    log = words_log(store, clock)
    lost = (PastEntry("lost", 2, 4, 0, 0.0),)
    snapshot = await write_snapshot(store, LAYOUT, WordsFold(), await log.read(), SeededDice(6), pasts=lost)
    await write_snapshot(store, LAYOUT, WordsFold(), before, SeededDice(7))
    await raise_floor(store, LAYOUT, 5)
    await store.delete([*keys, LAYOUT.chunk(snapshot.chunks[0])])
    stalled.reader._check_floor = False
    await stalled.commit(adding("ghost"))
    assert (await words_log(store, clock).read()).state == ("a", "b", "c")
