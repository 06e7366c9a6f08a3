"""Attachments by their address, wherever compaction has put them: in the commit they came with, or in a pack.

Called by whoever reads bodies.  Which packs there are is read from the newest snapshot, and again when something is not
where it was: an address holds for ever, a place does not (rule P4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from merpati.log.api import Damaged
from merpati.log.frame import PREAMBLE, TRAILER
from merpati.log.lately import Lately
from merpati.log.packs import Address, Place, index_of, unpacked_frame
from merpati.log.reach import covered, foundation
from merpati.log.reading import Moment, Reader
from merpati.log.remains import found_packs
from merpati.log.snapshots import PackEntry, Snapshot
from merpati.objects.api import NotFound

PLACE = 450
"""Bytes of memory that an index takes for each attachment."""


class Attachments:
    """The attachments of one log."""

    def __init__(self, reader: Reader[Any, Any], lately: Lately | None = None) -> None:
        """`lately` is shared by the logs of a process."""
        self._reader = reader
        self._lately = lately or Lately()
        self._packs: tuple[PackEntry, ...] = ()
        self._looked: Moment | None = None

    async def get(self, commit: int, offset: int, length: int, right: Callable[[bytes], bool] | None = None) -> bytes:
        """The bytes.  `right` says whether they are what was written; if nobody can say, they are read with more care.

        Raises `NotFound` (with `key`), `Damaged`, `Unavailable`.
        """
        if right is None and not (self._looked and self._reader.timely(self._looked)()):
            await self._look_again(commit)
        packed = await self._packed(commit, offset, self._packs)
        if isinstance(packed, bytes):
            return packed
        key, found = self._reader.layout.commit(commit), None
        try:
            found = await self._reader.store.get_range(key, offset, offset + length)
            if right is None or right(found):
                return found
        except NotFound:
            pass
        # P4: it has moved; and what stands there still, or again, may be a stalled writer's
        await self._look_again(commit)
        packed = await self._packed(commit, offset, self._packs)
        if not isinstance(packed, bytes):
            # R5: the snapshot that names its pack may be the damaged one
            unnamed = await self._packed(commit, offset, await self._unnamed())
            packed = unnamed if isinstance(unnamed, bytes) else packed
        if isinstance(packed, bytes):
            return packed
        if found is None:
            raise packed or NotFound("neither the commit nor a pack has these bytes", key=key)
        return (await self._anew(key))[offset : offset + length]

    async def staying(self, addresses: Collection[Address]) -> set[Address]:
        """P9: those that stay as long as the state has them: the newest snapshot names them, or their commits go on.

        Raises `Damaged` if that snapshot cannot be had.
        """
        newest = await foundation(self._reader)
        stay = {address for address in addresses if address[0] > covered(newest)}
        for entry in newest.packs if newest else ():
            wanted = {address for address in addresses if entry.first <= address[0] <= entry.last} - stay
            try:
                stay |= wanted & (await self._index(entry)).keys() if wanted else set()
            except (NotFound, Damaged):
                continue
        return stay

    async def _unnamed(self) -> list[PackEntry]:
        packs = [entry async for entry in found_packs(self._reader, self._packs)]
        return [entry for entry in packs if isinstance(entry, PackEntry) and entry not in self._packs]

    async def _packed(self, commit: int, offset: int, packs: Sequence[PackEntry]) -> bytes | Damaged | None:
        damage: Damaged | None = None
        for entry in [each for each in packs if each.first <= commit <= each.last]:
            try:
                place = (await self._index(entry)).get((commit, offset))
                if place is not None:
                    contents = await self._frame(entry, place)
                    return contents[place.offset : place.offset + place.length]
            except NotFound:  # written anew and removed: the newest snapshot says where it went
                self._packs = ()
                return damage
            except Damaged as error:  # the commit may be there still
                damage = error
        return damage

    async def _look_again(self, commit: int) -> None:
        """P4: the newest snapshot knows the packs; one that was written beside it may know of a later one."""
        self._packs, self._looked = (), Moment.now(self._reader.clock)
        async for snapshot in self._reader.snapshots():
            if isinstance(snapshot, Snapshot):
                self._packs = packs_with(self._packs, snapshot.packs)
                if any(entry.first <= commit <= entry.last for entry in self._packs):
                    return

    async def _index(self, entry: PackEntry) -> Mapping[Address, Place]:
        key = self._reader.layout.pack(entry.name)
        return await self._lately.get(key, lambda: self._read_index(entry), lambda index: PLACE * len(index))

    async def _read_index(self, entry: PackEntry) -> Mapping[Address, Place]:
        key, store = self._reader.layout.pack(entry.name), self._reader.store
        start = entry.size - TRAILER - entry.head
        preamble, end = await asyncio.gather(store.get_range(key, 0, PREAMBLE), store.get_range(key, start, entry.size))
        try:
            return index_of(end, preamble, key)
        except Damaged:
            whole = await self._anew(key)
            return index_of(whole[start : entry.size], whole[:PREAMBLE], key)

    async def _frame(self, entry: PackEntry, place: Place) -> bytes:
        name = (self._reader.layout.pack(entry.name), place.start)
        return await self._lately.get(name, lambda: self._read_frame(entry, place), len)

    async def _read_frame(self, entry: PackEntry, place: Place) -> bytes:
        key = self._reader.layout.pack(entry.name)
        try:
            return unpacked_frame(await self._reader.store.get_range(key, place.start, place.end), place, key)
        except Damaged:
            return unpacked_frame((await self._anew(key))[place.start : place.end], place, key)

    async def _anew(self, key: str) -> bytes:
        """The object as the store has it now, and no cache: there it may have come garbled, or be mended since."""
        return b"".join([piece async for piece in self._reader.store.get_stream(key)])


def packs_with(packs: tuple[PackEntry, ...], older: tuple[PackEntry, ...]) -> tuple[PackEntry, ...]:
    """The packs of a snapshot, and those of an older one that hold later commits than any of its own (P4)."""
    last = max((entry.last for entry in packs), default=0)
    return (*packs, *(entry for entry in older if entry.first > last))
