"""What a log has to gain from upkeep, seen from a listing of its objects: mostly nothing, and then no more is asked.

Called by the rounds, for each log.  A listing and, if there is a snapshot, one object: that is what a log costs in
which nothing is to be done.  All of it is an estimate by this machine's clock; what then acts looks for itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from merpati.log.layout import Layout, counted_down, last_number
from merpati.log.reach import covered
from merpati.log.reading import GRACE, Reader
from merpati.log.snapshots import Snapshot, read_snapshot
from merpati.log.vacuum import kept, names_in
from merpati.objects.api import NotFound, ObjectInfo

MANY = 500
"""Commits that are moved into packs whoever writes: half of what sets a compaction off by itself."""
FEW = 16
"""Commits that are moved once the log is at rest: it is not worth a pack, a past and a snapshot for fewer."""
REST = 7 * 86_400.0
"""Seconds without a commit after which a log is at rest: who gets mail every day would have a pack for each day."""
TURNS = 7
"""Rounds of which one looks for packs to reclaim, another for each log: it opens two states, and packs decay slowly."""
CHANCES = 2
"""Turns in which that is tried after the window has moved on."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What is worth doing."""

    compact: bool = False
    truncate: bool = False
    reclaim: bool = False
    vacuum: bool = False

    @property
    def nothing(self) -> bool:
        return not (self.compact or self.truncate or self.reclaim or self.vacuum)


@dataclass(frozen=True, slots=True)
class When:
    """The round that asks: its time, how long from one to the next, and what holds for all logs."""

    now: float
    every: float
    retention: float
    grace: float = GRACE

    def turn_of(self, layout: Layout) -> bool:
        """Whether it is this log's turn of `TURNS` rounds."""
        return (int(self.now // self.every) + zlib.crc32(layout.prefix.encode())) % TURNS == 0


@dataclass(slots=True)
class Listing:
    """A log's objects, by what they are."""

    commits: list[ObjectInfo] = field(default_factory=list)
    snapshots: list[ObjectInfo] = field(default_factory=list)
    """The newest first, as they are listed."""
    floors: list[ObjectInfo] = field(default_factory=list)
    pieces: list[ObjectInfo] = field(default_factory=list)
    """Chunks, packs, pasts and what was written to learn the time."""

    def add(self, layout: Layout, info: ObjectInfo) -> None:
        for kind, prefix in (
            (self.commits, layout.commits), (self.snapshots, layout.snapshots), (self.floors, layout.floors)
        ):  # fmt: skip
            if info.key.startswith(prefix):
                kind.append(info)
                return
        self.pieces.append(info)


async def survey(reader: Reader[Any, Any], when: When) -> Worth:
    """What is worth doing with a log.  Raises `Damaged`, `NewerFormat`, `Unavailable`."""
    found = Listing()
    async for info in reader.store.list(f"{reader.layout.prefix}/"):
        found.add(reader.layout, info)
    if not found.snapshots:
        return Worth(compact=_worth_moving(found.commits, when), vacuum=bool(_old(found.pieces, when)))
    newest = await _read(reader, found.snapshots[0])
    if newest is None:
        return Worth()  # another is at it
    keys = kept(found.snapshots, when.now, when.retention, when.grace)
    stay = [info for info in found.snapshots if info.key in keys]
    return Worth(
        compact=_worth_moving([info for info in found.commits if last_number(info.key) > covered(newest)], when),
        truncate=_below_the_floor(found, covered(newest), when),
        reclaim=when.turn_of(reader.layout) and _window_moved(newest, stay[-1], when),
        vacuum=len(stay) < len(found.snapshots)
        or len(_old(found.floors, when)) > 1
        or await _left_over(reader, newest, stay[1:], _old(found.pieces, when)),
    )


def _old(objects: Sequence[ObjectInfo], when: When) -> list[ObjectInfo]:
    """What is old enough to be removed, if nobody needs it (V2)."""
    return [info for info in objects if info.modified < when.now - when.grace]


def _worth_moving(commits: Sequence[ObjectInfo], when: When) -> bool:
    if len(commits) >= MANY:
        return True
    return len(commits) >= FEW and max(info.modified for info in commits) < when.now - REST


def _below_the_floor(found: Listing, end: int, when: When) -> bool:
    """Whether there are commits whose contents are elsewhere, and no floor above them that is still too young (F2)."""
    if not any(last_number(info.key) <= end for info in found.commits):
        return False
    highest = found.floors[0] if found.floors else None
    return highest is None or counted_down(highest.key) <= end or highest.modified < when.now - when.grace


def _window_moved(newest: Snapshot, base: ObjectInfo, when: When) -> bool:
    """Whether the window began with another snapshot of late, so that packs may have become unneeded (P6)."""
    if not newest.packs and len(newest.pasts) < 2:
        return False
    return 0 <= when.now - (base.modified + when.retention) < CHANCES * TURNS * when.every


async def _left_over(
    reader: Reader[Any, Any], newest: Snapshot, others: Sequence[ObjectInfo], old: Sequence[ObjectInfo]
) -> bool:
    """Whether something is there that no snapshot names.  Reads as few of them as will do."""
    unnamed = {info.key for info in old} - names_in(reader, newest)
    for info in others:
        if not unnamed:
            break
        snapshot = await _read(reader, info)
        if snapshot is not None:
            unnamed -= names_in(reader, snapshot)
    return bool(unnamed)


async def _read(reader: Reader[Any, Any], info: ObjectInfo) -> Snapshot | None:
    try:
        return await read_snapshot(reader.store, reader.layout, counted_down(info.key))
    except NotFound:
        return None
