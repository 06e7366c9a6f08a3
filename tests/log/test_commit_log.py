"""One log, one or more writers, a store that works."""

from __future__ import annotations

import asyncio

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Permanent, Unavailable
from merpati.ids import SeededDice
from merpati.log.api import EMPTY, Damaged, Decision, NewerFormat
from merpati.log.commits import decoded
from merpati.log.frame import PREAMBLE
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.log.lists import LAYOUT, Words, WordsFold, adding, adding_once, words_log


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(ManualClock())


async def test_a_log_that_was_never_written_is_the_empty_state(store: MemoryStore) -> None:
    log = words_log(store)
    assert log.tip is None
    tip = await log.read()
    assert (tip.state, tip.number) == ((), EMPTY)


async def test_commits_are_numbered_without_a_gap_and_read_by_others(store: MemoryStore) -> None:
    log = words_log(store)
    for count, word in enumerate("abc"):
        outcome = await log.commit(adding(word))
        assert (outcome.answer, outcome.number) == (count, EMPTY + 1 + count)
    assert (await words_log(store).read()).state == ("a", "b", "c")
    assert [info.key async for info in store.list("")] == [LAYOUT.commit(number) for number in (2, 3, 4)]


async def test_a_writer_that_lost_the_race_decides_again_on_what_the_winner_wrote(store: MemoryStore) -> None:
    first, second = words_log(store, dice=SeededDice(1)), words_log(store, dice=SeededDice(2))
    await first.read()
    await second.read()
    await first.commit(adding("first"))
    assert (await second.commit(adding("second"))).answer == 1
    assert (await second.commit(adding_once("first"))).answer is False
    assert (await first.read()).state == ("first", "second")


async def test_a_decision_without_changes_writes_nothing_but_rests_on_the_newest_state(store: MemoryStore) -> None:
    first, second = words_log(store, dice=SeededDice(1)), words_log(store, dice=SeededDice(2))
    await first.read()
    await second.commit(adding("word"))
    assert (await first.commit(adding_once("word"))).answer is False
    assert len([info async for info in store.list("")]) == 1


async def test_a_refusal_rests_on_the_newest_state_too(store: MemoryStore) -> None:
    def needing(word: str):  # type: ignore[no-untyped-def]
        def decide(state: Words) -> Decision[str, None]:
            if word not in state:
                raise Permanent("no such word")
            return Decision(None, [word + "!"])

        return decide

    first, second = words_log(store, dice=SeededDice(1)), words_log(store, dice=SeededDice(2))
    await first.read()
    await second.commit(adding("word"))
    await first.commit(needing("word"))
    with pytest.raises(Permanent, match="no such word"):
        await first.commit(needing("other"))


async def test_decisions_that_wait_go_into_one_commit_each_on_the_one_before(store: MemoryStore) -> None:
    log = words_log(store)
    outcomes = await asyncio.gather(*(log.commit(adding(str(n))) for n in range(100)))
    assert [outcome.answer for outcome in outcomes] == list(range(100))
    assert (await words_log(store).read()).state == tuple(str(n) for n in range(100))
    assert len([info async for info in store.list("")]) == 1


async def test_a_batch_ends_at_its_limits(store: MemoryStore) -> None:
    log = words_log(store, parts=10)
    await asyncio.gather(*(log.commit(adding(str(n))) for n in range(25)))
    assert len([info async for info in store.list("")]) == 3
    log = words_log(store, payload=1000)
    await asyncio.gather(*(log.commit(adding(str(n), b"x" * 400)) for n in range(9)))
    assert len([info async for info in store.list("")]) == 6
    assert len((await words_log(store).read()).state) == 34


async def test_a_refusal_or_a_bug_in_one_decision_leaves_its_neighbours_alone(store: MemoryStore) -> None:
    log = words_log(store, largest=100)

    def refusing(state: Words) -> Decision[str, None]:
        raise Permanent("no")

    results = await asyncio.gather(
        log.commit(adding("a")),
        log.commit(refusing),
        log.commit(lambda state: 1 / 0),  # type: ignore[arg-type, return-value]
        log.commit(adding("impossible")),
        log.commit(adding("large", b"x" * 101)),
        log.commit(adding("b")),
        return_exceptions=True,
    )
    kinds = [type(result) for result in results[1:5]]
    assert kinds == [Permanent, ZeroDivisionError, ValueError, Permanent]
    assert (await words_log(store).read()).state == ("a", "b")


