"""Moving what the commits hold into few large objects, and deleting the commits: rules P1 to P5, P8, F1 and F2.

Called by the mailbox now and then, and by the operator.  Every step may be the last one before a crash, and may be done
again: what was written and is named by no snapshot is the vacuum's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from merpati.log.api import EMPTY, Commit, Damaged, Decision, Parted, Tip
from merpati.log.commit_log import CommitLog
from merpati.log.commits import attachment_digest, decoded
from merpati.log.floor import raise_floor
from merpati.log.frame import Kind, head_of
from merpati.log.layout import counted_down, last_number, numbered
from merpati.log.packs import PACK, PackDraft
from merpati.log.past import encoded_past
from merpati.log.reach import covered, foundation
from merpati.log.reading import Moment, Reader
from merpati.log.snapshots import PackEntry, PastEntry, Snapshot, write_snapshot
from merpati.log.storetime import store_time
from merpati.objects.api import Exists, NotFound

S = TypeVar("S")
C = TypeVar("C")

AT_ONCE = 8
"""Commits read at once."""
HEADS = 1000
HEADS_BYTES = 4 << 20
"""Commits, and bytes of their heads, in one past."""
DELETED_AT_ONCE = 1000
MOST = 20_000
"""Commits moved in one run, so that it ends before what it builds upon may be gone (S5)."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did."""

    commits: int = 0
    """Commits whose contents were moved."""
    packs: int = 0
    deleted: int = 0
    """Commits that were deleted: those of an earlier run."""


