"""Writing packs anew without what nobody can reach any more (rule P6).  Called by the operator, before a vacuum.

What can be reached is what the state at the beginning of the window has, and all that came since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from merpati.log.api import Damaged, Decision
from merpati.log.commit_log import CommitLog
from merpati.log.frame import PREAMBLE, TRAILER
from merpati.log.layout import counted_down
from merpati.log.packs import Address, PackDraft, Place, index_of, unpacked_frame
from merpati.log.reach import foundation
from merpati.log.reading import Moment
from merpati.log.snapshots import PackEntry, Snapshot, read_snapshot, tip_of, write_snapshot
from merpati.log.storetime import store_time
from merpati.log.vacuum import kept
from merpati.objects.api import Exists, NotFound

S = TypeVar("S")
C = TypeVar("C")

WORTH = 0.5
"""A pack is written anew if less than this part of it can be reached."""


class Reclaim(Generic[S, C]):
    """Reclaims the space of one log's packs."""

    def __init__(
        self, log: CommitLog[S, C], addresses: Callable[[S], Iterable[Address]], *, grace: float, retention: float
    ) -> None:
        """`addresses` says which attachments a state needs."""
        self._log = log
        self._addresses = addresses
        self._reader = log.reader
        self._grace = grace
        self._retention = max(retention, grace)

    async def run(self) -> int:
        """How many packs went or became smaller.  Raises `Damaged` if one cannot be read; then all stay."""
        began = Moment.now(self._reader.clock)
        newest, base = await foundation(self._reader), await self._base()
        if newest is None or base is None:
            return 0
        reader = self._reader
        state = (await tip_of(reader.store, reader.layout, reader.fold, reader.dice, base)).state
        now = (await self._log.read()).state
        needed = {*self._addresses(state), *self._addresses(now)}  # what is there now may have been brought back
        packs = [await self._renewed(entry, needed) if entry.last <= base.number else entry for entry in newest.packs]
        changed = sum(new is not old for new, old in zip(packs, newest.packs, strict=True))
        pasts = tuple(entry for entry in newest.pasts[:-1] if entry.last >= base.number) + newest.pasts[-1:]
        if not changed and len(pasts) == len(newest.pasts):
            return 0
        await self._log.commit(lambda state: Decision(None, always=True))
        tip, before = self._log.tip, await foundation(reader)
        if tip is None or before is None or (before.packs, before.pasts) != (newest.packs, newest.pasts):
            return 0  # another was quicker
        if any(address not in needed and address[0] <= base.number for address in self._addresses(tip.state)):
            return 0  # brought back meanwhile
        try:
            await write_snapshot(
                reader.store, reader.layout, reader.fold, tip, reader.dice, before,
                packs=tuple(entry for entry in packs if entry is not None), pasts=pasts, timely=reader.timely(began),
            )  # fmt: skip
        except Exists:
            return 0  # another was quicker
        return changed

    async def _base(self) -> Snapshot | None:
        """The snapshot that the window begins with; none if the window begins with the log."""
        reader = self._reader
        now = await store_time(reader.store, reader.layout, reader.dice)
        listed = [info async for info in reader.store.list(reader.layout.snapshots)]
        stay = kept(listed, now, self._retention, self._grace)
        oldest = max((info for info in listed if info.key in stay), key=lambda info: info.key, default=None)
        if oldest is None or oldest.modified > now - self._retention:
            return None  # V1: what is younger than the window says nothing of the state at its beginning
        return await read_snapshot(reader.store, reader.layout, counted_down(oldest.key))

    async def _renewed(self, entry: PackEntry, needed: set[Address]) -> PackEntry | None:
        """The same pack, a new one with what is needed of it, or none."""
        key, store = self._reader.layout.pack(entry.name), self._reader.store
        try:
            preamble = await store.get_range(key, 0, PREAMBLE)
            end = await store.get_range(key, entry.size - TRAILER - entry.head, entry.size)
            index = index_of(end, preamble, key)
            wanted = {address: place for address, place in index.items() if address in needed}
            if sum(p.length for p in wanted.values()) >= WORTH * sum(p.length for p in index.values()):
                return entry
            return await self._written(entry, wanted) if wanted else None
        except NotFound:
            raise Damaged("a pack is missing", key=key, rule="P3") from None

    async def _written(self, entry: PackEntry, wanted: Mapping[Address, Place]) -> PackEntry:
        store, layout = self._reader.store, self._reader.layout
        key, draft = layout.pack(entry.name), PackDraft()
        contents, start = b"", -1
        for (commit, offset), place in wanted.items():
            if place.start != start:
                frame = await store.get_range(key, place.start, place.end)
                contents, start = unpacked_frame(frame, place, key), place.start
            draft.add(commit, offset, contents[place.offset : place.offset + place.length])
        data, head = await asyncio.to_thread(draft.finished)
        name = self._reader.dice.bytes(16).hex()
        await store.put(layout.pack(name), data)
        return PackEntry(name, entry.first, entry.last, len(data), head)
