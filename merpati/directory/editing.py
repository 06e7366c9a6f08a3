"""Changing the directory: each change one commit, decided on the newest state.  The base of `LogDirectory`.

The command line and the admin API come here; look-ups stand in `log_directory`.
"""

from __future__ import annotations

from functools import lru_cache

from merpati.bus.api import Bus
from merpati.clock import Clock
from merpati.directory import removing
from merpati.directory import state as deciding
from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, RemovedEntry
from merpati.directory.names import checked, domain_of
from merpati.directory.remembered import Opener, Remembered
from merpati.directory.state import Decider, DirectoryChange, DirectoryState
from merpati.errors import MerpatiError, Permanent
from merpati.events import Changed, encode
from merpati.ids import AccountId, Dice, derived_account_id, derived_event_id, new_account_id
from merpati.log.api import Decision, Outcome
from merpati.message.addresses import normalise_domain
from merpati.telemetry import logger

INSTALLATION = derived_account_id("directory")
"""The log that lists the domains."""


@lru_cache(maxsize=16_384)
def log_of(domain: str) -> AccountId:
    """The log of a domain's accounts and aliases."""
    return derived_account_id("directory", domain)


class Editing:
    """`DirectoryEditor` and `Removals` over commit logs, each opened once."""

    def __init__(self, opener: Opener, clock: Clock, dice: Dice, bus: Bus | None) -> None:
        self._opener = opener
        self._now = clock
        self._dice = dice
        self._bus = bus
        self._shelf: dict[AccountId, Remembered] = {}
        self._logger = logger("directory")

    async def add_domain(self, name: str, catch_all: str = "") -> DomainEntry:
        """Take in mail for a domain.  Raises `Permanent`."""
        entry = DomainEntry(normalise_domain(name), checked(catch_all) if catch_all else "")
        await self._commit(INSTALLATION, deciding.add_domain(entry))
        return entry

    async def remove_domain(self, name: str) -> None:
        """Take in no more mail for a domain.  Raises `Permanent` while it has accounts or aliases."""
        domain = normalise_domain(name)
        state = await self._newest(log_of(domain))
        for entries, what in ((state.accounts, "accounts"), (state.aliases, "aliases")):
            if entries:
                raise Permanent(f"{domain} still has {len(entries)} {what}: remove them first")
        await self._commit(INSTALLATION, deciding.remove_domain(domain))

    async def add_account(self, address: str, password_hash: str, quota: int = 0) -> AccountEntry:
        """A new account with an id of its own.  Raises `Permanent`."""
        address = checked(address)
        domain = await self._ours(address)
        entry = AccountEntry(new_account_id(self._dice), address, password_hash, quota=quota)
        await self._commit(log_of(domain), deciding.add_account(entry))
        return entry

    async def change_account(
        self, address: str, *, password_hash: str | None = None, enabled: bool | None = None, quota: int | None = None
    ) -> AccountEntry:
        """Change what is given.  Raises `Permanent`."""
        domain = await self._ours(address)
        decide = deciding.change_account(address, password_hash=password_hash, enabled=enabled, quota=quota)
        return deciding.account_of(await self._commit(log_of(domain), decide), address)

    async def remove_account(self, address: str, *, purge: bool = False) -> None:
        """Take its name out of the directory; its mailbox is purged after the retention window, or at once.

        With `purge` also one that was removed before.  Raises `Permanent`.
        """
        decide = removing.remove_account(address, self._now.time(), purge=purge)
        await self._commit(log_of(await self._ours_once(address)), decide)

    async def restore_account(self, address: str) -> AccountEntry:
        """Undo a removal, the mailbox and the password with it.  Raises `Permanent` once its purge has begun."""
        state = await self._commit(log_of(await self._ours(address)), removing.restore_account(address))
        return deciding.account_of(state, address)

    async def add_alias(self, address: str, targets: tuple[str, ...]) -> AliasEntry:
        """A name that stands for others.  Raises `Permanent`."""
        address = checked(address)
        domain = await self._ours(address)
        entry = AliasEntry(address, tuple(dict.fromkeys(checked(target) for target in targets)))
        await self._commit(log_of(domain), deciding.add_alias(entry))
        return entry

    async def remove_alias(self, address: str) -> None:
        """Raises `Permanent` if it is not there."""
        await self._commit(log_of(await self._ours(address)), deciding.remove_alias(address))

    async def accounts(self, domain: str = "") -> list[AccountEntry]:
        """Those of a domain, or all; by address."""
        found = [entry for state in await self._states(domain) for entry in state.accounts.values()]
        return sorted(found, key=lambda entry: (domain_of(entry.address), entry.address))

    async def aliases(self, domain: str = "") -> list[AliasEntry]:
        """Those of a domain, or all; by address."""
        found = [entry for state in await self._states(domain) for entry in state.aliases.values()]
        return sorted(found, key=lambda entry: (domain_of(entry.address), entry.address))

    @property
    def lacking(self) -> str:
        """What is not in the lists that were asked for, because of damage, in words; nothing if they are whole."""
        for remembered in self._shelf.values():
            if remembered.log.damage is not None:
                return f"the directory cannot be read to its end: {remembered.log.damage}"
        return ""

    # ---- removed accounts: `Removals`

    async def removed(self, domain: str = "") -> list[RemovedEntry]:
        """Those of a domain, or all; those longest removed first."""
        installation = await self._newest(INSTALLATION)
        names = [normalise_domain(domain)] if domain else sorted({*installation.domains, *installation.former})
        found = [entry for name in names for entry in (await self._newest(log_of(name))).removed.values()]
        return sorted(found, key=lambda entry: entry.at)

    async def note_removal(self, entry: RemovedEntry) -> RemovedEntry | None:
        """Write down how far the purge has come, and what is known of it now; None if the removal was undone."""
        state = await self._commit(log_of(domain_of(entry.address)), removing.note_removal(entry))
        return removing.same_removal(state, entry)

    async def forget_removal(self, entry: RemovedEntry) -> None:
        """Nothing is left of it."""
        await self._commit(log_of(domain_of(entry.address)), removing.forget_removal(entry))

    # ---- the logs

    def _open(self, log_id: AccountId) -> Remembered:
        remembered = self._shelf.get(log_id)
        if remembered is None:
            remembered = self._shelf[log_id] = Remembered(log_id, self._opener(log_id), self._now)
        remembered.used = self._now.monotonic()
        return remembered

    async def _newest(self, log_id: AccountId) -> DirectoryState:
        remembered = self._open(log_id)
        tip = await remembered.log.read()
        remembered.take(tip.state)
        return tip.state

    async def _ours(self, address: str) -> str:
        domain = domain_of(address)
        if domain not in (await self._newest(INSTALLATION)).domains:
            raise Permanent(f"{domain} is no domain of ours: add it first")
        return domain

    async def _ours_once(self, address: str) -> str:
        """A domain that is ours, or was."""
        domain = domain_of(address)
        return domain if domain in (await self._newest(INSTALLATION)).former else await self._ours(address)

    async def _states(self, domain: str) -> list[DirectoryState]:
        domains = (await self._newest(INSTALLATION)).domains
        if domain:
            name = normalise_domain(domain)
            if name not in domains:
                raise Permanent(f"no domain {name}")
            return [await self._newest(log_of(name))]
        return [await self._newest(log_of(name)) for name in sorted(domains)]

    async def _commit(self, log_id: AccountId, decide: Decider) -> DirectoryState:
        remembered = self._open(log_id)

        def decision(state: DirectoryState) -> Decision[DirectoryChange, DirectoryState]:
            changes = decide(state)
            for change in changes:
                state = deciding.apply(state, change)
            return Decision(state, changes)

        outcome = await remembered.log.commit(decision)
        if remembered.log.tip is not None:
            remembered.take(remembered.log.tip.state)
        await self._tell(log_id, outcome)
        return outcome.answer

    async def _tell(self, log_id: AccountId, outcome: Outcome[DirectoryState]) -> None:
        """Tell the other processes; those that do not hear it look for themselves soon."""
        if self._bus is None:
            return
        event_id = derived_event_id(log_id, str(outcome.number))
        try:
            await self._bus.publish([encode(Changed(event_id, log_id, self._now.time(), outcome.number, "directory"))])
        except MerpatiError as failure:
            self._logger.warning("change not announced", log=log_id, failure=str(failure))
