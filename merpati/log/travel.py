"""The past of a log: its commits one by one, and its state as of any of them (rules P1, P6, R5).

Called by the tools of the operator; reads, and never writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Generic, TypeVar

from merpati.errors import Permanent
from merpati.log.api import EMPTY, Commit, Damaged, Tip
from merpati.log.commits import decoded_head, writer_in
from merpati.log.heads import Heads
from merpati.log.reading import Reader
from merpati.log.snapshots import Snapshot, tip_of

S = TypeVar("S")
C = TypeVar("C")


class OutOfReach(Permanent):
    """The log does not go back that far any more, or has not come so far yet."""


class Travel(Generic[S, C]):
    """One log, looked back upon."""

    def __init__(self, reader: Reader[S, C]) -> None:
        self._reader = reader
        self._snapshots: list[Snapshot] | None = None
        self._heads: Heads | None = None

    async def commits(self, first: int = EMPTY + 1) -> AsyncIterator[tuple[Commit[C], str]]:
        """The commits from `first` on (or from the earliest there is), each with who wrote it.  Raises `Damaged`."""
        pasts = [entry for snapshot in (await self._all())[:1] for entry in snapshot.pasts]
        number = max(first, min((entry.first for entry in pasts), default=EMPTY + 1))
        while (head := await self._head(number)) is not None:
            yield decoded_head(self._reader.fold, head, self._reader.layout.commit(number)), writer_in(head)
            number += 1

    async def number_at(self, time: float) -> int:
        """The last commit that was made by then, as far as the log can be read.

        Raises `OutOfReach` if that is not known any more, for the log began earlier than it is told.
        """
        number = EMPTY
        snapshots = await self._all()
        usable = [snapshot for snapshot in snapshots if snapshot.at <= time]
        try:
            async for commit, _ in self.commits(usable[0].number if usable else EMPTY + 1):
                if not usable and snapshots and number == EMPTY and commit.number > EMPTY + 1:
                    raise _gone("that time", snapshots[-1])
                if commit.at > time:
                    break
                number = commit.number
        except Damaged:
            if number == EMPTY:
                raise
        return max(number, usable[0].number if usable else EMPTY)

    async def state_at(self, number: int) -> Tip[S]:
        """The state as of a commit; without what is damaged of it (R6) if there is no other way.

        Raises `OutOfReach`, `Damaged`.
        """
        damage: Damaged | None = None
        reached = EMPTY
        for around in (False, True):
            try:
                tip = await self._from_snapshot(number, around=around)
            except Damaged as error:
                damage = damage or error
                continue
            if tip.number == number:
                return tip
            reached = tip.number
        snapshots = await self._all()
        if reached == EMPTY and snapshots and number < snapshots[-1].number:
            raise damage or _gone(f"commit {number}", snapshots[-1])
        raise damage or OutOfReach(f"there is no way to commit {number}: commit {reached + 1} is not there")

    async def _from_snapshot(self, number: int, *, around: bool) -> Tip[S]:
        """From the newest snapshot that can be used towards a commit."""
        reader = self._reader
        tip = Tip(reader.fold.empty())
        for snapshot in await self._all():
            if snapshot.number <= number:
                try:
                    tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot, around=around)
                    break
                except Damaged:
                    continue
        while tip.number < number:
            head = await self._head(tip.number + 1)
            if head is None:
                return tip
            tip = reader.applied(tip, decoded_head(reader.fold, head, reader.layout.commit(tip.number + 1)))
        return tip

    async def _all(self) -> list[Snapshot]:
        """The snapshots that can be read, the newest first."""
        if self._snapshots is None:
            self._snapshots = [each async for each in self._reader.snapshots() if not isinstance(each, Damaged)]
        return self._snapshots

    async def _head(self, number: int) -> bytes | None:
        if self._heads is None:
            named = [entry for snapshot in await self._all() for entry in snapshot.pasts]
            self._heads = Heads(self._reader.store, self._reader.layout, named)
        return await self._heads.get(number)


def _gone(what: str, earliest: Snapshot) -> OutOfReach:
    began = datetime.fromtimestamp(earliest.at, UTC).isoformat(timespec="seconds")
    return OutOfReach(f"{what} is out of reach: the earliest state left is that of commit {earliest.number}, {began}")
