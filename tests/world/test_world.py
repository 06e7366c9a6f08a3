"""Hundreds of worlds, none of which loses, doubles or changes anything.

`make world ARGS="--seeds 5000"` runs more of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.world.simulation import KINDS, Plan, run

BATCH = 10
BATCHES = 5
"""Batches of worlds of each kind."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, BATCH * BATCHES, BATCH))
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_doubled_or_changed_in_a_bad_world(kind: str, first: int) -> None:
    deaths = acked = 0
    for seed in range(first, first + BATCH):
        ran = run(seed, KINDS[kind])
        assert ran.wrong == [], f"seed {seed}"
        deaths, acked = deaths + ran.deaths, acked + ran.acked
    assert deaths > 0 and acked > 8 * BATCH


ONCE_WRONG = [
    ("stopped for hours", 39),  # P5: commits went that the newest snapshot did not cover
    ("stopped for hours", 65),  # S5: a snapshot was withdrawn after older ones had gone because of it
    ("stopped for hours", 100),  # P4: a stalled writer's bytes were read for a message that had been moved
    ("stopped for hours", 135),  # R1: an opening that slept took for damage what had rightly gone
    ("stopped for hours", 400020),  # S2: what a dead writer's snapshot lacked was handed on to the next
    ("two for longer", 0),  # P6: a young snapshot was taken for the window's beginning
    ("two for longer", 115),  # V1: two vacuums with different windows left a state without a snapshot before it
    ("the account is removed", 10),  # D8: what a late purge had written was in no listing yet
    ("the account is removed", 143),  # D8: nor was it looked for if the answer was lost
    ("the account is removed", 100151),  # D9: a purge died when it had slept until nobody remembered the account
]


@pytest.mark.parametrize(("kind", "seed"), ONCE_WRONG)
def test_a_world_that_once_went_wrong_does_so_no_more(kind: str, seed: int) -> None:
    assert run(seed, KINDS[kind]).wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_world_of_each_kind(kind: str) -> None:
    assert run(1000, KINDS[kind]).wrong == []


def test_the_same_seed_gives_the_same_bytes() -> None:
    plan = Plan(steps=6, lives=(20.0, 100.0), stops=0.01)
    assert run(1, plan) == run(1, plan) != run(2, plan)


@pytest.mark.slow
def test_those_who_live_in_the_worlds_get_done_what_they_are_there_for() -> None:
    """Else the worlds would go well because nothing happens in them."""
    done = Counter[str]()
    for seed in range(3):
        done.update(run(seed, KINDS["two for longer"]).done)
    least = {
        "blobs": 1,
        "read": 100,
        "keep": 80,
        "flag": 20,
        "move": 20,
        "expunge": 10,
        "copy": 5,
        "arrange": 5,
        "restore": 2,
    }
    assert {what: count for what, count in done.items() if count < least.get(what, 0)} == {}
    assert sum(run(seed, KINDS["large bodies"]).done["blobs"] for seed in range(4)) > 0
