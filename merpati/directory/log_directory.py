"""The directory over commit logs: look-ups from memory, changes as commits.  Built by `components` for every role.

Look-ups never wait for the store while what is remembered is fresh: a log is read again in the background when it is
older than `FRESH`, and waited for only when it is older than `HARD`, when it was never read, or, at most once in
`FRESH` seconds, before an answer is no.  If the store is down the last state serves for `STALE` seconds more, then
`Unavailable`; a no is never given from it.  With a bus, `mailbox.changes` tells of commits at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from merpati.bus.api import Bus, Consumed, Lagged
from merpati.clock import Clock
from merpati.directory.api import AccountEntry, DomainEntry, Resolution
from merpati.directory.editing import INSTALLATION, Editing, log_of
from merpati.directory.names import parts_of
from merpati.directory.remembered import Opener, Remembered
from merpati.directory.resolving import NotLoaded, find_account, may_send_as, resolve
from merpati.directory.state import DirectoryState
from merpati.errors import Permanent, Unavailable
from merpati.events import TOPICS, Changed, Unreadable, decode
from merpati.ids import Dice
from merpati.log.keeping import Keeper
from merpati.service import Tasks
from merpati.telemetry import Metrics

T = TypeVar("T")

FRESH = 2.0
"""Seconds after which a log is read again, in the background."""
FOLLOWED = 15.0
"""The same while `mailbox.changes` is followed, which tells of changes sooner."""
HARD = 30.0
"""Seconds after which an answer waits for that reading.  HOSTILE A4: a disabled account is out within 60."""
STALE = 900.0
"""Seconds that the last state serves while the store does not answer."""
TIDYING = 5.0
"""Seconds that a process that ends gives the snapshots it began."""
MAX_DOMAINS = 10_000
"""Domains whose accounts are kept in memory; those longest unused go."""
_EVERYTHING = ""
"""Stands for the installation's own log where a domain is named."""


