"""The past of a log: its commits one by one, and its state as of any of them (rules P1, P6).

Called by the tools of the operator; reads, and never writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from merpati.errors import Permanent
from merpati.log.api import EMPTY, Commit, Damaged, Tip
from merpati.log.commits import decoded_head, writer_in
from merpati.log.frame import Kind, head_of
from merpati.log.past import entry_with, read_past
from merpati.log.reading import Reader
from merpati.log.snapshots import PastEntry, Snapshot, tip_of
from merpati.objects.api import NotFound

S = TypeVar("S")
C = TypeVar("C")


class OutOfReach(Permanent):
    """The log does not go back that far any more, or has not come so far yet."""


class Travel(Generic[S, C]):
    """One log, looked back upon."""

    def __init__(self, reader: Reader[S, C]) -> None:
        self._reader = reader
        self._snapshots: list[Snapshot] | None = None
        self._heads: tuple[PastEntry, dict[int, bytes]] | None = None

    async def commits(self, first: int = EMPTY + 1) -> AsyncIterator[tuple[Commit[C], str]]:
        """The commits from `first` on (or from the earliest there is), each with who wrote it."""
        pasts = [entry for snapshot in (await self._all())[:1] for entry in snapshot.pasts]
        number = max(first, min((entry.first for entry in pasts), default=EMPTY + 1))
        while (head := await self._head(number)) is not None:
            yield decoded_head(self._reader.fold, head, self._reader.layout.commit(number)), writer_in(head)
            number += 1

    async def number_at(self, time: float) -> int:
        """The last commit that was made by then."""
        number = EMPTY
        usable = [snapshot for snapshot in await self._all() if snapshot.at <= time]
        async for commit, _ in self.commits(usable[0].number if usable else EMPTY + 1):
            if commit.at > time:
                break
            number = commit.number
        return number

    async def state_at(self, number: int) -> Tip[S]:
        """The state as of a commit.  Raises `OutOfReach`, `Damaged`."""
        reader = self._reader
        tip = Tip(reader.fold.empty())
        for snapshot in await self._all():
            if snapshot.number <= number:
                tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot)
                break
        while tip.number < number:
            head = await self._head(tip.number + 1)
            if head is None:
                raise OutOfReach(f"there is no way to commit {number}: commit {tip.number + 1} is not there")
            tip = reader.applied(tip, decoded_head(reader.fold, head, reader.layout.commit(tip.number + 1)))
        if tip.number != number:
            raise OutOfReach(f"commit {number} is not there")
        return tip

    async def _all(self) -> list[Snapshot]:
        """The snapshots that can be read, the newest first."""
        if self._snapshots is None:
            self._snapshots = [each async for each in self._reader.snapshots() if not isinstance(each, Damaged)]
        return self._snapshots

    async def _head(self, number: int) -> bytes | None:
        """A commit's head, from a past if one has it: what stands below the floor may be a stalled writer's."""
        if self._heads is not None and self._heads[0].first <= number <= self._heads[0].last:
            return self._heads[1][number]
        reader = self._reader
        for snapshot in await self._all():
            entry = entry_with(snapshot.pasts, number)
            if entry is not None:
                self._heads = entry, await read_past(reader.store, reader.layout, entry)
                return self._heads[1][number]
        key = reader.layout.commit(number)
        try:
            return head_of(Kind.COMMIT, await reader.store.get(key), key)
        except NotFound:
            return None
