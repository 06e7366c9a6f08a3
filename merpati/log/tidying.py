"""All that keeps a log small, one after the other: compaction, reclaiming, vacuum.

Called after every so many commits by whoever commits, and once a day by the upkeep.  Each step may be the last before a
crash, and several processes may do the same at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from merpati.log.commit_log import CommitLog
from merpati.log.compaction import Compacted, Compaction
from merpati.log.packs import Address
from merpati.log.reclaim import Reclaim
from merpati.log.vacuum import RETENTION, Vacuum, Vacuumed
from merpati.objects.api import Full

S = TypeVar("S")

Addresses = Callable[[S], Iterable[Address]]
"""Which attachments a state needs."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was done."""

    compacted: Compacted
    reclaimed: int
    """Packs that went or became smaller."""
    vacuumed: Vacuumed


async def tidy(log: CommitLog[S, Any], addresses: Addresses[S], *, least: int, retention: float = RETENTION) -> Tidied:
    """Compact if there are `least` commits to move, then reclaim and vacuum.  Raises what these raise."""
    vacuum = Vacuum(log.reader, grace=log.grace, retention=retention)
    try:
        compacted = await Compaction(log, grace=log.grace).run(least)
        reclaimed = await Reclaim(log, addresses, grace=log.grace, retention=retention).run()
    except Full:  # what is not needed any more makes room
        await vacuum.run()
        raise
    return Tidied(compacted, reclaimed, await vacuum.run())


def no_attachments(state: object) -> Iterable[Address]:
    """The `Addresses` of a log whose commits carry none."""
    return ()
