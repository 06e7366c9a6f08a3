"""Snapshots, the floor, and writers and readers that slept through a truncation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.clock import ManualClock
from merpati.errors import Unavailable, Unknown
from merpati.ids import SeededDice
from merpati.log.api import Damaged, Decision, Tip
from merpati.log.commit_log import CommitLog, Safeguards
from merpati.log.floor import raise_floor
from merpati.log.frame import Kind, head_of
from merpati.log.past import encoded_past
from merpati.log.reading import GRACE
from merpati.log.snapshots import PastEntry, Snapshot, read_snapshot, write_snapshot
from merpati.objects.api import ObjectInfo
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.log.lists import LAYOUT, Words, WordsFold, adding, adding_once, words_log


async def snapshot_at_tip(store: MemoryStore, seed: int = 77, *, remember: bool = True) -> Snapshot:
    """What compaction does first: the state, and the heads of the commits before it."""
    tip = await words_log(store, dice=SeededDice(seed)).read()
    pasts: tuple[PastEntry, ...] = ()
    if remember:
        keys = [info.key async for info in store.list(LAYOUT.commits)]
        heads = [head_of(Kind.COMMIT, await store.get(key), key) for key in keys]
        first = tip.number - len(heads) + 1
        await store.put(LAYOUT.past("p"), encoded_past(first, heads))
        pasts = (PastEntry("p", first, tip.number, 0, 0.0),)
    return await write_snapshot(store, LAYOUT, WordsFold(), tip, SeededDice(seed), pasts=pasts)


async def truncate(store: MemoryStore, clock: ManualClock, *, remember: bool = True) -> None:
    """All of it, the grace period included."""
    snapshot = await snapshot_at_tip(store, remember=remember)
    await raise_floor(store, LAYOUT, snapshot.number + 1)
    await clock.advance(GRACE + 1)
    await store.delete([info.key async for info in store.list(LAYOUT.commits)])


@pytest.mark.slow
@given(before=st.integers(0, 35), after=st.integers(0, 35))
def test_a_snapshot_and_the_commits_after_it_are_the_whole_log(before: int, after: int) -> None:
    async def run() -> None:
        store = MemoryStore(ManualClock())
        log = words_log(store)
        for count in range(before):
            await log.commit(adding(f"b{count}"))
        await snapshot_at_tip(store)
        for count in range(after):
            await log.commit(adding(f"a{count}"))
        tip, folded = await words_log(store).read(), log.tip or Tip(())
        assert (tip.state, tip.number, tip.id, tip.at) == (folded.state, folded.number, folded.id, folded.at)

    asyncio.run(run())


async def test_a_new_snapshot_writes_only_the_chunks_that_changed() -> None:
    store = MemoryStore(ManualClock())
    log = words_log(store)
    for count in range(95):
        await log.commit(adding(str(count)))
    first = await snapshot_at_tip(store)
    await log.commit(adding("one more"))
    tip = await log.read()
    second = await write_snapshot(store, LAYOUT, WordsFold(), tip, SeededDice(5), first)
    assert len(set(second.chunks) - set(first.chunks)) == 1
    assert len(second.chunks) == 10


async def test_a_snapshot_is_complete_before_it_can_be_seen() -> None:
    store = MemoryStore(ManualClock())
    log = words_log(store)
    for count in range(30):
        await log.commit(adding(str(count)))

    keys: list[str] = []

    class Order(WrappedStore):
        async def put(self, key: str, data: bytes) -> None:
            keys.append(key)
            await super().put(key, data)

        async def create(self, key: str, data: bytes) -> None:
            keys.append(key)
            await super().create(key, data)

    order = Order(store)
    await write_snapshot(order, LAYOUT, WordsFold(), await log.read(), SeededDice(5))
    assert ["/chunk/" in key for key in keys] == [True, True, True, False]


async def test_the_newest_snapshot_is_what_a_listing_gives_first() -> None:
    store = MemoryStore(ManualClock())
    log = words_log(store)
    for count in range(12):
        await log.commit(adding(str(count)))
        await snapshot_at_tip(store)
    async for info in store.list(LAYOUT.snapshots, limit=1):
        assert info.key == LAYOUT.snapshot(13)


async def test_a_cold_open_after_a_snapshot_is_four_requests_and_its_chunks_in_four_rounds() -> None:
    store = MemoryStore(ManualClock())
    log = words_log(store)
    for count in range(30):
        await log.commit(adding(str(count)))
    await snapshot_at_tip(store)
    seen: list[str] = []
    metered = MeteredStore(store, ManualClock(), lambda operation, outcome, seconds: seen.append(operation))
    await words_log(metered).read()
    assert seen[:-2] == ["list", "get"] + ["get"] * 3
    assert sorted(seen[-2:]) == ["get", "list"], "the next commit, and beside it what stands behind (R7)"


async def sleeper(clock: ManualClock, store: MemoryStore, **guards: bool) -> CommitLog[Words, str]:
    """A writer that has read the log, and then sleeps while others write and truncate it."""
    log = words_log(store, clock, safeguards=Safeguards(**guards))
    await log.commit(adding("before"))
    other = words_log(store, clock, SeededDice(2))
    for count in range(5):
        await other.commit(adding(f"meanwhile {count}"))
    await truncate(store, clock)
    return log


async def test_a_writer_that_slept_through_a_truncation_claims_above_the_floor() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = await sleeper(clock, store)
    assert (await log.commit(adding("after"))).answer == 6
    assert (await words_log(store, clock).read()).state[-2:] == ("meanwhile 4", "after")


async def test_without_the_floor_it_believes_that_it_committed_and_nobody_sees_it() -> None:
    """The ablation of rule F3."""
    clock = ManualClock()
    store = MemoryStore(clock)
    log = await sleeper(clock, store, floor=False)
    await log.commit(adding("lost"))
    assert "lost" not in (await words_log(store, clock).read()).state


async def test_without_the_floor_it_loses_words_with_own_commit_recognition_off_too() -> None:
    """The same with its neighbour off: one safeguard must not stand in for the other."""
    clock = ManualClock()
    store = MemoryStore(clock)
    log = await sleeper(clock, store, floor=False, own_id=False)
    await log.commit(adding("lost"))
    assert "lost" not in (await words_log(store, clock).read()).state


async def test_a_reader_that_slept_through_a_truncation_reads_anew() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = await sleeper(clock, store)
    assert (await log.read()).state[-1] == "meanwhile 4"
    assert (await log.commit(adding_once("meanwhile 4"))).answer is False


async def test_a_reader_is_not_fooled_by_what_a_stalled_writer_left_below_the_floor() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    reader = words_log(store, clock, SeededDice(3))
    stalled = await sleeper(clock, store, floor=False)
    await words_log(store, clock).read()
    reader_tip = reader.tip
    assert reader_tip is None
    sleeping = words_log(store, clock, SeededDice(4))
    sleeping._opened = stalled._opened  # it had read as far as the stalled writer
    await stalled.commit(adding("void"))
    assert (await sleeping.read()).state[-1] == "meanwhile 4"


async def test_a_machine_whose_monotonic_clock_stood_still_asks_the_floor_all_the_same() -> None:
    class Suspended(ManualClock):
        """CLOCK_MONOTONIC does not count the time in which a machine is suspended."""

        def monotonic(self) -> float:
            return 0.0

    clock = Suspended()
    store = MemoryStore(clock)
    log = await sleeper(clock, store)
    assert (await log.commit(adding("after"))).answer == 6


async def test_a_view_of_less_than_half_the_grace_period_costs_no_look_at_the_floor() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    seen: list[str] = []
    log = words_log(MeteredStore(store, clock, lambda operation, outcome, seconds: seen.append(operation)), clock)
    await log.read()
    seen.clear()
    await clock.advance(GRACE / 2 - 1)
    await log.commit(adding("a"))
    assert seen == ["create"]
    await clock.advance(GRACE / 2 + 1)
    seen.clear()
    await log.commit(adding("b"))
    assert seen == ["create", "list"]


class Frozen(WrappedStore):
    """Applies a create, and gives the answer only when it is let go: a paused process."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.applied, self.go = asyncio.Event(), asyncio.Event()

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        self.applied.set()
        await self.go.wait()