class LogDirectory(Editing):
    """`Directory` and `DirectoryEditor` in one, and a `Service` that follows changes."""

    name = "directory"

    def __init__(
        self,
        opener: Opener,
        clock: Clock,
        dice: Dice,
        metrics: Metrics,
        bus: Bus | None = None,
        *,
        postmaster: str = "",
        keeper: Keeper | None = None,
    ) -> None:
        """`keeper` is what looks after the logs that `opener` opens."""
        super().__init__(opener, clock, dice, bus)
        self.postmaster = postmaster
        self._clock = clock
        self._following = False
        self._keeper = keeper
        self._tasks = Tasks("directory", clock, metrics)

    # ---- as a service

    async def start(self) -> None:
        """Follow changes, if there is a bus.  A store that is down is no reason not to start."""
        if self._bus is not None:
            self._tasks.loop("follow", self._follow)

    async def stop(self, grace: float) -> None:
        """End following and reading; let a snapshot that is being written be finished, for a command wrote much."""
        await self._tasks.cancel()
        if self._keeper is not None:
            await asyncio.wait([asyncio.ensure_future(self._keeper.idle())], timeout=TIDYING)
            await self._keeper.close()
        for remembered in self._shelf.values():
            await remembered.close()

    def ready(self) -> str:
        """Not while nothing is known and the store does not answer."""
        installation = self._shelf.get(INSTALLATION)
        return "directory unavailable" if installation and installation.state is None and installation.failing else ""

    # ---- looking up

    async def resolve(self, address: str) -> Resolution:
        """Where mail for `address` goes.  Raises `Unavailable`."""
        return await self._sure(lambda: resolve(self, address), lambda found: found.known and not found.unsure, address)

    async def account(self, address: str) -> AccountEntry | None:
        """The account of exactly this address (case and plus detail aside).  Raises `Unavailable`."""
        return await self._sure(lambda: find_account(self, address), lambda found: found is not None, address)

    async def may_send_as(self, account: AccountEntry, address: str) -> bool:
        """Whether the account owns `address`.  Raises `Unavailable`."""
        return await self._sure(lambda: may_send_as(self, account.id, address), bool, address)

    async def domains(self) -> list[DomainEntry]:
        """Every domain, by name.  Raises `Unavailable`."""
        known = await self._answer(lambda: self._known(_EVERYTHING).domains)
        return [known[name] for name in sorted(known)]

    # ---- what `resolving` sees: a `View`

    @property
    def ours(self) -> Mapping[str, DomainEntry]:
        """The domains that are ours.  Raises `NotLoaded`."""
        return self._known(_EVERYTHING).domains

    def of(self, domain: str) -> DirectoryState:
        """The accounts and aliases of a domain of ours.  Raises `NotLoaded`."""
        return self._known(domain)

    # ---- remembering

    async def _answer(self, ask: Callable[[], T]) -> T:
        while True:
            try:
                return ask()
            except NotLoaded as missing:
                await self._bring(missing.domain)

    def _known(self, domain: str) -> DirectoryState:
        remembered = self._shelf.get(log_of(domain) if domain else INSTALLATION)
        if remembered is None or remembered.state is None:
            raise NotLoaded(domain)
        remembered.used = self._clock.monotonic()
        age = remembered.age
        if age > (FOLLOWED if self._following else FRESH):
            if age > (STALE if remembered.failing else HARD):
                raise NotLoaded(domain)
            remembered.refresh_soon()
        return remembered.state

    async def _bring(self, domain: str) -> None:
        """Read what is missing or too old; pass over a failure that an old state can bridge."""
        if len(self._shelf) > MAX_DOMAINS:
            self._forget_unused()
        remembered = self._open(log_of(domain) if domain else INSTALLATION)
        try:
            await remembered.refresh()
        except Unavailable:
            if remembered.state is None or remembered.age > STALE:
                raise

    async def _sure(self, ask: Callable[[], T], yes: Callable[[T], bool], address: str) -> T:
        """A yes from what is known, a no from what was just read.  Raises `Unavailable`: then it is no no."""
        found = await self._answer(ask)
        if yes(found):
            return found
        remembered = await self._deciding(address)
        if remembered is None:
            return found
        if remembered.age > FRESH:
            await remembered.refresh()
            found = await self._answer(ask)
            remembered = await self._deciding(address)
        if not yes(found) and remembered is not None and remembered.log.damage is not None:
            raise Unavailable("directory unavailable", log=remembered.id, failure=str(remembered.log.damage))
        return found

    async def _deciding(self, address: str) -> Remembered | None:
        """The log on which a no about an address rests; none if it is no address."""
        try:
            domain = parts_of(address)[1]
        except Permanent:
            return None
        ours = await self._answer(lambda: domain in self.ours)
        return self._open(log_of(domain) if ours else INSTALLATION)

    def _forget_unused(self) -> None:
        by_use = sorted(self._shelf.values(), key=lambda remembered: remembered.used)
        for remembered in by_use[: len(by_use) // 10]:
            if remembered.id != INSTALLATION:
                del self._shelf[remembered.id]

    # ---- following

    async def _follow(self) -> None:
        assert self._bus is not None
        async with self._bus.tail([TOPICS[Changed].name]) as tail:
            self._following = True
            try:
                while True:
                    try:
                        for record in await tail.take(500, 5.0):
                            self._notice(record)
                    except Lagged:
                        for remembered in self._shelf.values():
                            remembered.expire()
            finally:
                self._following = False

    def _notice(self, record: Consumed) -> None:
        # the key tells without decoding: most changes are of mailboxes
        remembered = self._shelf.get(record.key.decode("latin-1"))  # type: ignore[call-overload]
        if remembered is None:
            return
        try:
            event = decode(record)
        except Unreadable:
            return
        if isinstance(event, Changed) and event.log == "directory":
            remembered.feed(record.value)


__all__ = ["LogDirectory", "Remembered", "log_of"]
