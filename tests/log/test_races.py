"""Many writers on one log, over stores that lose answers, refuse, conflict, and apply writes when nobody waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Temporary, Unavailable, Unknown
from merpati.ids import SeededDice
from merpati.log.api import Decision
from merpati.log.commit_log import Safeguards
from merpati.log.commits import decoded
from merpati.objects.api import ObjectStore
from merpati.objects.files import FilesStore
from merpati.objects.memory import MemoryStore
from merpati.objects.retry import RetryingStore
from merpati.objects.wrapped import WrappedStore
from tests.log.lists import LAYOUT, Words, WordsFold, adding, in_virtual_time, words_log
from tests.objects.faulty import Faults, FaultyStore

WRITERS = 8
BAD_DAY = Faults(refuse=0.05, lose=0.1, drop=0.05, late=0.05, conflict=0.05, delay=0.02, latest=1.0)


async def every_commit(store: ObjectStore) -> list[str]:
    """The words of all commits, in order, read without any of the code that is tested."""
    words, after, number = [], b"", 2
    async for info in store.list(LAYOUT.commits):
        assert info.key == LAYOUT.commit(number), "a gap"
        commit = decoded(WordsFold(), await store.get(info.key), info.key)
        assert (commit.number, commit.after) == (number, after)
        words += [change for part in commit.parts for change in part.changes]
        after, number = commit.id, number + 1
    return words


async def writers(
    inner: ObjectStore, faults: Faults, seed: int, each: int, clock: ManualClock | SystemClock, guards: Safeguards
) -> tuple[list[str], list[str], int]:
    """Let eight writers add words; which were answered with success, which with Unknown, and how many answers lost."""
    stores = [FaultyStore(inner, clock, SeededDice(seed * 100 + who), faults) for who in range(WRITERS)]
    done: list[str] = []
    unknown: list[str] = []

    async def write(who: int) -> None:
        retrying = RetryingStore(stores[who], clock, SeededDice(seed + who))
        log = words_log(retrying, clock, SeededDice(seed * 1000 + who), safeguards=guards)
        for count in range(each):
            word = f"{who}-{count}"
            try:
                await log.commit(adding(word))
                done.append(word)
            except Unknown:
                unknown.append(word)
            except Temporary:
                pass

    await asyncio.gather(*(write(who) for who in range(WRITERS)))
    return done, unknown, sum(store.lost for store in stores)


def wrong(words: list[str], done: list[str], unknown: list[str]) -> dict[str, int]:
    """Words that are not there as often as their writer was told."""
    there = Counter(words)
    bad = {word: there[word] for word in done if there[word] != 1}
    bad |= {word: there[word] for word in unknown if there[word] > 1}
    return bad | {word: count for word, count in there.items() if word not in done and word not in unknown}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
async def test_every_write_that_was_acknowledged_is_there_once(seed: int) -> None:
    clock = ManualClock()
    inner = MemoryStore(clock)
    done, unknown, lost = await in_virtual_time(clock, writers(inner, BAD_DAY, seed, 25, clock, Safeguards()))
    words = await every_commit(inner)
    assert wrong(words, done, unknown) == {}
    assert lost > 0
    assert len(done) > WRITERS * 20


@pytest.mark.slow
async def test_on_files_too(tmp_path: Path) -> None:
    clock = SystemClock()
    inner = FilesStore(tmp_path, clock)
    done, unknown, lost = await writers(inner, Faults(lose=0.1, conflict=0.05, drop=0.05), 1, 40, clock, Safeguards())
    assert wrong(await every_commit(inner), done, unknown) == {}
    assert lost > 0


@pytest.mark.slow
async def test_without_own_commit_recognition_words_are_doubled() -> None:
    """The ablation of rule C4: were this to pass without it, the tests above would prove nothing."""
    doubled = 0
    for seed in range(4):
        clock = ManualClock()
        inner = MemoryStore(clock)
        work = writers(inner, Faults(lose=0.1), seed, 25, clock, Safeguards(own_id=False))
        done, unknown, _ = await in_virtual_time(clock, work)
        doubled += len(wrong(await every_commit(inner), done, unknown))
    assert doubled > 0


async def test_idempotent_decisions_hide_a_missing_own_commit_recognition() -> None:
    """FACTS: so no ablation may be tried on an idempotent decider alone."""
    clock = ManualClock()
    store = FaultyStore(MemoryStore(clock), clock, SeededDice(1), Faults(lose=0.3))

    def once(word: str):  # type: ignore[no-untyped-def]
        def decide(state: Words) -> Decision[str, bool]:
            return Decision(False) if word in state else Decision(True, [word])

        return decide

    log = words_log(store, clock, safeguards=Safeguards(own_id=False))

    async def write() -> None:
        for count in range(50):
            await log.commit(once(str(count)))

    await in_virtual_time(clock, write())
    assert store.lost > 0
    tip = await log.read()
    assert Counter(tip.state) == Counter(str(count) for count in range(50))


async def test_an_answer_that_never_comes_is_unknown_and_never_a_no() -> None:
    clock = ManualClock()
    inner = MemoryStore(clock)

    class Deaf(WrappedStore):
        """Takes writes and never says so; cannot be asked either."""

        deaf = False

        async def create(self, key: str, data: bytes) -> None:
            await super().create(key, data)
            if self.deaf:
                raise Unknown("no answer")

        async def get(self, key: str) -> bytes:
            if self.deaf:
                raise Unavailable("503")
            return await super().get(key)

    store = Deaf(inner)
    log = words_log(store, clock, patience=5.0)
    await log.read()
    store.deaf = True
    with pytest.raises(Unknown):
        await in_virtual_time(clock, log.commit(adding("perhaps")))
    store.deaf = False
    await log.commit(adding("after"))
    assert await every_commit(inner) == ["perhaps", "after"]
