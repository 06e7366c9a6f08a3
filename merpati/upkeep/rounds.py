"""The upkeep of a whole installation, once a day: each log is looked at, and what has gathered in it is cleared away.

A service of the delivery role.  Writers tidy a busy log by themselves; here the others get their turn: an account that
lies idle with hundreds of commits, a past that the window has left behind, what a crash left over.  Every process makes
the same rounds, but of each share of the accounts only one, by a claim.  Nothing here is needed for mail to be right,
all of it may be killed anywhere, and what a dead process had claimed is done in the next round.
"""

from __future__ import annotations

import dataclasses
import sys
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from merpati.clock import Clock
from merpati.directory.api import AccountEntry, DomainEntry
from merpati.directory.editing import INSTALLATION, log_of
from merpati.directory.fold import DirectoryFold
from merpati.errors import MerpatiError, Unavailable
from merpati.ids import AccountId, Dice
from merpati.log.commit_log import CommitLog
from merpati.log.compaction import Compacted, Compaction
from merpati.log.layout import log_of as layout_of
from merpati.log.reading import Reader
from merpati.log.reclaim import Reclaim
from merpati.log.tidying import Addresses, no_attachments
from merpati.log.vacuum import RETENTION, Vacuum, Vacuumed
from merpati.mailbox.bodies import addresses
from merpati.objects.api import Full, ObjectStore
from merpati.service import Tasks
from merpati.telemetry import Metrics, logger
from merpati.upkeep.claiming import Claims
from merpati.upkeep.surveying import When, Worth, survey

SHARES = 64
"""Shares of the accounts; a process that dies takes one with it until the next round."""
SOON = 3600.0
"""Seconds within which a process that has started looks whether a share is left; at most a 24th of the time between."""
LOAD = 0.2
"""The part of the time that is spent on work: it rests for the rest of it."""
SHORTEST, LONGEST = 0.01, 10.0
"""Seconds between two logs."""
AWAY = 60.0
"""Seconds before the next log when the store does not answer."""
NEVER = sys.maxsize


class Tenants(Protocol):
    """The part of the directory that is needed: whose logs there are."""

    async def domains(self) -> list[DomainEntry]: ...
    async def accounts(self, domain: str = "") -> list[AccountEntry]: ...
    async def account(self, address: str) -> AccountEntry | None: ...


