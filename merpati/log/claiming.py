"""Claiming a number: what a writer believes of the store's answers.  Rules C3, C4, C7 and F3 of PROTOCOL.md.

An answer may be lost, late, or wrong in one known way (a 409 looks like "taken").  So the writer never believes an
answer other than success: it reads the key, and the id in what it finds says whose commit that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from merpati.errors import Temporary, Unavailable, Unknown
from merpati.log.api import Commit
from merpati.log.reading import Moment, Overtaken, Reader
from merpati.objects.api import Exists

C = TypeVar("C")

FIRST_WAIT = 0.02
LONGEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Won:
    """The commit is durable and nobody else's.

    The one after it did not exist at `known`; None if the log has gone on so far that it must be read anew.
    """

    known: Moment | None


@dataclass(frozen=True, slots=True)
class Lost(Generic[C]):
    """The number is another's: `commit`, or None if the log must be read anew."""

    commit: Commit[C] | None


class Claimer(Generic[C]):
    """Writes commits of one log."""

    def __init__(self, reader: Reader[Any, C], *, recognise_own: bool = True) -> None:
        self._reader = reader
        self._store = reader.store
        self._clock = reader.clock
        self._recognise_own = recognise_own

    async def claim(self, commit: Commit[C], data: bytes, known: Moment, deadline: float) -> Won | Lost[C]:
        """Write `data` as commit `commit.number`, which did not exist at `known`.

        Raises `Unavailable` if the store refused until the deadline, `Unknown` if it may have taken the commit and
        could not be asked.
        """
        key = self._reader.layout.commit(commit.number)
        perhaps, sent = False, Moment.now(self._clock)
        for tries in range(1_000_000):
            try:
                await self._store.create(key, data)
                return await self._won(commit, known, sent)
            except (Exists, Unknown):
                if not self._recognise_own:
                    return Lost(None)
                perhaps = True
            except Unavailable as error:
                await self._wait(tries, deadline, error, perhaps=perhaps)
                continue
            # C4: no answer is not a no, and "taken" may be by ourselves: the key says whose it is
            found = await self._look(commit.number, deadline, perhaps=perhaps)
            if found is None:  # absent: a 409, or a write that never arrived.  Sent again, it is still this commit
                await self._wait(tries, deadline, Unavailable("no clear answer", key=key), perhaps=perhaps)
            elif found.id == commit.id:
                return await self._won(commit, known, sent)
            else:
                return await self._lost(commit, found, known, sent)
        raise AssertionError("unreachable: the deadline ends the loop")

    async def _won(self, commit: Commit[C], known: Moment, sent: Moment) -> Won | Lost[C]:
        """F3: a success counts if the number could not have been deleted since we looked; F4: else find out."""
        try:
            believed = await self._reader.believed(commit.number - 1, known)
        except Overtaken:
            return await self._remembered(commit)
        except Unavailable as error:
            raise Unknown("the mail store did not say whether the commit counts") from error
        return Won(sent if believed is known else believed)

    async def _lost(self, commit: Commit[C], found: Commit[C], known: Moment, sent: Moment) -> Won | Lost[C]:
        """F3: the commit we met is one of the log's, if ours was not already below the floor.

        F4: unless it was `sent` so long ago that it may have been there first, and have been truncated.
        """
        try:
            await self._reader.believed(commit.number - 1, known)
        except Overtaken:
            return Lost(None) if self._reader.timely(sent)() else await self._remembered(commit)
        except Unavailable as error:
            if self._reader.timely(sent)():
                raise
            raise Unknown("the mail store did not say whether the commit counts") from error
        return Lost(found)

    async def _remembered(self, commit: Commit[C]) -> Won | Lost[C]:
        """F4: whose commit the number was, say the pasts."""
        try:
            identity = await self._reader.identity(commit.number)
        except Temporary:  # cannot be asked, damaged, of a newer version: nobody can tell us
            identity = None
        if identity is None:
            raise Unknown("too late to tell whether the mail store took the commit")
        return Won(None) if identity == commit.id else Lost(None)

    async def _look(self, number: int, deadline: float, *, perhaps: bool) -> Commit[C] | None:
        for tries in range(1_000_000):
            try:
                return await self._reader.commit(number)
            except Unavailable as error:
                await self._wait(tries, deadline, error, perhaps=perhaps)
        raise AssertionError("unreachable: the deadline ends the loop")

    async def _wait(self, tries: int, deadline: float, error: Temporary, *, perhaps: bool) -> None:
        """Wait a little, or give up: with `Unknown` if the store may have taken the commit."""
        if error.facts.get("lasting") or self._clock.monotonic() >= deadline:
            if perhaps:
                raise Unknown(
                    "the mail store did not say whether it took the commit", key=error.facts.get("key")
                ) from error
            raise error
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 10))
        await self._clock.sleep(self._reader.dice.uniform(0.0, longest))
