"""A log made anew, around what is damaged of it: what all kinds of logs have in common (rules R8 and R9).

Subclassed for mailboxes and for directories, which know what to do behind a lost commit.  Writes a commit and a
snapshot above all that is there; nothing is written over or removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from merpati.log.api import Commit, Contended, Damaged, Decision, Tip
from merpati.log.commit_log import CommitLog
from merpati.log.commits import decoded_head
from merpati.log.heads import Heads
from merpati.log.mending import Mending, Needed, foreign
from merpati.log.reading import Opened
from merpati.log.remains import Remains, remains_of
from merpati.log.snapshots import tip_of

S = TypeVar("S")
C = TypeVar("C")

TRIES = 5
"""Times that a rebuild begins again because somebody wrote meanwhile."""
WRITER = "rebuild"


@dataclass(frozen=True, slots=True)
class Remade(Generic[S]):
    """What was done."""

    tip: Tip[S]
    """The state, which stands in a snapshot of its commit."""
    exact: bool
    """The state is what it was."""
    lost: tuple[str, ...]
    """What could not be had, in words."""
    damaged: tuple[str, ...]
    """What was met on the way; nothing else is lost by it."""


class Rebuilding(Generic[S, C]):
    """One attempt at one log."""

    def __init__(self, log: CommitLog[S, C]) -> None:
        self.log = log
        self.reader = log.reader
        self.lost: list[str] = []
        self._damaged: list[str] = []

    # ---- what a kind of log knows

    def is_whole(self, state: S) -> bool:
        """Whether no part of the state is shut (R6)."""
        return True

    async def salvaged(
        self, base: Tip[S], commits: AsyncIterator[tuple[int, Commit[C] | None]], number: int, remains: Remains
    ) -> tuple[S, bool]:
        """The state at commit `number`, made of `base` and of what is left behind it; and whether it is what it was."""
        raise NotImplementedError

    async def completed(self, state: S) -> S:
        """The state with what can be made anew beside the log."""
        return state

    def needed(self, state: S) -> Iterable[Needed]:
        """The attachments that a state needs."""
        return ()

    def unreadable(self, state: S, nowhere: Iterable[Needed]) -> Iterable[str]:
        """What is lost with attachments, in words."""
        return ()

    # ---- the work

    async def run(self) -> Remade[S]:
        """Raises `Contended` if somebody wrote meanwhile, `Unavailable`, `NewerFormat`, `TooLate`."""
        remains = await remains_of(self.reader)
        mending = Mending(self.reader, remains)
        opened = await self._opened()
        missing = frozenset[int]()
        if opened is not None and opened.damage is None and self.is_whole(opened.tip.state):
            tip, exact = await self._above(), True
            taken = tip.number
        else:
            base = opened.tip if opened is not None else await self._nearest(remains)
            taken = max(remains.last, base.number)
            missing = await self._missing(base, taken, remains)
            number = taken + 1
            commits = self._commits(range(base.number + 1, number), missing, remains)
            state, exact = await self.salvaged(base, commits, number, remains)
            begun = await mending.begin(number, base.at, WRITER)
            tip = Tip(state, begun.number, begun.id, begun.at)
        tip = Tip(await self.completed(tip.state), tip.number, tip.id, tip.at)
        await mending.end(tip, self.needed(tip.state), missing | await self._foreign(remains, taken), taken)
        if missing:
            self.lost.insert(0, f"what was done by {numbers(missing)}")
        if past := {*mending.lost, *remains.forgotten} - missing:
            self.lost.append(f"looking back upon {numbers(past)}")
        self.lost += self.unreadable(tip.state, mending.unreadable)
        self._damaged += map(str, (*remains.wrong, *mending.wrong))
        await self.log.read()
        return Remade(tip, exact, tuple(self.lost), tuple(dict.fromkeys(self._damaged)))

    async def _opened(self) -> Opened[S] | None:
        try:
            return await self.reader.open()
        except Damaged as damage:
            self._damaged.append(str(damage))
            return None

    async def _above(self) -> Tip[S]:
        """The state, which is known, at a commit of its own."""
        await self.log.read()
        await self.log.commit(lambda _: Decision(None, always=True))
        tip = self.log.tip
        if tip is None or self.log.damage is not None or not self.is_whole(tip.state):
            raise Contended("the log was damaged meanwhile", key=self.log.layout.prefix)
        return tip

    async def _nearest(self, remains: Remains) -> Tip[S]:
        """The state that comes nearest to the end of a log to whose end no snapshot leads."""
        reader = self.reader
        best: Tip[S] = Tip(reader.fold.empty())
        for around in (False, True):
            for snapshot in remains.snapshots:
                try:
                    tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot, around=around)
                except Damaged:
                    continue
                best = tip if tip.number > best.number else best
                break
        return best

    async def _missing(self, base: Tip[S], last: int, remains: Remains) -> frozenset[int]:
        """The commits behind `base` that are not to be had, or not of this log."""
        links = await self._links(self._heads(remains), base.number + 1, last)
        return frozenset({*range(base.number + 1, last + 1)} - {*links} | foreign(links, base))

    async def _foreign(self, remains: Remains, last: int) -> frozenset[int]:
        """Of the commits that no past has, those that are not of this log."""
        links = await self._links(self._heads(remains), remains.covered, last)
        before = links.get(remains.covered, (b"", b""))[0]
        return foreign(links, Tip(None, remains.covered, before)) - {remains.covered}

    async def _links(self, heads: Heads, first: int, last: int) -> dict[int, tuple[bytes, bytes]]:
        """Id, and id of the one before, of the commits that can be read."""
        links = {}
        for number in range(first, last + 1):
            commit = await self._commit(heads, number)
            if commit is not None:
                links[number] = commit.id, commit.after
        return links

    async def _commits(
        self, wanted: range, missing: frozenset[int], remains: Remains
    ) -> AsyncIterator[tuple[int, Commit[C] | None]]:
        heads = self._heads(remains)
        for number in wanted:
            yield number, None if number in missing else await self._commit(heads, number)

    async def _commit(self, heads: Heads, number: int) -> Commit[C] | None:
        async for head in heads.candidates(number):
            try:
                commit = decoded_head(self.reader.fold, head, self.reader.layout.commit(number))
            except Damaged:
                continue
            if commit.number == number:
                return commit
        return None

    def _heads(self, remains: Remains) -> Heads:
        return Heads(self.reader.store, self.reader.layout, remains.pasts)


def numbers(of: Collection[int]) -> str:
    """Commits, in words."""
    ordered = sorted(of)
    many = f"{ordered[0]} to {ordered[-1]} ({len(ordered)})" if len(ordered) > 3 else ", ".join(map(str, ordered))
    return f"commit {many}"
