"""One short life, and a process that ends or is stopped at each of its requests, before it is applied and after."""

from __future__ import annotations

import pytest

from merpati.log.reading import GRACE
from tests.world.nodes import Fate
from tests.world.sweep import lived

PARTS = 6
SLEEPS = {"dies": 0.0, "sleeps for hours": 2.5 * GRACE, "sleeps for days": 60 * GRACE}


def test_nothing_is_wrong_where_nothing_happens() -> None:
    swept = lived()
    assert swept.wrong == []
    assert swept.requests > 150


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("sleep", SLEEPS)
def test_a_process_may_end_or_stop_at_each_of_its_requests(sleep: str, late: bool, part: int) -> None:
    for request in range(1 + part, lived().requests + 1, PARTS):
        swept = lived(Fate(request, late, sleep=SLEEPS[sleep]))
        assert swept.wrong == [], f"request {request}"
