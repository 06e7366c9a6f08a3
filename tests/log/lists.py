"""The simplest log there is: its state is a tuple of words, a change adds one.  For testing the log alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from merpati.clock import Clock, ManualClock
from merpati.ids import AccountId, Dice, Digest, SeededDice
from merpati.log.api import Chunks, Commit, Decision
from merpati.log.commit_log import CommitLog, LogLimits, Safeguards
from merpati.log.layout import log_of
from merpati.objects.api import ObjectStore

T = TypeVar("T")

Words = tuple[str, ...]
LAYOUT = log_of(AccountId("a" * 26))


class WordsFold:
    """`Fold` of words; a chunk of the snapshot holds ten of them."""

    name = "words"

    def empty(self) -> Words:
        return ()

    def apply(self, state: Words, commit: Commit[str]) -> Words:
        words = [change for part in commit.parts for change in part.changes]
        if "impossible" in words:
            raise ValueError("impossible")
        return (*state, *words)

    def encode(self, changes: Sequence[str]) -> bytes:
        return msgspec.msgpack.encode(list(changes))

    def decode(self, data: bytes) -> Sequence[str]:
        try:
            return msgspec.msgpack.decode(data, type=list[str])
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error

    async def dump(self, state: Words, chunks: Chunks) -> bytes:
        names = [await chunks.put(self.encode(state[start : start + 10])) for start in range(0, len(state), 10)]
        return msgspec.msgpack.encode(names)

    async def load(self, head: bytes, chunks: Chunks) -> Words:
        words: list[str] = []
        for name in msgspec.msgpack.decode(head, type=list[str]):
            words += self.decode(await chunks.get(Digest(name)))
        return tuple(words)


def words_log(
    store: ObjectStore,
    clock: Clock | None = None,
    dice: Dice | None = None,
    *,
    safeguards: Safeguards | None = None,
    **limits: float,
) -> CommitLog[Words, str]:
    return CommitLog(
        store,
        LAYOUT,
        WordsFold(),
        clock=clock or ManualClock(),
        dice=dice or SeededDice(1),
        writer="test",
        limits=LogLimits(**limits),  # type: ignore[arg-type]
        safeguards=safeguards,
    )


def adding(word: str, *bodies: bytes) -> Callable[[Words], Decision[str, int]]:
    """Adds the word whatever is there, and answers how many there were."""
    return lambda state: Decision(len(state), [word], bodies)


def adding_once(word: str) -> Callable[[Words], Decision[str, bool]]:
    """Adds the word unless it is there; answers whether it did."""
    return lambda state: Decision(False) if word in state else Decision(True, [word])


async def in_virtual_time(clock: ManualClock, work: Awaitable[T]) -> T:
    """Let time pass, as far as anyone waits for it, until the work is done."""
    task = asyncio.ensure_future(work)
    while not task.done():
        due = clock.next_due
        await clock.advance(max(0.0, due - clock.time()) if due is not None else 0.0)
    return task.result()
