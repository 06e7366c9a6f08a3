"""The pure parts of the bus: progress, sharing, records; and which engine a URL opens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.bus.api import Headers, Record
from merpati.bus.kafka import KafkaBus
from merpati.bus.memory import MemoryBus
from merpati.bus.open import open_bus
from merpati.bus.progress import Progress
from merpati.bus.records import admit, partition_of, size_of
from merpati.bus.sharing import quotas, shares
from merpati.bus.sqlite import SqliteBus
from merpati.clock import SystemClock
from merpati.errors import Misconfigured, Permanent
from merpati.ids import SystemDice


@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    done=st.integers(0, 40),
)
def test_a_position_is_just_behind_the_unbroken_run_of_finished_records(
    gaps: list[int], order: object, done: int
) -> None:
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    progress = Progress(0)
    for offset in offsets:
        progress.take(offset)
    shuffled = list(offsets)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    finished = set(shuffled[:done])
    for offset in shuffled[:done]:
        progress.finish(offset)
        progress.advance()
    unfinished = [offset for offset in offsets if offset not in finished]
    before = [offset for offset in offsets if not unfinished or offset < unfinished[0]]
    assert progress.position == (before[-1] + 1 if before else 0)
    assert progress.unfinished == len(offsets) - len(before)
    assert progress.next_offset == offsets[-1] + 1


def test_what_was_never_taken_or_is_finished_already_moves_nothing() -> None:
    progress = Progress(5)
    for stray in (0, 4, 5, 6, 100):
        progress.finish(stray)
    assert not progress.advance()
    progress.take(5)
    progress.take(6)
    progress.finish(5)
    assert progress.advance()
    progress.finish(5)
    progress.finish(7)
    progress.advance()
    assert (progress.position, progress.unfinished) == (6, 1)


def test_a_commit_that_failed_is_still_to_be_made() -> None:
    progress = Progress(0)
    progress.take(0)
    progress.finish(0)
    assert progress.advance()
    assert progress.advance()  # nobody has said that it is durable
    progress.committed = 1
    assert not progress.advance()


MEMBERS = st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=12)


@given(MEMBERS, st.integers(1, 40), st.dictionaries(st.integers(0, 39), st.integers(0, 30)), st.integers(0, 9))
def test_every_partition_has_one_owner_and_none_has_two_more_than_another(
    members: list[int], partitions: int, owners: dict[int, int], turn: int
) -> None:
    shared = shares(members, partitions, owners, turn)
    assert sorted(shared) == list(range(partitions))
    counts = [list(shared.values()).count(member) for member in members]
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1
    assert shares(members, partitions, shared, turn) == shared  # and then all is quiet


@given(MEMBERS, st.integers(1, 40), st.integers(31, 40))
def test_a_newcomer_takes_only_what_he_gets(members: list[int], partitions: int, newcomer: int) -> None:
    before = shares(members, partitions, {})
    after = shares([*members, newcomer], partitions, before)
    moved = {n for n in before if before[n] != after[n]}
    gained = {n for n in after if after[n] == newcomer}
    assert gained <= moved
    assert len(moved) <= len(gained) + len(members)


def test_over_several_topics_nobody_has_the_odd_one_everywhere() -> None:
    members = ["a", "b", "c"]
    totals = dict.fromkeys(members, 0)
    for turn in range(6):
        for member, count in quotas(members, 4, turn).items():
            totals[member] += count
    assert totals == {"a": 8, "b": 8, "c": 8}
    assert quotas([], 4, 0) == {}


@pytest.mark.parametrize(
    ("key", "partition"),
    # as logs were written with the first version: never to be changed
    [(b"", 0), (b"example.org", 7), (b"01933d2e-7a10-7cc0-b6a5-1f0e2d3c4b5a", 0), (b"\xff\x00", 5)],
)
def test_a_key_stays_in_its_partition_for_ever(key: bytes, partition: int) -> None:
    assert partition_of(key, 8) == partition


def test_the_size_of_a_record_counts_all_that_is_written() -> None:
    headers: Headers = (("ab", b"cde"), ("f", b""))
    assert size_of(b"kk", b"vvv", headers) == 2 + 3 + 2 + 3 + 1
    admit(Record("t", b"kk", b"vvv", headers), 11)
    with pytest.raises(Permanent) as refused:
        admit(Record("t", b"kk", b"vvv", headers), 10)
    assert refused.value.enhanced_code == "5.3.4"


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("sqlite:", SqliteBus),
        ("memory:", MemoryBus),
        ("kafka://one:9092,two:9093", KafkaBus),
        ("kafka://h:1/", KafkaBus),
    ],
)
async def test_a_url_names_an_engine(url: str, engine: type, tmp_path: Path) -> None:
    bus = open_bus(url, data=tmp_path, kafka_options={}, clock=SystemClock(), dice=SystemDice())
    assert isinstance(bus, engine)
    await bus.close()
    assert os.listdir(tmp_path) == []  # nothing is touched before it is started


@pytest.mark.parametrize(
    "url", ["", "sqlite", "redis://h:1", "kafka:", "kafka://", "kafka://host", "kafka://h:x", "kafka://h:1,,"]
)
def test_any_other_url_is_a_mistake_in_the_settings(url: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        open_bus(url, data=tmp_path, kafka_options={}, clock=SystemClock(), dice=SystemDice())
