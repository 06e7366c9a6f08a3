"""Whether those who have logged in may still be here, held against the directory for as long as their sessions last.

A password that changed, an account that was closed or removed: every session that began before ends, of IMAP and of
POP3 alike.  The directory answers from memory and hears of changes from the bus, so a look costs no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from access.login import Principal
from merpati.clock import Clock
from merpati.directory.api import AccountEntry
from merpati.errors import MerpatiError, Temporary
from merpati.telemetry import Metrics, logger

EVERY = 5.0
"""Seconds between two looks.

With what the directory may be behind while nobody tells it of changes (FOLLOWED, a look, READING) and with `LAST`, a
session ends within a minute of the change.
"""
LAST = 15.0
"""Seconds that a command may still take that was at work when its user lost the right to it."""
SLICE = 200
"""Users looked up before others have a turn."""


class Accounts(Protocol):
    """The part of the directory that a session needs."""

    async def account(self, address: str) -> AccountEntry | None:
        """Raises `Unavailable`."""
        ...


class Abortable(Protocol):
    """The part of a connection that is needed to end it."""

    def abort(self) -> None: ...


class Guest(Protocol):
    """A session that has logged in."""

    @property
    def principal(self) -> Principal | None: ...
    @property
    def connection(self) -> Abortable: ...

    def dismiss(self) -> None:
        """Say goodbye as soon as no command is at work.  Idempotent."""
        ...


async def entry_of(accounts: Accounts, principal: Principal) -> AccountEntry | None:
    """What the directory says of a user now; None if the login counts no more.  Raises `Unavailable`."""
    entry = await accounts.account(principal.address)
    if entry is None or not entry.enabled:
        return None
    return entry if (entry.id, entry.version) == (principal.account_id, principal.version) else None


class Standing:
    """Looks at who is `present`, by protocol, and ends the sessions of those who may not be here any more."""

    def __init__(
        self, accounts: Accounts, present: Mapping[str, AbstractSet[Guest]], clock: Clock, metrics: Metrics
    ) -> None:
        self._accounts = accounts
        self._present = present
        self._clock = clock
        self._metrics = metrics
        self._leaving: dict[Guest, float] = {}
        self._log = logger("access/standing")

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await self._clock.sleep(EVERY)
            await self.look()

    async def look(self) -> None:
        """Look once.  While the directory cannot tell, everybody of that domain stays."""
        self._put_out()
        silent: set[str] = set()
        for count, (principal, guests) in enumerate(self._users().items(), 1):
            domain = principal.address.rpartition("@")[2]
            if domain in silent:
                continue
            try:
                if await entry_of(self._accounts, principal) is None:
                    self._dismiss(principal, guests)
            except Temporary as failure:
                silent.add(domain)
                self._log.warning("who may be here cannot be told", domain=domain, failure=str(failure))
            except MerpatiError:  # the address is none any more
                self._dismiss(principal, guests)
            if count % SLICE == 0:
                await self._clock.sleep(0)

    def _users(self) -> dict[Principal, list[tuple[str, Guest]]]:
        users: dict[Principal, list[tuple[str, Guest]]] = {}
        for protocol, guests in self._present.items():
            for guest in guests:
                if guest.principal is not None:
                    users.setdefault(guest.principal, []).append((protocol, guest))
        return users

    def _dismiss(self, principal: Principal, guests: list[tuple[str, Guest]]) -> None:
        for protocol, guest in guests:
            if guest in self._leaving or guest not in self._present[protocol]:
                continue
            self._leaving[guest] = self._clock.monotonic()
            guest.dismiss()
            self._metrics.dismissed.labels(protocol).inc()
            self._log.info("session ended: the account changed", account=principal.account_id, protocol=protocol)

    def _put_out(self) -> None:
        """Whoever was dismissed and is still here has a command that does not end."""
        here = set().union(*self._present.values())
        self._leaving = {guest: since for guest, since in self._leaving.items() if guest in here}
        for guest, since in self._leaving.items():
            if self._clock.monotonic() - since >= LAST:
                guest.connection.abort()