Open = Callable[[AccountId], CommitLog[Any, Any]]
"""Opens a log; reads nothing yet."""


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done for the installation as a whole, by one process of all in `every` seconds."""

    name: str
    """Letters and digits."""
    every: float
    run: Callable[[], Awaitable[object]]
    """Whatever it counts goes to the log."""


@dataclass(frozen=True, slots=True)
class Place:
    """A log: of a mailbox, whose `address` is known, or of the directory."""

    id: AccountId
    address: str = ""

    @property
    def kind(self) -> str:
        return "mailbox" if self.address else "directory"


class Rounds:
    """The service.  `every` is in seconds; 0 is off."""

    name = "upkeep"

    def __init__(
        self,
        store: ObjectStore,
        tenants: Tenants,
        mailbox: Open,
        directory: Open,
        clock: Clock,
        dice: Dice,
        metrics: Metrics,
        *,
        every: float,
        writer: str,
        chores: Sequence[Chore] = (),
        retention: float = RETENTION,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._mailbox = mailbox
        self._directory = directory
        self._clock = clock
        self._dice = dice
        self._metrics = metrics
        self._every = every
        self._chores = chores
        self._retention = retention
        self._claims = Claims(store, dice, writer)
        self._tasks = Tasks(self.name, clock, metrics)
        self._log = logger(self.name)

    async def start(self) -> None:
        """Begin; the first round is not at once, so that processes that start together do not work together."""
        if self._every <= 0:
            return
        self._tasks.loop("rounds", self._rounds)
        for chore in self._chores:
            self._tasks.loop(chore.name, partial(self._again_and_again, chore))

    async def stop(self, grace: float) -> None:
        """Stop at once: whatever is under way may stop anywhere."""
        await self._tasks.cancel()

    def ready(self) -> str:
        """Always: mail does not wait for it."""
        return ""

    async def _rounds(self) -> None:
        await self._clock.sleep(self._dice.uniform(0.0, min(SOON, self._every / 24)))
        while True:
            await self.round()
            await self._until_next(self._every)

    async def _again_and_again(self, chore: Chore) -> None:
        await self._clock.sleep(self._dice.uniform(0.0, min(SOON, chore.every / 24)))
        while True:
            start = self._begun(chore.every)
            if chore.name not in await self._claims.taken(start, forget_before=start - int(self._longest)):
                await self._do(chore, start)
            await self._until_next(chore.every)

    async def _do(self, chore: Chore, start: int) -> None:
        if not await self._claims.take(start, chore.name):
            return
        began, outcome = self._clock.monotonic(), "failed"
        try:
            counts = _counts(await chore.run())
            outcome = "done"
            if counts:
                self._log.info("done", chore=chore.name, **counts, took=round(self._clock.monotonic() - began, 3))
        except MerpatiError as failure:
            self._log.warning("not done", chore=chore.name, failure=str(failure))
        finally:
            self._metrics.upkeep_chores.labels(chore.name, outcome).inc()

    @property
    def _longest(self) -> float:
        return max(self._every, *(chore.every for chore in self._chores), 0.0)

    def _begun(self, every: float) -> int:
        """When the round that is under way began: the same on every node whose clock is about right."""
        return int(self._clock.time() // every * every)

    async def _until_next(self, every: float) -> None:
        """Sleep into the next round, somewhere in its first quarter."""
        following = self._begun(every) + every + self._dice.uniform(0.0, every / 4)
        await self._clock.sleep(max(1.0, following - self._clock.time()))

    # ---- one round

    async def round(self) -> None:
        """Look after every log of the shares that nobody else has."""
        start = self._begun(self._every)
        taken = await self._claims.taken(start, forget_before=start - int(self._longest))
        free = [share for share in range(SHARES) if _named(share) not in taken]
        if not free:
            return
        places = await self._places()
        for share in sorted(free, key=lambda _: self._dice.uniform(0.0, 1.0)):
            if places[share] and await self._claims.take(start, _named(share)):
                for place in places[share]:
                    await self._look_after(place)
        self._metrics.upkeep_finished.set(self._clock.time())

    async def _places(self) -> list[list[Place]]:
        """Every log, by share.  Raises `Unavailable`."""
        shares: list[list[Place]] = [[] for _ in range(SHARES)]
        directories = [INSTALLATION, *(log_of(domain.name) for domain in await self._tenants.domains())]
        places = [Place(log_id) for log_id in directories]
        places += [Place(entry.id, entry.address) for entry in await self._tenants.accounts()]
        for place in places:
            shares[zlib.crc32(place.id.encode()) % SHARES].append(place)
        return shares

    async def _look_after(self, place: Place) -> None:
        began = self._clock.monotonic()
        away = False
        try:
            outcome = await self._tidied(place)
        except MerpatiError as failure:
            outcome, away = "failed", isinstance(failure, Unavailable)
            self._log.warning("log not tidied", log=place.id, failure=str(failure))
        except Exception:
            outcome = "failed"
            self._log.exception("log not tidied", log=place.id)
        self._metrics.upkeep_logs.labels(place.kind, outcome).inc()
        took = self._clock.monotonic() - began
        rest = min(LONGEST, max(SHORTEST, took / LOAD - took))
        await self._clock.sleep(AWAY if away else rest)

    async def _tidied(self, place: Place) -> str:
        # a survey does not look into states, so any fold will do; the account's own log would push another from memory
        reader = Reader(self._store, layout_of(place.id), DirectoryFold(), self._clock, self._dice)
        worth = await survey(reader, When(self._clock.time(), self._every, self._retention))
        if worth.nothing:
            return "nothing"
        if not place.address:
            return await self._tidy(self._directory(place.id), no_attachments, worth)
        if not await self._is_there(place):
            return "removed"
        return await self._tidy(self._mailbox(place.id), addresses, worth)

    async def _is_there(self, place: Place) -> bool:
        """Whether the account is still there: one that was removed meanwhile is purged, and nothing is to be added."""
        entry = await self._tenants.account(place.address)
        return entry is not None and entry.id == place.id

    async def _tidy(self, log: CommitLog[Any, Any], needed: Addresses[Any], worth: Worth) -> str:
        began, grace = self._clock.monotonic(), log.grace
        compacted, reclaimed, vacuumed = Compacted(), 0, Vacuumed()
        vacuum = Vacuum(log.reader, grace=grace, retention=self._retention)
        try:
            if worth.compact or worth.truncate:
                compacted = await Compaction(log, grace=grace).run(1 if worth.compact else NEVER)
            if worth.reclaim:
                reclaimed = await Reclaim(log, needed, grace=grace, retention=self._retention).run()
        except Full:  # what is not needed any more makes room
            await vacuum.run()
            raise
        if worth.vacuum:
            vacuumed = await vacuum.run()
        removed = compacted.deleted + vacuumed.snapshots + vacuumed.objects
        if not (compacted.commits or reclaimed or removed):
            return "nothing"
        self._metrics.upkeep_moved.inc(compacted.commits)
        self._metrics.upkeep_removed.inc(removed)
        self._log.info(
            "log tidied",
            log=log.layout.prefix,
            moved=compacted.commits,
            reclaimed=reclaimed,
            removed=removed,
            bytes=vacuumed.bytes,
            took=round(self._clock.monotonic() - began, 3),
        )
        return "tidied"


def _counts(done: object) -> dict[str, int]:
    """What a chore counts, for the log: no names, and no zeros."""
    values = dataclasses.asdict(done) if dataclasses.is_dataclass(done) and not isinstance(done, type) else {}
    return {name: value for name, value in values.items() if isinstance(value, int) and value}


def _named(share: int) -> str:
    return f"{share:03}"
