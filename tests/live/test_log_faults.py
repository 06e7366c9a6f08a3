"""A log on a real store behind a proxy that swallows answers, refuses, answers 409, resets, and delivers late."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.errors import Temporary, Unknown
from merpati.ids import SeededDice
from merpati.log.commit_log import Safeguards
from merpati.objects.open import open_store
from tests.live.log.raw import BucketObjects, raw_log
from tests.log.lists import LAYOUT, adding, words_log
from tests.servers.fault_proxy import HttpFaults, fault_proxy
from tests.servers.object_stores import client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

WRITERS = 8
COMMITS = 400
BAD_DAY = HttpFaults(swallow=0.1, refuse=0.05, conflict=0.05, cut=0.05, tear=0.03, late=0.03)


class Told:
    """What the writers tried, and what they heard."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.unknown: list[str] = []

    def wrong(self, words: Counter[str]) -> dict[str, int]:
        """Words that do not stand there as often as was said."""
        bad = {word: words[word] for word in self.done if words[word] != 1}
        bad |= {word: words[word] for word in self.unknown if words[word] > 1}
        return bad | {word: count for word, count in words.items() if word not in {*self.done, *self.unknown}}


async def written(url: str, folder: Path, commits: int, guards: Safeguards) -> tuple[Told, Counter[str]]:
    """Let eight writers add words through the proxy until there are enough; what they heard, and what was done."""
    bucket, _, endpoint = url.partition("?endpoint=")
    told, clock = Told(), SystemClock()

    async def write(who: int, through: str) -> None:
        store = open_store(through, data=folder, clock=clock, dice=SeededDice(who))
        log = words_log(store, clock, SeededDice(100 + who), safeguards=guards)
        count = 0
        while len(told.done) < commits:
            count += 1
            word = f"{who}-{count}"
            try:
                await log.commit(adding(word))
                told.done.append(word)
            except Unknown:
                told.unknown.append(word)
            except Temporary:  # nothing was written
                pass
        await store.close()

    async with fault_proxy(endpoint, BAD_DAY, 7) as proxy:
        await asyncio.gather(*(write(who, f"{bucket}?endpoint={proxy.endpoint}") for who in range(WRITERS)))
        return told, proxy.done


async def test_behind_a_bad_proxy_nothing_is_lost_or_doubled(s3_url: str, tmp_path: Path) -> None:
    told, faults = await written(s3_url, tmp_path, COMMITS, Safeguards())
    log = await asyncio.to_thread(raw_log, _objects(s3_url), LAYOUT.prefix)
    words = Counter(word for commit in log.commits for word in commit.changes)
    assert log.wrong == []
    assert told.wrong(words) == {}
    assert min(faults[name] for name in ("swallow", "refuse", "conflict", "cut", "late", "tear")) > 0, faults
    assert len(told.done) >= COMMITS


async def test_without_own_commit_recognition_words_are_doubled_there(s3_url: str, tmp_path: Path) -> None:
    """The ablation of rule C4 on a real store: were nothing doubled here, the test above would prove nothing."""
    told, faults = await written(s3_url, tmp_path, COMMITS // 4, Safeguards(own_id=False))
    log = await asyncio.to_thread(raw_log, _objects(s3_url), LAYOUT.prefix)
    words = Counter(word for commit in log.commits for word in commit.changes)
    doubled = [word for word in told.done if words[word] > 1]
    print(f"{len(doubled)} doubled, {faults}")
    assert doubled


def _objects(url: str) -> BucketObjects:
    bucket, _, endpoint = url.removeprefix("s3://").partition("?endpoint=")
    return BucketObjects(client(endpoint), bucket)
