"""Purging removed accounts until no key of them is left: rules D1 to D8 of PROTOCOL.md; D9 is in `leftovers`.

Called by the schedule, by `merpati account remove --purge` and by `merpati mailbox vacuum --all`.  Each call takes
every account as far as it may go at this moment.  May crash anywhere, run twice, and run in several processes at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from merpati.clock import Clock
from merpati.directory.api import Removals, RemovedEntry
from merpati.errors import MerpatiError
from merpati.events import TOPICS, Dead, Local
from merpati.ids import AccountId
from merpati.log.reading import GRACE
from merpati.log.vacuum import RETENTION
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.telemetry import logger
from merpati.upkeep.ending import Ending, Swept

REMEMBERED = TOPICS[Local].keeps + TOPICS[Dead].keeps + GRACE
"""L: seconds for which it stays to be found that a log has ended: as long as an event may name the account (D7)."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What one round did."""

    ended: int = 0
    """Logs that were ended, so that nobody writes to them any more."""
    objects: int = 0
    bytes: int = 0
    """Removed from the store."""
    forgotten: int = 0
    """Accounts of which nothing is left: no key, and no memory in the directory."""
    waiting: int = 0
    """Accounts that a later round has to look at again: the time of their next step has not come."""
    failures: tuple[tuple[str, str], ...] = ()
    """(address, why) of those that could not be taken further; the next round tries again."""

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            self.ended + other.ended,
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.forgotten + other.forgotten,
            self.waiting + other.waiting,
            self.failures + other.failures,
        )


async def purge_removed(
    directory: Removals,
    mailboxes: AllMailboxes,
    clock: Clock,
    *,
    retention: float = RETENTION,
    remembered: float = REMEMBERED,
    only: Collection[AccountId] | None = None,
) -> Purged:
    """One round: every removed account (or `only` these) as far as it may go now.  Hourly is often enough.

    An account is left alone for `retention` seconds after its removal, unless it is to be purged at once.  An account
    that fails is told of in the answer and does not hold up the others.  Raises what the directory raises when it
    cannot be read.
    """
    purge = Purge(directory, mailboxes, clock, retention, remembered)
    say, done = logger("upkeep"), Purged()
    for entry in await directory.removed():
        if only is not None and entry.id not in only:
            continue
        try:
            done += await purge.step(entry)
        except MerpatiError as failure:
            say.warning("not purged", account=entry.id, failure=str(failure))
            done += Purged(waiting=1, failures=((entry.address, str(failure)),))
    return done


class Purge:
    """Takes removed accounts one step further each."""

    def __init__(
        self, directory: Removals, mailboxes: AllMailboxes, clock: Clock, retention: float, remembered: float
    ) -> None:
        self._directory = directory
        self._mailboxes = mailboxes
        self._clock = clock
        self._retention = retention
        self._remembered = remembered
        self._say = logger("upkeep")

    async def step(self, entry: RemovedEntry) -> Purged:
        """As far as it may go now."""
        now = self._clock.time()
        if not (entry.purging or entry.at_once or now >= entry.at + self._retention):
            return Purged(waiting=1)
        # D1: from here on the removal cannot be undone, and it was not undone before
        known = await self._directory.note_removal(msgspec.structs.replace(entry, purging=entry.purging or now))
        if known is None:
            return Purged()
        ending = Ending(self._mailboxes.account(known.id), self._clock)
        try:
            return await self._ended(known, ending, now)
        except MerpatiError:
            if await self._directory.note_removal(known) is None:
                await ending.wipe(known.closed)  # D8: a write that failed may have been done
            raise

    async def _ended(self, known: RemovedEntry, ending: Ending, now: float) -> Purged:
        if known.closed:
            return await self._further(known, ending, now)
        number = await ending.close()
        closed = await self._directory.note_removal(msgspec.structs.replace(known, closed=number, closed_at=now))
        if closed is None:
            return _removed(await ending.wipe(number))  # D8
        self._say.info("ended", account=known.id, commit=number)
        return Purged(ended=1) + await self._further(closed, ending, now)

    async def _further(self, known: RemovedEntry, ending: Ending, now: float) -> Purged:
        if known.emptied_at:
            return await self._last(known, ending, now)
        if now - known.closed_at <= self._remembered:
            done = _removed(await ending.sweep(known.closed))
            if await self._directory.note_removal(known) is not None:
                return done + Purged(waiting=1)
            # D8: others did all of it while this process stood still; what it has just written is the last of it
            return done + _removed(await ending.wipe(known.closed))
        swept = await ending.wipe()
        await self._directory.note_removal(msgspec.structs.replace(known, emptied_at=now))
        return _removed(swept) + Purged(waiting=1)

    async def _last(self, known: RemovedEntry, ending: Ending, now: float) -> Purged:
        """D8: the memory goes once nothing came for the grace period."""
        if not await ending.empty():
            swept = await ending.wipe()
            await self._directory.note_removal(msgspec.structs.replace(known, emptied_at=now))
            return _removed(swept) + Purged(waiting=1)
        if now - known.emptied_at <= ending.grace:
            return Purged(waiting=1)
        await self._directory.forget_removal(known)
        self._say.info("nothing left", account=known.id)
        return Purged(forgotten=1)


def _removed(swept: Swept) -> Purged:
    return Purged(objects=swept.objects, bytes=swept.bytes)
