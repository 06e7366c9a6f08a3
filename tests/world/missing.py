"""Safeguards switched off one by one, so that each is seen to be missed.  Nothing of this can be set in the product.

Each is a bug that somebody has had; `bend` puts it into the parts of one process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from merpati.ids import Dice
from merpati.log.api import Commit
from merpati.log.claiming import Claimer, Lost, Won
from merpati.log.commit_log import Safeguards
from merpati.log.compaction import Compacted, Compaction
from merpati.log.floor import raise_floor
from merpati.log.reach import covered
from merpati.log.reading import GRACE, Moment
from merpati.log.reclaim import Reclaim
from merpati.log.storetime import store_time
from merpati.log.vacuum import RETENTION, Vacuum, Vacuumed
from merpati.mailbox.account import MailAccount
from merpati.mailbox.bodies import addresses
from merpati.objects.api import Exists, ObjectStore
from merpati.objects.wrapped import WrappedStore


@dataclass(frozen=True, slots=True)
class Missing:
    """What a world goes without: nothing, but in the ablations."""

    own_id: bool = False
    """C4: after no clear answer, the race is taken for lost."""
    floor: bool = False
    """F3: what rests on an old view is believed."""
    causes: bool = False
    """Deliveries name no cause."""
    random_id: bool = False
    """C4: whoever finds the bytes that it wanted to write takes them for its own."""
    looking: bool = False
    """C4: "taken" is believed without reading the key."""
    asking_again: bool = False
    """C4: what is absent after no answer is taken for refused, and begun anew."""
    chunks_first: bool = False
    """S1: the snapshot is written before its chunks."""
    fresh_names: bool = False
    """S2: a chunk that is written again has the name it had before."""
    timely: bool = False
    """S5: a snapshot is written however long ago that was read which it builds upon."""
    floor_first: bool = False
    """F1: commits are deleted, then the floor is raised."""
    covering: bool = False
    """P5: commits below the floor are deleted, whatever the newest snapshot covers."""
    truncation_grace: bool = False
    """F2: commits below the floor are deleted at once."""
    blob_horizon: bool = False
    """V5 of large bodies: one that no log needs is removed, however young."""
    vacuum_grace: bool = False
    """V2: what no snapshot needs is removed at once."""

    @property
    def safeguards(self) -> Safeguards:
        """Those that the product itself can go without."""
        return Safeguards(own_id=not self.own_id, floor=not self.floor)


def bent_store(store: ObjectStore, missing: Missing) -> ObjectStore:
    """The store that the log is given."""
    return _ChunksLast(store) if missing.chunks_first else store


def bend(account: MailAccount, missing: Missing) -> None:
    """Take the safeguards away."""
    log, reader = account.log, account.log.reader
    if missing.random_id:
        log._claimer = _BelievesBytes(reader)
    if missing.looking:
        log._claimer = _NeverLooks(reader)
    if missing.asking_again:
        log._claimer = _BeginsAnew(reader)
    if missing.timely:
        reader.timely = lambda began: lambda: True  # type: ignore[method-assign]
    if missing.fresh_names:
        reader.dice = _SameNames(reader.dice)
    if missing.floor_first or missing.truncation_grace or missing.covering:
        kind = _DeletesFirst if missing.floor_first else _TrustsTheFloor if missing.covering else Compaction
        grace = 0.0 if missing.truncation_grace else GRACE

        async def compact(least: int = 1) -> Compacted:
            return await kind(log, grace=grace).run(least)

        account.compact = compact  # type: ignore[method-assign]
    if missing.vacuum_grace:

        async def vacuum(retention: float = RETENTION) -> Vacuumed:
            return await Vacuum(reader, grace=0.0, retention=retention).run()

        account.vacuum = vacuum  # type: ignore[method-assign, assignment]


async def reclaimed(account: MailAccount, retention: float) -> int:
    """`account.reclaim`, whose grace no ablation changes."""
    return await Reclaim(account.log, addresses, grace=GRACE, retention=retention).run()


class _BelievesBytes(Claimer[Any]):
    _mine: Commit[Any]

    async def claim(self, commit: Commit[Any], data: bytes, known: Moment, deadline: float) -> Won | Lost[Any]:
        self._mine = commit
        return await super().claim(commit, data, known, deadline)

    async def _look(self, number: int, deadline: float, *, perhaps: bool) -> Commit[Any] | None:
        found = await super()._look(number, deadline, perhaps=perhaps)
        if found is not None and found.parts == self._mine.parts:
            return replace(found, id=self._mine.id)
        return found


class _Taken(Exception):
    """Somebody has it, says the store."""


class _TellsTaken(WrappedStore):
    async def create(self, key: str, data: bytes) -> None:
        try:
            await super().create(key, data)
        except Exists:
            raise _Taken from None


class _NeverLooks(Claimer[Any]):
    def __init__(self, reader: Any) -> None:
        super().__init__(reader)
        self._store = _TellsTaken(reader.store)

    async def claim(self, commit: Commit[Any], data: bytes, known: Moment, deadline: float) -> Won | Lost[Any]:
        try:
            return await super().claim(commit, data, known, deadline)
        except _Taken:
            return Lost(None)


class _BeginsAnew(Claimer[Any]):
    async def claim(self, commit: Commit[Any], data: bytes, known: Moment, deadline: float) -> Won | Lost[Any]:
        try:
            return await super().claim(commit, data, known, deadline)
        except _Taken:
            return Lost(None)

    async def _look(self, number: int, deadline: float, *, perhaps: bool) -> Commit[Any] | None:
        found = await super()._look(number, deadline, perhaps=perhaps)
        if found is None:
            raise _Taken
        return found


class _ChunksLast(WrappedStore):
    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._held: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes) -> None:
        if "/chunk/" in key:
            self._held[key] = data
        else:
            await super().put(key, data)

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        if "/snap/" in key:
            held, self._held = self._held, {}
            for name, chunk in held.items():
                await super().put(name, chunk)


class _SameNames:
    """Four bytes are what makes the name of a chunk its own."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self.uniform = dice.uniform

    def bytes(self, n: int) -> bytes:
        return bytes(4) if n == 4 else self._dice.bytes(n)


class _DeletesFirst(Compaction[Any, Any]):
    async def _truncate(self) -> int:
        newest = await self._reader.newest_head()
        end = covered(newest)
        now = await store_time(self._store, self._layout, self._reader.dice)
        listed = [info async for info in self._store.list(self._layout.commits)]
        # the grace period is kept, but it is the commit's age that is held against it
        old = [info.key for info in listed if int(info.key[-20:]) <= end and now - info.modified > self._grace]
        if old:
            await self._store.delete(old)
            await raise_floor(self._store, self._layout, end + 1)
        return len(old)


class _TrustsTheFloor(Compaction[Any, Any]):
    async def _truncate(self) -> int:
        end = covered(await self._reader.newest_head())
        if await self._reader.floor() <= end:
            await raise_floor(self._store, self._layout, end + 1)
        keys = await self._below(await self._old_floor(), "")
        if keys:
            await self._store.delete(keys)
        return len(keys)
