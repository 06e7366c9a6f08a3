"""Snapshots now and then, so that nobody has to fold more than the tail of a log.

Called by whoever commits: `due` says whether it is this commit's turn, `Keeper` does the work in the background.  It
never delays a commit, and what fails is tried again when the next one is due.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from merpati.errors import MerpatiError
from merpati.log.api import Tip
from merpati.log.layout import Layout
from merpati.log.reach import foundation
from merpati.log.reading import Moment, Reader
from merpati.log.snapshots import Snapshot, write_snapshot
from merpati.objects.api import Exists
from merpati.telemetry import Metrics, logger

S = TypeVar("S")

EVERY = 200
"""Commits from one snapshot to the next."""
COMPACTION = 1000
"""Commits from one compaction to the next."""
WAITING = 100
"""Works that may wait in a process; more are let go, for their time comes again."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a log is looked after, in commits; the tests have a quicker one."""

    snapshot: int = EVERY
    compaction: int = COMPACTION


def due(layout: Layout, number: int, every: int = EVERY) -> bool:
    """Whether commit `number` is one after which something is done: one of `every`, at another number for each log.

    Nobody has to remember anything: each number is one writer's.
    """
    return (number + zlib.crc32(layout.prefix.encode())) % every == 0


async def keep_snapshot(reader: Reader[S, Any], tip: Tip[S]) -> Snapshot | None:
    """Write a snapshot of `tip`; None if one as new is there.  Raises `Damaged`, `Unavailable`, `TooLate`."""
    began = Moment.now(reader.clock)
    before = await foundation(reader)
    if before is not None and before.number >= tip.number:
        return None
    try:
        return await write_snapshot(
            reader.store, reader.layout, reader.fold, tip, reader.dice, before, timely=reader.timely(began)
        )
    except Exists:  # S4
        return None


class Keeper:
    """Does such work one after the other, in the background."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._waiting: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._say = logger("log")

    def later(self, layout: Layout, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Do this once what came before it is done; the last of several for one log counts."""
        if len(self._waiting) < WAITING:
            self._waiting[layout.prefix] = work
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Stop: what was not finished is done by another."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def idle(self) -> None:
        """Wait until nothing is left to do."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            prefix = next(iter(self._waiting))
            work = self._waiting.pop(prefix)
            outcome = "done"
            try:
                await work()
            except MerpatiError as error:
                outcome = "failed"
                self._say.warning("a log was not tidied", log=prefix, reason=str(error))
            if self._metrics is not None:
                self._metrics.snapshots.labels(outcome).inc()
