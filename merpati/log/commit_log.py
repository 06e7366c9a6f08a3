"""One log in one process: the loop `commit(decide)`, the state it leads to, and those who wait for news of it.

Built once per log and process, and shared by all who use it there.  Decisions that wait while a commit is under way go
into the next one together.  Implements the rules C1 to C7 of PROTOCOL.md; what it believes of the store's answers
stands in `claiming`, what it reads in `reading`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent
from merpati.ids import Dice
from merpati.log.api import Commit, Committed, Contended, Damaged, Decide, Decision, Fold, Outcome, Tip
from merpati.log.claiming import Claimer, Won
from merpati.log.commits import ID, Draft, decoded, drafted, encoded
from merpati.log.frame import PREAMBLE
from merpati.log.layout import Layout
from merpati.log.reading import GRACE, Moment, Opened, Overtaken, Reader
from merpati.log.turns import Turns
from merpati.objects.api import ObjectStore
from merpati.telemetry import Metrics

S = TypeVar("S")
C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What bounds a commit and the patience with which it is tried."""

    parts: int = 256
    """Decisions in one commit."""
    payload: int = 4 << 20
    """Bytes of attachments after which a commit takes no further decision."""
    largest: int = 64 << 20
    """Bytes of attachments that a single decision may bring."""
    patience: float = 30.0
    """Seconds for which a commit is tried while others are first or the store is away."""
    grace: float = GRACE


@dataclass(frozen=True, slots=True)
class Safeguards:
    """All on, always; the tests switch one off to see that it is missed."""

    own_id: bool = True
    """Rule C4: recognise one's own commit after a lost answer."""
    floor: bool = True
    """Rule F3: ask the floor before believing what rests on an old view."""


@dataclass(slots=True)
class _Waiting(Generic[S, C]):
    decide: Callable[[S], Decision[C, Any]]
    done: asyncio.Future[Outcome[Any]]


@dataclass(slots=True)
class _Batch(Generic[S, C]):
    """Decisions taken one upon the other, and the state they lead to."""

    commit: Commit[C]
    drafts: list[Draft[C]]
    tip: Tip[S]
    answers: list[tuple[_Waiting[S, C], Any]] = field(default_factory=list)
    refusals: list[tuple[_Waiting[S, C], Exception]] = field(default_factory=list)


