"""Reading a log: the newest snapshot, then commits until there is none; and how long what was read may be believed.

`Reader` keeps no state of the log, it only asks the store; `CommitLog` and the tools build on it.  Rules R1 to R4 and
F3 to F5 of PROTOCOL.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from merpati.clock import Clock
from merpati.ids import Dice
from merpati.log.api import EMPTY, Commit, Damaged, Fold, Tip
from merpati.log.commits import decoded, decoded_head
from merpati.log.layout import Layout, counted_down
from merpati.log.past import entry_with, read_past
from merpati.log.snapshots import Snapshot, read_snapshot, tip_of
from merpati.objects.api import NotFound, ObjectStore

S = TypeVar("S")
C = TypeVar("C")
T = TypeVar("T")

GRACE = 3600.0
"""G: seconds between raising the floor and deleting what is below it.  Part of the protocol: equal on every node."""
WIDEST = 16
"""Commits read at once when many are missing."""
RESTARTS = 5
"""Times that an opening begins again because the log was truncated under it."""


class Overtaken(Exception):
    """The floor has passed what we know: it must be read anew, from the newest snapshot."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was true: by the clock that never goes back, and by the one that a suspended machine keeps."""

    monotonic: float
    wall: float

    @staticmethod
    def now(clock: Clock) -> Moment:
        return Moment(clock.monotonic(), clock.time())

    def age(self, clock: Clock) -> float:
        """Seconds since: the greater of both, for the one may have stood still and the other have been set back."""
        return max(clock.monotonic() - self.monotonic, clock.time() - self.wall)


@dataclass(frozen=True, slots=True)
class Opened(Generic[S]):
    """A state, and a moment at which the commit after it did not exist."""

    tip: Tip[S]
    known: Moment
    damage: Damaged | None = None
    """Why what follows cannot be read, if something does."""


