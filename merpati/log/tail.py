"""The commits behind a snapshot, as far as a listing knows them: how many to ask for at once.  Called by `reading`.

Only a hint: what counts is read one number after the other (rule R2), for a listing may lag and hold foreign keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from merpati.log.layout import last_number, numbered
from merpati.objects.api import ObjectInfo

LONG = 32
"""Commits from which on the hint is taken: a shorter tail is read as quickly without it."""
MOST = 200
"""Commits asked for at once: what lies between two snapshots."""
MOST_BYTES = 32 << 20
"""Bytes of them, about."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The greatest number listed, how many there are, and their bytes."""

    last: int
    count: int = 0
    size: int = 0

    def width(self, number: int) -> int:
        """How many commits after `number` to ask for at once, with one that is not there; 0 if it does not matter."""
        if self.count < LONG:
            return 0
        return min(self.last - number + 1, MOST, MOST_BYTES * self.count // max(self.size, 1))


async def tail_in(listed: AsyncIterator[ObjectInfo], number: int) -> Tail:
    """What a listing of the commits after `number` tells."""
    found = [(last_number(info.key), info.size) async for info in listed if numbered(info.key)]
    return Tail(max([each for each, _ in found], default=number), len(found), sum(size for _, size in found))
