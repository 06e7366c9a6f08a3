"""What the services ask of the directory.  Implemented over the commit log by `log_directory`, and by nothing else.

An address is looked up in this order (the first that is there wins): the account or alias of that very name; with the
plus detail left off (RFC 5233 subaddressing); the domain's catch-all.  Local parts compare without regard to case.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from merpati.ids import AccountId


class DomainEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A domain that mail is taken in for."""

    name: str
    catch_all: str = ""
    """The address that takes mail for names that are not there, or empty."""


class AccountEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Someone with a mailbox."""

    id: AccountId
    address: str
    password_hash: str = ""
    """argon2id in PHC form, or empty: then no password works."""
    enabled: bool = True
    version: int = 1
    """Rises when the password or `enabled` changes: whoever remembers a login forgets it then."""
    quota: int = 0
    """Bytes; 0 is none."""


class RemovedEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account that was removed, for as long as something of it may be left (PROTOCOL.md, section D)."""

    id: AccountId
    address: str
    at: float
    """When it was removed."""
    account: AccountEntry | None = None
    """What it was: brought back if the removal is undone; None from the moment its mailbox is being purged."""
    at_once: bool = False
    """Its mailbox is to be purged without waiting."""
    purging: float = 0.0
    """When the purge began; it cannot be undone from then on.  0: it has not."""
    closed: int = 0
    """The number of the commit that ended its log; 0 until then."""
    closed_at: float = 0.0
    emptied_at: float = 0.0
    """When nothing was left under its prefix; 0 until then."""


class AliasEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name that stands for others, here or elsewhere."""

    address: str
    targets: tuple[str, ...]


class LocalTarget(msgspec.Struct, frozen=True):
    """An account that an address leads to; `detail` is what stood behind the plus, or empty; `quota` in bytes."""

    account: AccountId
    address: str
    detail: str = ""
    quota: int = 0


class Resolution(msgspec.Struct, frozen=True):
    """Where mail for an address goes, aliases followed (each target once, cycles cut): accounts, addresses elsewhere.

    `local_domain` is False when the domain is not ours: then the rest is empty and the address is to be relayed to, if
    the client may.  Ours and nothing to deliver to: no such user.
    """

    local_domain: bool
    accounts: tuple[LocalTarget, ...] = ()
    remote: tuple[str, ...] = ()
    unsure: bool = False
    """It rests on there being nobody of a name: the catch-all takes it, or a target of an alias is not there."""

    @property
    def known(self) -> bool:
        """Whether a domain of ours takes mail for the address."""
        return bool(self.accounts or self.remote)


class Directory(Protocol):
    """Look-ups; each raises `Unavailable` if the log cannot be read and nothing fresh enough is remembered."""

    async def resolve(self, address: str) -> Resolution:
        """Where mail for `address` goes.  `postmaster` without a domain is the postmaster of the first domain."""
        ...

    async def account(self, address: str) -> AccountEntry | None:
        """The account of exactly this address (case and plus detail aside), for logging in."""
        ...

    async def may_send_as(self, account: AccountEntry, address: str) -> bool:
        """Whether the account owns `address`: its own, plus details included, or an alias that leads to it alone."""
        ...

    async def domains(self) -> list[DomainEntry]:
        """Every domain, by name."""
        ...


class DirectoryEditor(Protocol):
    """Changes, each one commit.  Raises `Permanent` in plain words: there already, not there, not a valid address."""

    async def add_domain(self, name: str, catch_all: str = "") -> DomainEntry: ...
    async def remove_domain(self, name: str) -> None: ...
    async def add_account(self, address: str, password_hash: str, quota: int = 0) -> AccountEntry: ...
    async def change_account(
        self, address: str, *, password_hash: str | None = None, enabled: bool | None = None, quota: int | None = None
    ) -> AccountEntry: ...
    async def remove_account(self, address: str, *, purge: bool = False) -> None: ...
    async def restore_account(self, address: str) -> AccountEntry: ...
    async def add_alias(self, address: str, targets: tuple[str, ...]) -> AliasEntry: ...
    async def remove_alias(self, address: str) -> None: ...
    async def accounts(self, domain: str = "") -> list[AccountEntry]: ...
    async def aliases(self, domain: str = "") -> list[AliasEntry]: ...


class Removals(Protocol):
    """The memory of removed accounts: what the upkeep works off."""

    async def removed(self, domain: str = "") -> list[RemovedEntry]:
        """Those of a domain, or all; those longest removed first.  Domains that are ours no more are not forgotten."""
        ...

    async def note_removal(self, entry: RemovedEntry) -> RemovedEntry | None:
        """Write down how far the purge has come, and what is known of it now; None if the removal was undone.

        Several may purge at once; no step is taken back.
        """
        ...

    async def forget_removal(self, entry: RemovedEntry) -> None:
        """Nothing is left of it.  Costs nothing if it is forgotten already."""
        ...
