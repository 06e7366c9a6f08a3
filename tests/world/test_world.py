"""A modest number of worlds, and what happens in them without a safeguard.

`make world ARGS="--seeds 1000"` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.world.simulation import Plan, run


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_doubled_or_changed_in_a_bad_world(seed: int) -> None:
    ran = run(seed, Plan(steps=20))
    assert ran.wrong == []
    assert ran.deaths > 0 and ran.acked > 30


@pytest.mark.parametrize("seed", range(5, 8))
def test_nor_where_processes_are_stopped_for_hours(seed: int) -> None:
    assert run(seed, Plan(steps=20, pauses=0.02)).wrong == []


@pytest.mark.parametrize("seed", range(3))
def test_nor_where_they_die_all_the_time(seed: int) -> None:
    ran = run(seed, Plan(steps=12, lives=(8.0, 50.0)))
    assert ran.wrong == []
    assert ran.deaths > 40


def test_the_same_seed_gives_the_same_bytes() -> None:
    plan = Plan(steps=8)
    assert run(1, plan) == run(1, plan) != run(2, plan)


ABLATIONS = [
    # seed, world, what is broken then
    (0, Plan(steps=12, own_id=False, causes=False), "V1"),  # C4; with causes on, these hide that it is missing
    (0, Plan(steps=12, lives=(8.0, 50.0), causes=False), "V1"),  # deliveries that are repeated after a death
    (5, Plan(steps=20, pauses=0.02, floor=False), "V6"),  # F3: a sleeper re-creates a number that was deleted
    (14, Plan(steps=20, pauses=0.02, floor=False, own_id=False), "V6"),  # the same with its neighbour off
]


@pytest.mark.parametrize(("seed", "plan", "broken"), ABLATIONS)
def test_without_a_safeguard_the_world_is_broken(seed: int, plan: Plan, broken: str) -> None:
    assert any(line.startswith(broken) for line in run(seed, plan).wrong)