@pytest.mark.parametrize("remembers", ["the newest snapshot", "an older one", "one of a newer version", "nobody"])
async def test_a_writer_paused_after_its_commit_was_applied_learns_from_the_past_that_it_counted(
    remembers: str,
) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await words_log(store, clock, SeededDice(2)).commit(adding("first"))
    frozen = Frozen(store)
    log = words_log(frozen, clock)
    await log.read()
    work = asyncio.ensure_future(log.commit(adding("mine")))
    await frozen.applied.wait()
    other = words_log(store, clock, SeededDice(3))
    await other.commit(adding("next"))
    await truncate(store, clock, remember=remembers != "nobody")
    if remembers == "an older one":
        await other.commit(adding("last"))
        await write_snapshot(store, LAYOUT, WordsFold(), await other.read(), SeededDice(5))
    snapshot = await store.get(LAYOUT.snapshot(4))
    if remembers == "one of a newer version":
        await store.put(LAYOUT.snapshot(4), snapshot[:9] + b"\x7f" + snapshot[10:])
    frozen.go.set()
    if remembers in ("the newest snapshot", "an older one"):
        assert (await work).answer == 1
        assert log.tip is not None
        assert log.tip.state[:3] == ("first", "mine", "next")
    else:
        with pytest.raises(Unknown):  # rule F4: nobody remembers, so nothing is claimed
            await work
    await store.put(LAYOUT.snapshot(4), snapshot)
    assert (await words_log(store, clock).read()).state.count("mine") == 1


