"""The directory as values: what the logs say, how changes fold into it, and what a change must not do.  Pure.

There is one log that lists the domains, and one log for each domain with its accounts and aliases.  `log_directory`
reads and writes them; `resolving` answers from the states made here.  A decider looks at a state and gives the changes
of one commit, or raises `Permanent` in words an operator understands; it is asked again when another writer was first.

Names are kept under their key: the local part in NFC and lower case, so that case never makes a second account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, RemovedEntry
from merpati.directory.names import key_of
from merpati.directory.table import Table
from merpati.errors import Permanent
from merpati.ids import AccountId


class DomainSet(msgspec.Struct, frozen=True, omit_defaults=True, tag="domain", tag_field="kind"):
    """A domain was added, or its entry changed."""

    entry: DomainEntry


class DomainRemoved(msgspec.Struct, frozen=True, tag="no-domain", tag_field="kind"):
    """A domain is ours no more."""

    name: str


class AccountSet(msgspec.Struct, frozen=True, tag="account", tag_field="kind"):
    """An account was added, or its entry changed."""

    entry: AccountEntry


class AccountRemoved(msgspec.Struct, frozen=True, tag="no-account", tag_field="kind"):
    """An account is gone."""

    address: str


class AliasSet(msgspec.Struct, frozen=True, tag="alias", tag_field="kind"):
    """An alias was added, or its targets changed."""

    entry: AliasEntry


class AliasRemoved(msgspec.Struct, frozen=True, tag="no-alias", tag_field="kind"):
    """An alias is gone."""

    address: str


class RemovalSet(msgspec.Struct, frozen=True, tag="removed", tag_field="kind"):
    """A removed account is remembered, or its purge has come further."""

    entry: RemovedEntry


class RemovalForgotten(msgspec.Struct, frozen=True, tag="no-removed", tag_field="kind"):
    """A removed account came back, or nothing of it is left."""

    id: AccountId


DirectoryChange = (
    DomainSet | DomainRemoved | AccountSet | AccountRemoved | AliasSet | AliasRemoved | RemovalSet | RemovalForgotten
)


@dataclass(frozen=True, slots=True)
class DirectoryState:
    """What one log says: the list of domains, or the accounts and aliases of one domain.  Never changed once made."""

    domains: Table[DomainEntry] = field(default_factory=Table)
    accounts: Table[AccountEntry] = field(default_factory=Table)
    """By key (`names.key_of`), in the order they were added."""
    aliases: Table[AliasEntry] = field(default_factory=Table)
    removed: Table[RemovedEntry] = field(default_factory=Table)
    """By id: an address may have been removed more than once."""
    former: frozenset[str] = frozenset()
    """Domains that are ours no more: accounts removed from them may still have to be purged."""


Decider = Callable[[DirectoryState], list[DirectoryChange]]


def apply(state: DirectoryState, change: DirectoryChange) -> DirectoryState:
    """`state` after `change`."""
    match change:
        case DomainSet():
            name = change.entry.name
            return replace(state, domains=state.domains.set(name, change.entry), former=state.former - {name})
        case DomainRemoved():
            return replace(state, domains=state.domains.remove(change.name), former=state.former | {change.name})
        case AccountSet():
            return replace(state, accounts=state.accounts.set(key_of(change.entry.address), change.entry))
        case AccountRemoved():
            return replace(state, accounts=state.accounts.remove(key_of(change.address)))
        case AliasSet():
            return replace(state, aliases=state.aliases.set(key_of(change.entry.address), change.entry))
        case AliasRemoved():
            return replace(state, aliases=state.aliases.remove(key_of(change.address)))
        case RemovalSet():
            return replace(state, removed=state.removed.set(change.entry.id, change.entry))
        case RemovalForgotten():
            return replace(state, removed=state.removed.remove(change.id))


def add_domain(entry: DomainEntry) -> Decider:
    """The domain is new."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        if entry.name in state.domains:
            raise Permanent(f"{entry.name} is there already")
        return [DomainSet(entry)]

    return decide


def remove_domain(name: str) -> Decider:
    """The domain is there."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        if name not in state.domains:
            raise Permanent(f"no domain {name}")
        return [DomainRemoved(name)]

    return decide


def add_account(entry: AccountEntry) -> Decider:
    """The address is free."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        must_be_free(state, entry.address)
        return [AccountSet(entry)]

    return decide


def change_account(
    address: str, *, password_hash: str | None = None, enabled: bool | None = None, quota: int | None = None
) -> Decider:
    """The account is there.  Its version rises if whoever remembers a login has to forget it."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        old = account_of(state, address)
        new = AccountEntry(
            id=old.id,
            address=old.address,
            password_hash=old.password_hash if password_hash is None else password_hash,
            enabled=old.enabled if enabled is None else enabled,
            version=old.version,
            quota=old.quota if quota is None else quota,
        )
        if (new.password_hash, new.enabled) != (old.password_hash, old.enabled):
            new = msgspec.structs.replace(new, version=old.version + 1)
        return [AccountSet(new)] if new != old else []

    return decide


def add_alias(entry: AliasEntry) -> Decider:
    """The address is free, and the alias leads somewhere."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        if not entry.targets:
            raise Permanent(f"the alias {entry.address} needs a target")
        must_be_free(state, entry.address)
        return [AliasSet(entry)]

    return decide


def remove_alias(address: str) -> Decider:
    """The alias is there."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        if key_of(address) not in state.aliases:
            raise Permanent(f"no alias {address}")
        return [AliasRemoved(address)]

    return decide


def must_be_free(state: DirectoryState, address: str) -> None:
    """Raises `Permanent` if an account or an alias has this name."""
    key = key_of(address)
    if key in state.accounts:
        raise Permanent(f"there is an account {address} already")
    if key in state.aliases:
        raise Permanent(f"there is an alias {address} already")


def account_of(state: DirectoryState, address: str) -> AccountEntry:
    """The account of this name.  Raises `Permanent`."""
    entry = state.accounts.get(key_of(address))
    if entry is None:
        raise Permanent(f"no account {address}")
    return entry