class Reader(Generic[S, C]):
    """One log's objects, read."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        fold: Fold[S, C],
        clock: Clock,
        dice: Dice,
        *,
        grace: float = GRACE,
        check_floor: bool = True,
    ) -> None:
        self.store = store
        self.layout = layout
        self.fold = fold
        self.clock = clock
        self.dice = dice
        self._doubt_after = grace / 2
        self._check_floor = check_floor

    async def open(self) -> Opened[S]:
        """The newest state, from nothing.  Raises `Damaged` if no snapshot leads to it, and `NewerFormat`."""
        for _ in range(RESTARTS):
            try:
                return await self._open_once()
            except Overtaken:
                continue
        raise Damaged("the log is truncated faster than it is read", key=self.layout.floors, rule="F4")

    async def catch_up(self, tip: Tip[S], known: Moment) -> Opened[S]:
        """From `tip`, commits until there is none (R2).  Raises `Overtaken` if `tip` is below the floor."""
        width = 1
        while True:
            try:
                commits, end = await self._next(tip.number, width)
                known = await self.believed(tip.number, known)
                for commit in commits:
                    tip = self.applied(tip, commit)
            except Damaged as damage:
                # what stands before it stays readable; a writer meets the damage when it claims the number
                return Opened(tip, known, damage)
            if end is not None:
                return Opened(tip, end)
            width = min(2 * width, WIDEST)

    async def believed(self, number: int, known: Moment) -> Moment:
        """F3: what was just seen of commit `number` + 1 is true, if the one before was known not long ago.

        Else the floor is asked first.  Returns the moment from which on to count.  Raises `Overtaken`.
        """
        if not self._check_floor or known.age(self.clock) <= self._doubt_after:
            return known
        asked = Moment.now(self.clock)
        if await self.floor() > number + 1:
            raise Overtaken
        return asked

    def timely(self, began: Moment) -> Callable[[], bool]:
        """S5: whether what was read at `began` may still be built upon when a snapshot is about to appear."""
        return lambda: began.age(self.clock) <= self._doubt_after

    async def floor(self) -> int:
        """The number below which nothing may be claimed; 0 if the log was never truncated."""
        async for info in self.store.list(self.layout.floors, limit=1):
            return counted_down(info.key)
        return 0

    async def identity(self, number: int) -> bytes | None:
        """F4: the id of a commit that may be below the floor; None if nobody remembers."""
        commit = await self.commit(number)
        _, snapshot = await self.newest()
        entry = entry_with(snapshot.pasts, number) if snapshot else None
        if entry is None:
            return commit.id if commit and await self.floor() <= number else None
        heads = await read_past(self.store, self.layout, entry)
        return decoded_head(self.fold, heads[number], self.layout.past(entry.name)).id

    async def commit(self, number: int) -> Commit[C] | None:
        """One commit, or None if it is not there.  Raises `Damaged`, `NewerFormat`."""
        key = self.layout.commit(number)
        try:
            return decoded(self.fold, await self.store.get(key), key)
        except NotFound:
            return None

    def applied(self, tip: Tip[S], commit: Commit[C]) -> Tip[S]:
        """The tip after a commit.  Raises `Damaged` if it does not follow (C2)."""
        if commit.number != tip.number + 1 or commit.after != tip.id:
            key = self.layout.commit(tip.number + 1)
            raise Damaged("a commit that does not follow the one before it", key=key, rule="C2")
        try:
            state = self.fold.apply(tip.state, commit)
        except ValueError as error:
            key = self.layout.commit(commit.number)
            raise Damaged("a commit that cannot be applied", key=key, rule="C2", reason=str(error)) from error
        return Tip(state, commit.number, commit.id, commit.at)

    async def newest(self) -> tuple[Tip[S], Snapshot | None]:
        """R1: the state of the newest snapshot that can be read; the empty state if there is none.

        Raises `Damaged` if a newer one is damaged, and the commits that would lead there are gone.
        """

        async def loaded(snapshot: Snapshot) -> tuple[Tip[S], Snapshot | None]:
            return await tip_of(self.store, self.layout, self.fold, self.dice, snapshot), snapshot

        nothing: tuple[Tip[S], Snapshot | None] = (Tip(self.fold.empty(), EMPTY), None)
        return await self._newest_that(loaded, nothing, lambda found: found[0].number)

    async def newest_head(self) -> Snapshot | None:
        """The same without its state: what a new snapshot builds upon."""

        async def itself(snapshot: Snapshot) -> Snapshot | None:
            return snapshot

        return await self._newest_that(itself, None, lambda found: found.number if found else EMPTY)

    async def snapshots(self) -> AsyncIterator[Snapshot | Damaged]:
        """All snapshots, the newest first."""
        async for info in self.store.list(self.layout.snapshots):
            try:
                yield await read_snapshot(self.store, self.layout, counted_down(info.key))
            except NotFound:  # removed since it was listed
                continue
            except Damaged as error:
                yield error

    async def _newest_that(self, take: Callable[[Snapshot], Awaitable[T]], nothing: T, number: Callable[[T], int]) -> T:
        damage: Damaged | None = None
        found = nothing
        async for snapshot in self.snapshots():
            try:
                if isinstance(snapshot, Damaged):
                    raise snapshot
                found = await take(snapshot)
                break
            except Damaged as error:
                damage = damage or error
        if damage is not None and await self.floor() > number(found) + 1:
            raise damage
        return found

    async def _open_once(self) -> Opened[S]:
        began = Moment.now(self.clock)
        tip, _ = await self.newest()
        return await self.catch_up(tip, began)

    async def _next(self, number: int, width: int) -> tuple[list[Commit[C]], Moment | None]:
        """The commits after `number`, up to `width`; with the moment of asking if there were fewer."""
        asked = Moment.now(self.clock)
        wanted = range(number + 1, number + 1 + width)
        found = await asyncio.gather(*(self._commit_or_damage(each) for each in wanted))
        commits: list[Commit[C]] = []
        for commit in found:
            if commit is None:
                return commits, asked
            if isinstance(commit, Damaged):
                if commits:  # read what stands before it first
                    return commits, None
                raise commit
            commits.append(commit)
        return commits, None

    async def _commit_or_damage(self, number: int) -> Commit[C] | Damaged | None:
        try:
            return await self.commit(number)
        except Damaged as error:
            return error