async def test_an_attachment_is_read_from_the_commit_by_its_range(store: MemoryStore) -> None:
    log = words_log(store)
    await asyncio.gather(log.commit(adding("a", b"first", b"second")), log.commit(adding("b", b"third")))
    commit = decoded(WordsFold(), await store.get(LAYOUT.commit(2)), "")
    found = [attachment for part in commit.parts for attachment in part.attachments]
    assert found[0].offset == PREAMBLE
    assert [await store.get_range(LAYOUT.commit(2), a.offset, a.offset + a.length) for a in found] == [
        b"first",
        b"second",
        b"third",
    ]


async def test_times_never_go_back_even_if_the_clock_does(store: MemoryStore) -> None:
    ahead, behind = ManualClock(2_000.0), ManualClock(1_000.0)
    await words_log(store, ahead).commit(adding("a"))
    await words_log(store, behind, SeededDice(2)).commit(adding("b"))
    assert (await words_log(store).read()).at == 2_000.0


async def test_a_warm_write_is_one_request_and_a_strong_read_of_nothing_new_is_one(store: MemoryStore) -> None:
    seen: list[str] = []
    log = words_log(MeteredStore(store, ManualClock(), lambda operation, outcome, seconds: seen.append(operation)))
    await log.commit(adding("a"))
    seen.clear()
    await log.commit(adding("b"))
    assert seen == ["create"]
    seen.clear()
    await log.read()
    assert seen == ["get"]


async def test_many_readers_at_once_share_two_reads(store: MemoryStore) -> None:
    class Slow(WrappedStore):
        gets = 0

        async def get(self, key: str) -> bytes:
            self.gets += 1
            await asyncio.sleep(0.01)
            return await super().get(key)

    slow = Slow(store)
    log = words_log(slow, SystemClock())
    await log.read()
    slow.gets = 0
    await asyncio.gather(*(log.read() for _ in range(50)))
    assert slow.gets == 2


