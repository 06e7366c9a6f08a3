"""Reading a log: the newest snapshot, then commits until there is none; and how long what was read may be believed.

`Reader` keeps no state of the log, it only asks the store; `CommitLog` and the tools build on it.  Rules R1 to R4 and
F3 to F5 of PROTOCOL.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from merpati.clock import Clock
from merpati.ids import Dice
from merpati.log.api import EMPTY, Commit, Damaged, Fold, Tip
from merpati.log.commits import decoded, decoded_head
from merpati.log.damages import Damages
from merpati.log.heads import Heads
from merpati.log.layout import Layout, counted_down, numbered
from merpati.log.past import entry_with, read_past
from merpati.log.snapshots import Snapshot, read_snapshot, tip_of
from merpati.log.tail import Tail, tail_in
from merpati.objects.api import NotFound, ObjectStore
from merpati.telemetry import Metrics

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


@dataclass(frozen=True, slots=True)
class Broken:
    """Damage met in snapshots: the greatest number of such a one, and the first damage."""

    number: int = 0
    damage: Damaged | None = None

    def with_damage(self, number: int, damage: Damaged) -> Broken:
        return Broken(max(number, self.number), self.damage or damage)


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
        metrics: Metrics | None = None,
    ) -> None:
        self.store = store
        self.layout = layout
        self.fold = fold
        self.clock = clock
        self.dice = dice
        self.met: Callable[[str, float], None] | None = None
        """Told of each commit that is applied: who wrote it, and when."""
        self._doubt_after = grace / 2
        self._check_floor = check_floor
        self.broken = Broken()
        """What the last opening met."""
        self.damages = Damages(fold.name, layout.prefix, metrics)
        """All that was met."""

    async def open(self) -> Opened[S]:
        """The newest state, from nothing.  Raises `Damaged` if no snapshot leads to it, and `NewerFormat`."""
        for _ in range(RESTARTS):
            timely = self.timely(Moment.now(self.clock))
            try:
                opened = await self._open_once()
                damage = opened.damage or self.broken.damage
                if timely() or damage is None:
                    if damage is not None:
                        self.damages.met(damage)
                    return opened
            except Overtaken:
                continue
            except Damaged as damage:
                if timely():
                    self.damages.met(damage)
                    raise
            # V2: what is missing may have been removed since it was named, which is more than G/2 ago
        raise Damaged("the log is truncated faster than it is read", key=self.layout.floors, rule="F4")

    async def catch_up(self, tip: Tip[S], known: Moment, tails: Sequence[Tail] = ()) -> Opened[S]:
        """From `tip`, commits until there is none (R2).  Raises `Overtaken` if `tip` is below the floor.

        `tails` gets what a listing tells as soon as it is known: then what is missing is read all at once.
        """
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
            width = max(min(2 * width, WIDEST), *(tail.width(tip.number) for tail in tails), 1)

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
        async for info in self.store.list(self.layout.floors):
            if numbered(info.key):
                return counted_down(info.key)
        return 0

    async def identity(self, number: int) -> bytes | None:
        """F4: the id of a commit that is below the floor; None if nobody remembers.  Raises `Damaged`, `NewerFormat`.

        The newest snapshot may cover less than one before it (P8).
        """
        async for snapshot in self.snapshots():
            entry = entry_with(snapshot.pasts, number) if isinstance(snapshot, Snapshot) else None
            if entry is not None:
                heads = await read_past(self.store, self.layout, entry)
                return decoded_head(self.fold, heads[number], self.layout.past(entry.name)).id
        return None

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
        if self.met is not None:
            self.met(commit.writer, commit.at)
        return Tip(state, commit.number, commit.id, commit.at)

    async def newest(self) -> tuple[Tip[S], Snapshot | None]:
        """R1: the state of the newest snapshot that can be read, or the empty state; and that snapshot.

        If a newer one is damaged, the state is led up to that from the heads of the commits (R5), else it is that of
        the newest without its damaged parts (R6).  Raises `Damaged` if neither can be had and the commits are gone.
        """
        broken, named = Broken(), list[Snapshot]()
        async for number, snapshot in self._numbered():
            try:
                if isinstance(snapshot, Damaged):
                    raise snapshot
                named.append(snapshot)
                tip = await tip_of(self.store, self.layout, self.fold, self.dice, snapshot)
            except Damaged as damage:
                broken = broken.with_damage(number, damage)
                continue
            self.broken = broken
            return (tip if broken.damage is None else await self._around(tip, named, broken)), named[0]
        floor = await self.floor()
        if broken.damage is None and floor > EMPTY + 1:
            broken = Broken(
                floor - 1, Damaged("a truncated log without snapshots", key=self.layout.snapshots, rule="R1")
            )
        self.broken = broken
        tip = Tip(self.fold.empty(), EMPTY)
        return (tip if broken.damage is None else await self._around(tip, named, broken)), next(iter(named), None)

    async def newest_head(self) -> Snapshot | None:
        """The newest snapshot without its state.

        Raises `Damaged` if a newer one is damaged, and the commits that would lead there are gone.
        """
        damage: Damaged | None = None
        found: Snapshot | None = None
        async for _, snapshot in self._numbered():
            if isinstance(snapshot, Damaged):
                damage = damage or snapshot
            elif await self._is_ours(snapshot):
                found = snapshot
                break
            else:
                key = self.layout.snapshot(snapshot.number)
                damage = damage or Damaged("a snapshot of another log", key=key, rule="S1")
        if damage is not None or found is None:
            floor = await self.floor()
            if floor > (found.number if found else EMPTY) + 1:
                raise damage or Damaged("a truncated log without snapshots", key=self.layout.snapshots, rule="R1")
        if found is not None and self.doubt(found.number) is not None:
            return msgspec.structs.replace(found, chunks=())  # R5: what may be damaged is not built upon
        return found

    async def _is_ours(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot is of the commit that stands there under its number, if that can be told (B2: foreign)."""
        try:
            commit = await self.commit(snapshot.number)
        except Damaged:
            return True
        return commit is None or commit.id == snapshot.id or await self.floor() > snapshot.number

    def doubt(self, number: int) -> Damaged | None:
        """Why a snapshot at `number` may have damaged parts, if this process met damage in one as new."""
        return self.broken.damage if number <= self.broken.number else None

    async def snapshots(self) -> AsyncIterator[Snapshot | Damaged]:
        """All snapshots, the newest first."""
        async for _, snapshot in self._numbered():
            yield snapshot

    async def _numbered(self) -> AsyncIterator[tuple[int, Snapshot | Damaged]]:
        async for info in self.store.list(self.layout.snapshots):
            if not numbered(info.key):
                continue
            number = counted_down(info.key)
            try:
                yield number, await read_snapshot(self.store, self.layout, number)
            except NotFound:  # removed since it was listed
                continue
            except Damaged as error:
                yield number, error

    async def _around(self, tip: Tip[S], named: list[Snapshot], broken: Broken) -> Tip[S]:
        """The state as of the newest snapshot, though that is damaged; `tip` is that of an older one."""
        floor = await self.floor()
        goal = max(broken.number, floor - 1)
        reached = await self._led(tip, floor, goal, named)
        for snapshot in named:
            if reached.number >= goal:
                return reached
            try:
                closed = await tip_of(self.store, self.layout, self.fold, self.dice, snapshot, around=True)
            except Damaged:
                continue
            reached = await self._led(closed, floor, goal, named)
        if reached.number < goal and floor > tip.number + 1:
            assert broken.damage is not None
            raise broken.damage
        return reached if reached.number >= goal else tip

    async def _led(self, tip: Tip[S], floor: int, goal: int, named: list[Snapshot]) -> Tip[S]:
        """The state led on towards commit `goal` through commits (R1), and through whatever has their heads (R5)."""
        if floor <= tip.number + 1 <= goal:
            tip = (await self.catch_up(tip, Moment.now(self.clock))).tip
        heads = Heads(self.store, self.layout, (entry for snapshot in named for entry in snapshot.pasts))
        ids = {snapshot.number: snapshot.id for snapshot in named}
        while tip.number < goal:
            key = self.layout.commit(tip.number + 1)
            async for head in heads.candidates(tip.number + 1):
                try:
                    commit = decoded_head(self.fold, head, key)
                    next_tip = self.applied(tip, commit)
                except Damaged:  # a stalled writer's, or foreign
                    continue
                # below the floor only a snapshot can tell a stalled writer's commit that nothing follows
                if commit.number >= floor or ids.get(commit.number, commit.id) == commit.id:
                    tip = next_tip
                    break
            else:
                return tip
        return tip

    async def _open_once(self) -> Opened[S]:
        began = Moment.now(self.clock)
        tip, _ = await self.newest()
        tails: list[Tail] = []
        opened, last = await asyncio.gather(self.catch_up(tip, began, tails), self._last_listed(tip.number, tails))
        if opened.damage is None and last > opened.tip.number:
            opened = await self.catch_up(opened.tip, opened.known)  # it may have come meanwhile
            if opened.damage is None and last > opened.tip.number:
                return await self._interrupted(opened)
        return opened

    async def _last_listed(self, number: int, tails: list[Tail]) -> int:
        """The greatest number of a commit after `number`, as far as a listing knows; told to `tails` too."""
        tails.append(await tail_in(self.store.list(self.layout.commits, after=self.layout.commit(number)), number))
        return tails[-1].last

    async def _interrupted(self, opened: Opened[S]) -> Opened[S]:
        """R7: commits stand behind one that is not there, so it was lost, or truncated under us."""
        number = opened.tip.number + 1
        if await self.floor() > number:
            raise Overtaken
        key = self.layout.commit(number)
        return Opened(opened.tip, opened.known, Damaged("a commit is missing, and others follow", key=key, rule="R7"))

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