class CommitLog(Generic[S, C]):
    """`merpati.log.api.Log`, over an object store."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        fold: Fold[S, C],
        *,
        clock: Clock,
        dice: Dice,
        writer: str = "",
        limits: LogLimits | None = None,
        metrics: Metrics | None = None,
        committed: Committed | None = None,
        learned: Callable[[], None] | None = None,
        safeguards: Safeguards | None = None,
    ) -> None:
        """`writer` says who writes, for those who read the log (`delivery@mx1`); `committed` hears of our commits.

        `learned` is called whenever `tip` has become another one.
        """
        self.layout = layout
        self._fold = fold
        self._clock = clock
        self._dice = dice
        self._writer = writer
        self._limits = limits or LogLimits()
        self._metrics = metrics
        self._committed = committed
        self._learned = learned
        guards, grace = safeguards or Safeguards(), self._limits.grace
        self.reader = Reader(store, layout, fold, clock, dice, grace=grace, check_floor=guards.floor, metrics=metrics)
        self._claimer = Claimer(self.reader, recognise_own=guards.own_id)
        self._turns = Turns()
        self.reader.met = self._turns.met
        self._opened: Opened[S] | None = None
        self._reading: asyncio.Task[Tip[S]] | None = None
        self._read_next: asyncio.Task[Tip[S]] | None = None
        self._waiting: deque[_Waiting[S, C]] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None

    @property
    def tip(self) -> Tip[S] | None:
        """The newest state this process knows, or None before the first read."""
        return self._opened.tip if self._opened else None

    @property
    def damage(self) -> Damaged | None:
        """Why the log cannot be read beyond `tip`, if that is so.  What stands before stays readable."""
        return self._opened.damage if self._opened else None

    @property
    def grace(self) -> float:
        """G, in seconds."""
        return self._limits.grace

    # ---- reading

    async def read(self) -> Tip[S]:
        """A strong read; those who ask while one is under way share the next."""
        if self._reading is None or self._reading.done():
            self._reading = _quietly(self._read_once())
            return await asyncio.shield(self._reading)
        if self._read_next is None or self._read_next.done():
            self._read_next = _quietly(self._read_after(self._reading))
        return await asyncio.shield(self._read_next)

    async def _read_after(self, before: asyncio.Task[Tip[S]]) -> Tip[S]:
        await asyncio.wait([before])
        self._reading, self._read_next = self._read_next, None
        return await self._read_once()

    async def _read_once(self) -> Tip[S]:
        opened = self._opened
        try:
            if opened is None or opened.damage is not None:  # R8: a newer snapshot may stand behind it, or mend it
                return self._learn(await self.reader.open())
            newer = await self.reader.catch_up(opened.tip, opened.known)
            if newer.damage is not None:
                newer = await self.reader.open()
        except Overtaken:
            newer = await self.reader.open()
        return self._learn(newer)

    async def _reload(self) -> None:
        self._learn(await self.reader.open())

    def _learn(self, read: Opened[S]) -> Tip[S]:
        """Take in what was read, unless a push or a commit of ours has led further meanwhile."""
        before = self._opened
        if before is None or read.tip.number > before.tip.number:
            self._opened = read
            self._tell()
            return read.tip
        if read.tip.number == before.tip.number:
            self._opened = Opened(before.tip, read.known, read.damage)
        return before.tip

    def feed(self, data: bytes) -> bool:
        """Take a commit object that another process has written, if it is the next one."""
        if self._opened is None:
            return False
        tip = self._opened.tip
        try:
            commit = decoded(self._fold, data, self.layout.commit(tip.number + 1))
            if commit.number <= tip.number:
                return False
            self._opened = Opened(self.reader.applied(tip, commit), self._opened.known)
        except MerpatiError:
            return False
        self._tell()
        return True

    async def changed(self, after: int) -> Tip[S]:
        """Wait until a commit with a greater number than `after` is known here."""
        while self._opened is None or self._opened.tip.number <= after:
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)
        return self._opened.tip

    @property
    def awaited(self) -> bool:
        """Whether someone waits in `changed`."""
        return self._news is not None

    def _tell(self) -> None:
        if self._learned is not None:
            self._learned()
        if self._news is not None:
            news, self._news = self._news, None
            if not news.done():
                news.set_result(None)

    # ---- committing

    async def commit(self, decide: Decide[S, C, R]) -> Outcome[R]:
        """Decide, and write the changes as the log's next commit, durable on return."""
        done: asyncio.Future[Outcome[R]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(decide, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.ensure_future(self._commit_waiting())
        return await done

    async def close(self) -> None:
        """Let what is being written come to its end."""
        while self._committing is not None and not self._committing.done():
            await asyncio.wait([self._committing])

    async def _commit_waiting(self) -> None:
        while self._waiting:
            await self._give_way()
            taken = [waiting for waiting in self._waiting if not waiting.done.done()]
            self._waiting.clear()
            began = self._clock.monotonic()
            try:
                left = await self._commit_batch(taken)
                self._measure(began, "ok")
                self._waiting.extendleft(reversed(left))
            except asyncio.CancelledError:
                for waiting in taken:
                    waiting.done.cancel()
                raise
            except Exception as error:
                # whatever it is, it is for those who wait; the next decisions have their own chance
                self._measure(began, type(error).__name__.lower())
                for waiting in taken:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)

    async def _give_way(self) -> None:
        """Let others have their turn, if that is due; ours begins after it."""
        wait = self._turns.before(self._clock.monotonic())
        if wait > 0:
            await self._clock.sleep(wait)
        self._turns.begin(self._clock.monotonic())
        if wait > 0:
            with contextlib.suppress(MerpatiError):  # what is wrong is met again, and told to those who wait
                await self.read()

    async def _commit_batch(self, taken: list[_Waiting[S, C]]) -> list[_Waiting[S, C]]:
        """Commit as many as fit; returns the rest.  Raises when the patience is at its end."""
        deadline = self._clock.monotonic() + self._limits.patience
        fresh, losses = False, 0
        while True:
            if self._opened is None:
                await self.read()
                fresh = True
            opened = self._opened
            assert opened is not None
            batch, left = self._decide(opened.tip, taken)
            if not batch.drafts:
                # C6: nothing to write; but a refusal or a no-op rests on what we know, so know the newest first
                if fresh:
                    _settle(batch)
                    return left
                await self.read()
                fresh = True
                continue
            if opened.damage is not None:
                if fresh:
                    raise opened.damage
                await self.read()
                fresh = True
                continue
            data = encoded(self._fold, batch.commit, batch.drafts, self._writer)
            end = await self._claimer.claim(batch.commit, data, opened.known, deadline)
            if isinstance(end, Won):
                self._turns.won(self._clock.monotonic(), batch.commit.at, batch.commit.id)
                await self._win(batch, end.known, data)
                return left
            losses += 1
            await self._lose(opened, end.commit, losses, deadline, batch.commit.id)

    def _decide(self, tip: Tip[S], taken: list[_Waiting[S, C]]) -> tuple[_Batch[S, C], list[_Waiting[S, C]]]:
        """Ask each in turn, on the state that those before it lead to (C5)."""
        at = max(self._clock.time(), tip.at)
        identity, number = self._dice.bytes(ID), tip.number + 1
        state, offset = tip.state, PREAMBLE
        commit: Commit[C] = Commit(number, identity, tip.id, at, ())
        batch = _Batch(commit, [], tip)
        for count, waiting in enumerate(taken):
            if len(batch.drafts) >= self._limits.parts or offset >= self._limits.payload:
                return self._finished(batch, state), taken[count:]
            try:
                decision = waiting.decide(state)
                if decision.changes or decision.always:
                    draft = drafted(decision.changes, decision.attachments, offset)
                    size = sum(a.length for a in draft.part.attachments)
                    if size > self._limits.largest:
                        raise Permanent("too much for one commit", enhanced="5.3.4", size=size)
                    state = self._fold.apply(state, Commit(number, identity, tip.id, at, (draft.part,)))
                    batch.drafts.append(draft)
                    offset += size
            except Exception as error:
                batch.refusals.append((waiting, error))
            else:
                batch.answers.append((waiting, decision.answer))
        return self._finished(batch, state), []

    @staticmethod
    def _finished(batch: _Batch[S, C], state: S) -> _Batch[S, C]:
        commit = batch.commit
        if batch.drafts:
            parts = tuple(draft.part for draft in batch.drafts)
            batch.commit = Commit(commit.number, commit.id, commit.after, commit.at, parts)
            batch.tip = Tip(state, commit.number, commit.id, commit.at)
        return batch

    async def _win(self, batch: _Batch[S, C], known: Moment | None, data: bytes) -> None:
        if known is None:
            with contextlib.suppress(MerpatiError):  # what we know is old, so the next read begins anew
                await self._reload()
        elif self._opened is None or self._opened.tip.number < batch.tip.number:
            self._opened = Opened(batch.tip, known)
        if self._committed is not None:
            self._committed(batch.tip.number, batch.tip.at, data)
        _settle(batch)
        self._tell()

    async def _lose(
        self, opened: Opened[S], winner: Commit[C] | None, losses: int, deadline: float, lot: bytes
    ) -> None:
        """Another was first: learn what it wrote, and let it pass if that happens again and again."""
        if self._metrics is not None:
            self._metrics.commit_races.labels(self._fold.name).inc()
        if self._clock.monotonic() >= deadline:
            raise Contended("others were first, too many times", key=self.layout.commits, losses=losses)
        if winner is None:
            await self._reload()
        elif self._opened is opened:
            try:
                self._learn(Opened(self.reader.applied(opened.tip, winner), opened.known))
            except Damaged:
                await self._reload()
        if losses > 1:
            await self._clock.sleep(self._turns.after_loss(losses, lot))
            self._turns.begin(self._clock.monotonic())
            await self.read()

    def _measure(self, began: float, outcome: str) -> None:
        if self._metrics is not None:
            seconds = self._clock.monotonic() - began
            self._metrics.commit_seconds.labels(self._fold.name, outcome).observe(seconds)


def _quietly(reading: Coroutine[Any, Any, Tip[S]]) -> asyncio.Task[Tip[S]]:
    """A task whose failure nobody may be left to hear, for all who waited were cancelled."""
    task = asyncio.ensure_future(reading)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _settle(batch: _Batch[Any, Any]) -> None:
    for waiting, answer in batch.answers:
        if not waiting.done.done():
            waiting.done.set_result(Outcome(answer, batch.tip.number))
    for waiting, error in batch.refusals:
        if not waiting.done.done():
            waiting.done.set_exception(error)
