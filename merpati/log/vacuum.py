"""Removing what no snapshot needs any more: rules V1 to V4 of PROTOCOL.md.  Called by the operator, and by a schedule.

May crash anywhere and run twice, also beside itself, beside writers and beside a compaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merpati.log.api import Damaged
from merpati.log.layout import counted_down, numbered
from merpati.log.reach import furthest
from merpati.log.reading import Moment, Reader
from merpati.log.snapshots import Snapshot, TooLate, named_by, read_snapshot
from merpati.log.storetime import store_time
from merpati.objects.api import NotFound, ObjectInfo

RETENTION = 7 * 86_400.0
"""Seconds for which the states of a log can be had."""
DAY = 86_400.0
DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum removed."""

    snapshots: int = 0
    objects: int = 0
    """Chunks, packs, pasts and floors."""
    bytes: int = 0


def kept(snapshots: Sequence[ObjectInfo], now: float, retention: float, grace: float) -> set[str]:
    """V1, V2: the keys of the snapshots that stay; `snapshots` are all there are, the newest first.

    The newest; what was the newest less than the grace period ago; the newest of each day in the retention window; and
    the one that the window begins with, or else the oldest.
    """
    stay: set[str] = set()
    days: set[int] = set()
    superseded = now
    for place, info in enumerate(snapshots):
        within = info.modified > now - retention
        if place == 0 or superseded > now - grace or int(info.modified // DAY) not in days:
            stay.add(info.key)
            days.add(int(info.modified // DAY))
        superseded = info.modified
        if not within and superseded <= now - grace:
            stay.add(info.key)
            break
    else:
        # the window begins before them all: with the log, or where a vacuum with a shorter window has let it begin
        stay |= {info.key for info in snapshots[-1:]}
    return stay


class Vacuum:
    """Cleans one log."""

    def __init__(self, reader: Reader[Any, Any], *, grace: float, retention: float = RETENTION) -> None:
        self._reader = reader
        self._store = reader.store
        self._layout = reader.layout
        self._grace = grace
        self._retention = max(retention, grace)

    async def run(self, *, dry_run: bool = False) -> Vacuumed:
        """Remove what is not needed, or just say what that is.

        Raises `Damaged` if a snapshot that stays cannot be read, or the newest lacks what it names (V4): then nothing
        is removed, for what is to be removed may be all that is left.
        """
        timely = self._reader.timely(Moment.now(self._reader.clock))
        now = await store_time(self._store, self._layout, self._reader.dice)
        # V3: the objects are listed before the snapshots: what a later snapshot needs is young, or needed by these too
        objects = {info.key: info async for info in self._objects()}
        old = [info for info in objects.values() if info.modified < now - self._grace]
        listed = [info async for info in self._store.list(self._layout.snapshots) if numbered(info.key)]
        needed = await self._staying(listed, now, objects)
        gone = [info for info in listed if info.key not in needed]
        unneeded = [info for info in old if info.key not in needed]
        unneeded += await self._low_floors(now)
        if not dry_run:
            # V4: snapshots first: what is named by one that is there, is there
            for keys in ([info.key for info in gone], [info.key for info in unneeded]):
                if not timely():
                    raise TooLate("this vacuum took too long", key=self._layout.prefix)
                await self._delete(keys)
        return Vacuumed(len(gone), len(unneeded), sum(info.size for info in (*gone, *unneeded)))

    async def _objects(self) -> AsyncIterator[ObjectInfo]:
        for kind in ("chunk", "now", "pack", "past"):
            async for info in self._store.list(f"{self._layout.prefix}/{kind}/"):
                yield info

    async def _staying(self, listed: Sequence[ObjectInfo], now: float, objects: Mapping[str, ObjectInfo]) -> set[str]:
        """The keys of the snapshots that stay (V1, V2, P8), and of what they name."""
        keep = kept(listed, now, self._retention, self._grace)
        stay = [each async for each in self._read([info for info in listed if info.key in keep])]
        if stay:
            await self._check_whole(stay[0], objects)
        # P8; one that is younger may be withdrawn by its writer (S5)
        older = self._read([info for info in listed if info.modified < now - self._grace])
        if (newest := await anext(older, None)) is not None:
            stay.append(await furthest(self._reader, newest, older))
        named = {name for each in stay for name in (self._layout.snapshot(each.number), *names_in(self._reader, each))}
        return keep | named

    async def _read(self, listed: Sequence[ObjectInfo]) -> AsyncIterator[Snapshot]:
        for info in listed:
            try:
                yield await read_snapshot(self._store, self._layout, counted_down(info.key))
            except NotFound:  # another vacuum was quicker
                continue

    async def _check_whole(self, snapshot: Snapshot, objects: Mapping[str, ObjectInfo]) -> None:
        """V4, for the newest snapshot."""
        if (damage := self._reader.doubt(snapshot.number)) is not None:
            raise damage
        for key in sorted(names_in(self._reader, snapshot) - objects.keys()):
            try:
                await self._store.head(key)  # it may only be listed late
            except NotFound:
                if await self._is_there(self._layout.snapshot(snapshot.number)):
                    raise Damaged("missing, and the newest snapshot names it", key=key, rule="S1") from None

    async def _is_there(self, key: str) -> bool:
        try:
            await self._store.head(key)
        except NotFound:
            return False
        return True

    async def _low_floors(self, now: float) -> list[ObjectInfo]:
        """Floors below the highest that is old enough for deleting."""
        listed = [info async for info in self._store.list(self._layout.floors) if numbered(info.key)]
        old = [info for info in listed if info.modified < now - self._grace]
        return old[1:]

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETED_AT_ONCE):
            await self._store.delete(keys[start : start + DELETED_AT_ONCE])


def names_in(reader: Reader[Any, Any], snapshot: Snapshot) -> set[str]:
    """The keys of all that a snapshot names."""
    return named_by(reader.layout, snapshot)