class Swallowed(Frozen):
    """And then there is no answer, and for a while no listing either."""

    deaf = False

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        raise Unknown("no answer")

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        if self.deaf:
            raise Unavailable("503")
        async for info in super().list(prefix, after=after, limit=limit):
            yield info


@pytest.mark.parametrize(
    ("remembered", "deaf", "answered"), [(True, False, True), (False, False, False), (True, True, False)]
)
async def test_a_writer_that_meets_a_stalled_one_where_its_own_commit_was_does_not_take_the_race_for_lost(
    remembered: bool, deaf: bool, answered: bool
) -> None:
    """F4: the answer was lost, the commit counted and was truncated, and another sleeper took the deleted number."""
    clock = ManualClock()
    store = MemoryStore(clock)
    await words_log(store, clock, SeededDice(2)).commit(adding("first"))
    frozen = Swallowed(store)
    log, stalled = words_log(frozen, clock), words_log(store, clock, SeededDice(4))
    await log.read()
    await stalled.read()
    work = asyncio.ensure_future(log.commit(adding("mine")))
    await frozen.applied.wait()
    await words_log(store, clock, SeededDice(3)).commit(adding("next"))
    await truncate(store, clock, remember=remembered)
    if remembered:
        await stalled.commit(adding("another's"))
    else:
        with pytest.raises(Unknown):
            await stalled.commit(adding("another's"))
    frozen.deaf = deaf
    frozen.go.set()
    if answered:
        assert (await work).answer == 1
    else:
        with pytest.raises(Unknown):  # C7: a write that may have arrived has not failed
            await work
    assert (await words_log(store, clock).read()).state.count("mine") == 1


async def test_a_commit_is_unknown_while_the_floor_cannot_be_asked_and_the_view_is_old() -> None:
    """F3, C7: it is in the store, but whether it counts nobody can say."""
    clock = ManualClock()
    silent = Swallowed(MemoryStore(clock))
    log = words_log(silent, clock)
    await log.read()
    silent.go.set()
    silent.deaf = True
    await clock.advance(GRACE / 2 + 1)
    with pytest.raises(Unknown):
        await log.commit(adding("perhaps"))
    silent.deaf = False
    assert (await log.read()).state == ("perhaps",)


async def test_what_follows_a_commit_is_known_from_before_it_was_sent() -> None:
    """F3: another may have followed it at once, while the answer took its time."""
    clock = ManualClock()

    class Slow(WrappedStore):
        async def create(self, key: str, data: bytes) -> None:
            await super().create(key, data)
            await clock.advance(100.0)

    log = words_log(Slow(MemoryStore(clock)), clock)
    await log.commit(adding("a"))
    assert log._opened is not None and log._opened.known.age(clock) >= 100.0


async def test_a_damaged_snapshot_is_passed_over_while_the_commits_are_there() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = words_log(store, clock)
    for count in range(25):
        await log.commit(adding(str(count)))
        if count in (10, 20):
            await snapshot_at_tip(store)
    await store.put(LAYOUT.snapshot(22), b"junk")
    assert len((await words_log(store, clock).read()).state) == 25


async def test_a_damaged_snapshot_whose_commits_are_gone_is_an_error_and_not_an_empty_mailbox() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = words_log(store, clock)
    for count in range(5):
        await log.commit(adding(str(count)))
    await truncate(store, clock, remember=False)
    await store.put(LAYOUT.snapshot(6), b"junk")
    with pytest.raises(Damaged) as refused:
        await words_log(store, clock).read()
    assert refused.value.facts["key"] == LAYOUT.snapshot(6)
    with pytest.raises(Damaged):
        await words_log(store, clock).commit(adding("x"))


async def test_a_damaged_snapshot_is_made_up_for_by_the_heads_of_the_commits_wherever_they_are() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = words_log(store, clock)
    for count in range(5):
        await log.commit(adding(str(count)))
    await truncate(store, clock)
    await store.put(LAYOUT.snapshot(6), b"junk")
    assert (await words_log(store, clock).read()).state == tuple("01234")
    await store.delete([LAYOUT.snapshot(6)])
    assert (await words_log(store, clock).read()).state == tuple("01234"), "the floor tells that there was one"


@pytest.mark.parametrize("spoil", [None, b"junk", b"x" * 100])
async def test_a_missing_or_foreign_chunk_is_named(spoil: bytes | None) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    log = words_log(store, clock)
    for count in range(5):
        await log.commit(adding(str(count)))
    await truncate(store, clock, remember=False)
    snapshot = await read_snapshot(store, LAYOUT, 6)
    key = LAYOUT.chunk(snapshot.chunks[0])
    await (store.delete([key]) if spoil is None else store.put(key, spoil))
    with pytest.raises(Damaged) as refused:
        await words_log(store, clock).read()
    assert refused.value.facts["key"] == key


def test_a_decision_is_a_value() -> None:
    assert Decision(1, ["a"]) == Decision(1, ["a"])