async def test_a_read_sees_what_was_durable_when_it_was_asked_for(store: MemoryStore) -> None:
    class Held(WrappedStore):
        def __init__(self) -> None:
            super().__init__(store)
            self.gate = asyncio.Event()
            self.gate.set()

        async def get(self, key: str) -> bytes:
            try:
                return await super().get(key)
            finally:
                await self.gate.wait()

    held = Held()
    log = words_log(held)
    await log.read()
    held.gate.clear()
    early = asyncio.ensure_future(log.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await words_log(store, dice=SeededDice(2)).commit(adding("news"))
    late = asyncio.ensure_future(log.read())
    await asyncio.sleep(0)
    held.gate.set()
    assert (await early).state == ()
    assert (await late).state == ("news",)


async def test_a_push_is_taken_if_it_is_the_next_commit_and_only_then(store: MemoryStore) -> None:
    log, other = words_log(store), words_log(store, dice=SeededDice(2))
    await log.read()
    for word in "abc":
        await other.commit(adding(word))
    objects = [await store.get(LAYOUT.commit(number)) for number in (2, 3, 4)]
    assert log.feed(objects[1]) is False  # one lies between
    assert log.feed(b"junk") is False
    assert log.feed(objects[0][:-1]) is False
    assert log.feed(objects[0]) is True
    assert log.feed(objects[0]) is False  # again
    assert log.feed(objects[1]) is True
    assert log.tip is not None
    assert log.tip.state == ("a", "b")


async def test_a_push_of_a_commit_that_is_not_of_this_log_is_not_taken(store: MemoryStore) -> None:
    log, elsewhere = words_log(store), words_log(MemoryStore(ManualClock()), dice=SeededDice(7))
    await log.commit(adding("here"))
    objects: list[bytes] = []
    elsewhere._committed = lambda number, at, data: objects.append(data)
    await elsewhere.commit(adding("there"))
    await elsewhere.commit(adding("there too"))
    assert [log.feed(data) for data in objects] == [False, False]


async def test_those_who_wait_for_news_hear_of_commits_reads_and_pushes(store: MemoryStore) -> None:
    log, other = words_log(store), words_log(store, dice=SeededDice(2))
    await log.read()
    waiting = [asyncio.ensure_future(log.changed(EMPTY)) for _ in range(3)]
    await asyncio.sleep(0)
    await log.commit(adding("own"))
    assert {(await each).number for each in waiting} == {2}
    waiting = [asyncio.ensure_future(log.changed(2))]
    await asyncio.sleep(0)
    await other.commit(adding("other"))
    assert not waiting[0].done()
    await log.read()
    assert (await waiting[0]).state == ("own", "other")
    assert (await log.changed(2)).number == 3


async def test_a_writer_that_is_cancelled_takes_nobody_with_it(store: MemoryStore) -> None:
    log = words_log(store)
    await log.read()
    doomed, other = asyncio.ensure_future(log.commit(adding("a"))), asyncio.ensure_future(log.commit(adding("b")))
    await asyncio.sleep(0)
    doomed.cancel()
    await other
    await log.commit(adding("c"))
    assert {"b", "c"} <= set((await words_log(store).read()).state)


async def test_a_store_that_refuses_until_the_patience_ends_is_unavailable_and_comes_back(store: MemoryStore) -> None:
    class Away(WrappedStore):
        away = True

        async def create(self, key: str, data: bytes) -> None:
            if self.away:
                raise Unavailable("503")
            await super().create(key, data)

    away = Away(store)
    log = words_log(away, SystemClock(), patience=0.2)
    with pytest.raises(Unavailable):
        await log.commit(adding("a"))
    away.away = False
    await log.commit(adding("b"))
    assert (await words_log(store).read()).state == ("b",)


DAMAGES = [
    ("torn", lambda data: data[:-1]),
    ("torn in the middle", lambda data: data[:40]),
    ("empty", lambda data: b""),
    ("foreign", lambda data: b"<html>not found</html>" * 10),
    ("a bit flipped in the head", lambda data: data[:-50] + bytes([data[-50] ^ 1]) + data[-49:]),
    ("another kind", lambda data: data[:8] + b"S" + data[9:]),
]


@pytest.mark.parametrize(("how", "spoil"), DAMAGES, ids=[how for how, _ in DAMAGES])
async def test_what_stands_before_a_damaged_commit_stays_readable_and_nothing_is_overwritten(
    store: MemoryStore, how: str, spoil
) -> None:
    log = words_log(store)
    for word in "abc":
        await log.commit(adding(word))
    await store.put(LAYOUT.commit(3), spoil(await store.get(LAYOUT.commit(3))))
    before = {info.key: await store.get(info.key) async for info in store.list("")}
    reader = words_log(store, dice=SeededDice(3))
    assert (await reader.read()).state == ("a",)
    assert reader.damage is not None
    assert reader.damage.facts["key"] == LAYOUT.commit(3)
    with pytest.raises(Damaged) as refused:
        await reader.commit(adding("d"))
    assert refused.value.facts["key"] == LAYOUT.commit(3)
    assert {info.key: await store.get(info.key) async for info in store.list("")} == before


async def test_a_commit_of_a_newer_version_is_refused_with_the_advice_to_upgrade(store: MemoryStore) -> None:
    log = words_log(store)
    await log.commit(adding("a"))
    data = bytearray(await store.get(LAYOUT.commit(2)))
    data[9] = 99
    await store.put(LAYOUT.commit(2), bytes(data))
    with pytest.raises(NewerFormat, match="upgrade"):
        await words_log(store).read()


async def test_a_commit_from_elsewhere_does_not_follow(store: MemoryStore) -> None:
    await words_log(store).commit(adding("a"))
    elsewhere = MemoryStore(ManualClock())
    other = words_log(elsewhere, dice=SeededDice(9))
    await other.commit(adding("x"))
    await other.commit(adding("y"))
    await store.create(LAYOUT.commit(3), await elsewhere.get(LAYOUT.commit(3)))
    log = words_log(store)
    assert (await log.read()).state == ("a",)
    assert log.damage is not None
    assert log.damage.facts["rule"] == "C2"


async def test_closing_waits_for_what_is_being_written(store: MemoryStore) -> None:
    log = words_log(store)
    work = asyncio.ensure_future(log.commit(adding("a")))
    await asyncio.sleep(0)
    await log.close()
    assert work.done()
