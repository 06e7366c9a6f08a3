"""How far the pasts of snapshots reach, and whose packs and pasts count: rule P8 of PROTOCOL.md.

Called by whoever writes a snapshot, and by the vacuum.  Of two that were written beside each other, or by who slept,
the one with the greater number may cover less, and appear when commits have gone because of the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from merpati.log.api import EMPTY, Damaged
from merpati.log.reading import Reader
from merpati.log.snapshots import Snapshot


def covered(snapshot: Snapshot | None) -> int:
    """The number up to which a snapshot's pasts and packs have taken over from the commits (P1)."""
    return max((entry.last for entry in snapshot.pasts), default=EMPTY) if snapshot else EMPTY


async def furthest(
    reader: Reader[Any, Any], newest: Snapshot, others: AsyncIterator[Snapshot | Damaged] | None = None
) -> Snapshot:
    """The newest snapshot whose pasts reach the floor, else the one whose pasts reach furthest: mostly `newest`.

    `others`: the snapshots that count, the newest first; all if not given.
    """
    best, floor = newest, await reader.floor()
    if covered(best) + 1 < floor:
        async for snapshot in others or reader.snapshots():
            if isinstance(snapshot, Snapshot) and covered(snapshot) > covered(best):
                best = snapshot
            if covered(best) + 1 >= floor:
                break
    return best


async def foundation(reader: Reader[Any, Any]) -> Snapshot | None:
    """What a new snapshot builds upon: the newest one's head, with the packs and pasts that count.

    Raises `Damaged` as `newest_head` does.
    """
    newest = await reader.newest_head()
    if newest is None:
        return None
    best = await furthest(reader, newest)
    return newest if best is newest else msgspec.structs.replace(newest, packs=best.packs, pasts=best.pasts)
