"""Where mail for an address goes, worked out from states in memory.  Pure: what is not in memory raises `NotLoaded`.

Called by `log_directory`, for each RCPT and each message: no I/O, no lock, no copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, LocalTarget, Resolution
from merpati.directory.names import checked, parts_of, without_detail
from merpati.directory.state import DirectoryState
from merpati.errors import Permanent
from merpati.ids import AccountId

POSTMASTER = "postmaster"
MAX_TARGETS = 10_000
"""Names looked at for one address; an alias that fans out further is cut there."""
FOREIGN = Resolution(local_domain=False)


@dataclass(frozen=True, slots=True)
class Others:
    """The addresses that a name stands for."""

    targets: tuple[str, ...]
    detail: str = ""
    caught: bool = False
    """By the catch-all, there being nobody of that name."""


class NotLoaded(Exception):
    """The log of this domain, or of all if it is empty, has not been read, or too long ago."""

    def __init__(self, domain: str) -> None:
        super().__init__(domain)
        self.domain = domain


class View(Protocol):
    """What is in memory: every domain, and the accounts and aliases of those that were read."""

    postmaster: str
    """Who takes mail to the postmaster of a domain that has none, or empty."""

    @property
    def ours(self) -> Mapping[str, DomainEntry]:
        """The domains that are ours.  Raises `NotLoaded`."""
        ...

    def of(self, domain: str) -> DirectoryState:
        """The accounts and aliases of a domain of ours.  Raises `NotLoaded`."""
        ...


def resolve(view: View, address: str) -> Resolution:
    """Where mail for `address` goes.  Raises `NotLoaded`."""
    parts = _parts(view, address)
    if parts is None or parts[1] not in view.ours:
        return FOREIGN
    found = _lookup(view, *parts)
    if isinstance(found, LocalTarget):  # the common case, without the machinery of the rest
        return Resolution(True, (found,))
    return _expand(view, address)


def _expand(view: View, address: str) -> Resolution:
    accounts: dict[AccountId, LocalTarget] = {}
    remote: dict[str, str] = {}
    seen: set[str] = set()
    unsure = False
    waiting = deque([(address, "")])
    while waiting and len(seen) < MAX_TARGETS:
        name, detail = waiting.popleft()
        parts = _parts(view, name)
        if parts is None:
            continue
        local, domain = parts
        if domain not in view.ours:
            remote.setdefault(f"{local}@{domain}", checked(name))
            continue
        key = f"{local}@{domain}"
        if key in seen:  # R6: a cycle of aliases ends here, and a target that is named twice counts once
            continue
        seen.add(key)
        found = _lookup(view, local, domain)
        if isinstance(found, LocalTarget):
            accounts.setdefault(found.account, found if found.detail else msgspec.structs.replace(found, detail=detail))
        elif found is not None:
            waiting.extend((target, found.detail or detail) for target in found.targets)
        unsure |= found is None or (isinstance(found, Others) and found.caught)
    return Resolution(True, tuple(accounts.values()), tuple(remote.values()), unsure)


def _lookup(view: View, local: str, domain: str) -> LocalTarget | Others | None:
    """An account, the addresses that it stands for, or None: there is nobody."""
    state = view.of(domain)
    entry = state.accounts.get(f"{local}@{domain}")
    if entry is not None:
        return LocalTarget(entry.id, entry.address, quota=entry.quota)
    alias = state.aliases.get(f"{local}@{domain}")
    if alias is not None:
        return Others(alias.targets)
    user, detail = without_detail(local)
    if detail or user != local:
        entry = state.accounts.get(f"{user}@{domain}")
        if entry is not None:
            return LocalTarget(entry.id, entry.address, detail, entry.quota)
        alias = state.aliases.get(f"{user}@{domain}")
        if alias is not None:
            return Others(alias.targets, detail)
    if user == POSTMASTER:
        return _postmaster(view, domain)
    catch_all = view.ours[domain].catch_all
    return Others((catch_all,), caught=True) if catch_all else None


def _postmaster(view: View, domain: str) -> LocalTarget | Others | None:
    # RFC 5321 section 4.5.1: a system that takes mail for a domain takes it for the domain's postmaster
    if view.postmaster:
        return Others((view.postmaster,))
    catch_all = view.ours[domain].catch_all
    for entry in view.of(domain).accounts.values():
        return LocalTarget(entry.id, entry.address, quota=entry.quota)
    if catch_all:
        return Others((catch_all,))
    for other in sorted(view.ours):
        for entry in view.of(other).accounts.values():
            return LocalTarget(entry.id, entry.address, quota=entry.quota)
    return None


def find_account(view: View, address: str) -> AccountEntry | None:
    """The account of this very address, case and plus detail aside.  Raises `NotLoaded`."""
    entry = _own_entry(view, address)
    return entry if isinstance(entry, AccountEntry) else None


def may_send_as(view: View, account: AccountId, address: str) -> bool:
    """Whether `address` is the account's own, with or without detail, or an alias that leads to it alone."""
    entry = _own_entry(view, address)
    if isinstance(entry, AccountEntry):
        return entry.id == account
    if entry is None:
        return False
    resolution = _expand(view, entry.address)
    return not resolution.remote and [target.account for target in resolution.accounts] == [account]


def _own_entry(view: View, address: str) -> AccountEntry | AliasEntry | None:
    parts = _parts(view, address)
    if parts is None or parts[1] not in view.ours:
        return None
    local, domain = parts
    state = view.of(domain)
    for name in (local, without_detail(local)[0]):
        key = f"{name}@{domain}"
        entry = state.accounts.get(key) or state.aliases.get(key)
        if entry is not None:
            return entry
    return None


def _parts(view: View, address: str) -> tuple[str, str] | None:
    try:
        local, domain = parts_of(address)
    except Permanent:
        return None
    if not domain:
        # RFC 5321 section 4.1.1.3: RCPT TO:<postmaster> without a domain
        if local != POSTMASTER or not view.ours:
            return None
        domain = min(view.ours)
    return (local, domain) if local else None