class Compaction(Generic[S, C]):
    """Compacts one log."""

    def __init__(self, log: CommitLog[S, C], *, grace: float) -> None:
        self._log = log
        self._reader: Reader[S, C] = log.reader
        self._store = log.reader.store
        self._layout = log.layout
        self._grace = grace

    async def run(self, least: int = 1) -> Compacted:
        """Move commits, if there are `least` of them, and delete those whose floor is old enough.

        Raises `Damaged` if a commit is not what it should be: then nothing is moved or deleted that stands behind it.
        """
        done = await self._move(least)
        return replace(done, deleted=await self._truncate())

    async def _move(self, least: int) -> Compacted:
        tip = await self._log.read()
        if self._log.damage is not None:
            raise self._log.damage
        if isinstance(self._reader.fold, Parted):
            self._reader.fold.check_whole(tip.state)
        began = Moment.now(self._reader.clock)
        before = await foundation(self._reader)
        start = covered(before)
        if tip.number - start < max(1, least):
            return Compacted()
        last = min(tip.number, start + MOST)
        packs, pasts = await self._written(start + 1, last)
        if not await self._snapshot(before, packs, pasts, began):
            # S4: somebody wrote one at this number, so ours needs another
            await self._log.commit(lambda state: Decision(None, always=True))
            if last == tip.number:  # else that commit would be left, and the next time be moved in the same way
                more_packs, more_pasts = await self._written(last + 1, self._log_tip().number)
                packs, pasts = [*packs, *more_packs], [*pasts, *more_pasts]
            await self._snapshot(before, packs, pasts, began)
        return Compacted(last - start, len(packs))

    def _log_tip(self) -> Tip[S]:
        tip = self._log.tip
        assert tip is not None, "it has been read"
        return tip

    async def _snapshot(
        self, before: Snapshot | None, packs: list[PackEntry], pasts: list[PastEntry], began: Moment
    ) -> bool:
        tip, reader = self._log_tip(), self._reader
        newest = await foundation(reader)
        if covered(newest) != covered(before):
            return True  # another compaction was quicker: its objects count, ours are the vacuum's
        old_packs, old_pasts = (newest.packs, newest.pasts) if newest else ((), ())
        try:
            await write_snapshot(
                self._store,
                self._layout,
                reader.fold,
                tip,
                reader.dice,
                newest,
                packs=(*old_packs, *packs),
                pasts=(*old_pasts, *pasts),
                timely=reader.timely(began),
            )
        except Exists:
            return False
        return True

    async def _written(self, first: int, last: int) -> tuple[list[PackEntry], list[PastEntry]]:
        """Packs and pasts of the commits from `first` to `last`, in the store."""
        packs: list[PackEntry] = []
        pasts: list[PastEntry] = []
        draft, heads, since = PackDraft(), list[bytes](), 0.0
        async for commit, data in self._commits(first, last):
            since = since if heads else commit.at
            heads.append(head_of(Kind.COMMIT, data, self._layout.commit(commit.number)))
            self._add(draft, commit, data)
            if draft.size >= PACK:
                packs.append(await self._pack(draft))
                draft = PackDraft()
            if len(heads) >= HEADS or sum(map(len, heads)) >= HEADS_BYTES or commit.number == last:
                pasts.append(await self._past(commit.number, heads, since))
                heads = []
        if draft.first:
            packs.append(await self._pack(draft))
        return packs, pasts

    async def _commits(self, first: int, last: int) -> AsyncIterator[tuple[Commit[C], bytes]]:
        """Commits and their objects in order, held against each other (C2)."""
        before: bytes | None = None
        for start in range(first, last + 1, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, last + 1))
            for number, data in zip(numbers, await asyncio.gather(*map(self._object, numbers)), strict=True):
                key = self._layout.commit(number)
                commit = decoded(self._reader.fold, data, key)
                if commit.number != number or (before is not None and commit.after != before):
                    raise Damaged("a commit that does not follow the one before it", key=key, rule="C2")
                before = commit.id
                yield commit, data

    async def _object(self, number: int) -> bytes:
        key = self._layout.commit(number)
        try:
            return await self._store.get(key)
        except NotFound:
            raise Damaged("a commit is missing", key=key, rule="P1") from None

    def _add(self, draft: PackDraft, commit: Commit[C], data: bytes) -> None:
        for part in commit.parts:
            for attachment in part.attachments:
                body = data[attachment.offset : attachment.offset + attachment.length]
                if attachment_digest(body) != attachment.digest:
                    key = self._layout.commit(commit.number)
                    raise Damaged("an attachment is not what was written", key=key, rule="B4")
                draft.add(commit.number, attachment.offset, body)

    async def _pack(self, draft: PackDraft) -> PackEntry:
        data, head = await asyncio.to_thread(draft.finished)
        name = self._reader.dice.bytes(16).hex()
        await self._store.put(self._layout.pack(name), data)
        return PackEntry(name, draft.first, draft.last, len(data), head)

    async def _past(self, last: int, heads: list[bytes], since: float) -> PastEntry:
        first = last - len(heads) + 1
        data = await asyncio.to_thread(encoded_past, first, heads)
        name = self._reader.dice.bytes(16).hex()
        await self._store.put(self._layout.past(name), data)
        return PastEntry(name, first, last, len(data), since)

    async def _truncate(self) -> int:
        """F1: raise the floor to what is covered.  F2: delete what is below a floor that is old enough."""
        newest = await self._reader.newest_head()
        end = covered(newest)
        if newest is None or end == EMPTY:
            return 0
        if await self._reader.floor() <= end:
            await raise_floor(self._store, self._layout, end + 1)
        oldest = await anext(self._store.list(self._layout.commits, limit=1), None)
        if oldest is None or not numbered(oldest.key) or last_number(oldest.key) > end:
            return 0
        below = await self._old_floor()
        # P5: only what the newest snapshot still answers for.  Which that is, is asked once the floor is old: then the
        # snapshot of a compaction that ran beside the one that raised it has been written, or never will be (S5)
        below = min(below, covered(await self._reader.newest_head()) + 1)
        deleted, last = 0, ""
        while keys := await self._below(below, last):
            await self._store.delete(keys)
            deleted, last = deleted + len(keys), keys[-1]
        return deleted

    async def _old_floor(self) -> int:
        """The highest floor that is older than the grace period."""
        now = await store_time(self._store, self._layout, self._reader.dice)
        async for info in self._store.list(self._layout.floors):
            if now - info.modified > self._grace and numbered(info.key):
                return counted_down(info.key)
        return 0

    async def _below(self, number: int, after: str) -> list[str]:
        listed = self._store.list(self._layout.commits, after=after, limit=DELETED_AT_ONCE)
        return [info.key async for info in listed if numbered(info.key) and last_number(info.key) < number]
