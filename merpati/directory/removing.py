"""Removing accounts, undoing that, and remembering how far their purge has come: deciders like those in `state`.  Pure.

A removed account is remembered under its id until nothing of it is left: the address may be given to somebody new at
once, and be removed again.  PROTOCOL.md section D says what is done with the mailbox meanwhile.
"""

from __future__ import annotations

import msgspec

from merpati.directory.api import RemovedEntry
from merpati.directory.names import key_of
from merpati.directory.state import (
    AccountRemoved,
    AccountSet,
    Decider,
    DirectoryChange,
    DirectoryState,
    RemovalForgotten,
    RemovalSet,
    must_be_free,
)
from merpati.errors import Permanent


def remove_account(address: str, at: float = 0.0, *, purge: bool = False) -> Decider:
    """The account is there; or it was, and is to be purged without waiting."""

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        account = state.accounts.get(key_of(address))
        before = removals_of(state, address) if purge else []
        if account is None and not before:
            raise Permanent(f"no account {address}")
        changes: list[DirectoryChange] = []
        if account is not None:
            removal = RemovedEntry(account.id, account.address, at, account, at_once=purge)
            changes += [AccountRemoved(account.address), RemovalSet(removal)]
        hurried = [msgspec.structs.replace(entry, at_once=True) for entry in before if not entry.at_once]
        return [*changes, *map(RemovalSet, hurried)]

    return decide


def restore_account(address: str) -> Decider:
    """It was removed, its purge has not begun, and nobody else has its name now.

    Its version rises: whoever remembers that a login was refused, or was good long ago, asks again.
    """

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        must_be_free(state, address)
        removals = removals_of(state, address)
        for removal in reversed(removals):
            if removal.account is not None and not removal.purging:
                back = msgspec.structs.replace(removal.account, version=removal.account.version + 1)
                return [AccountSet(back), RemovalForgotten(removal.id)]
        if removals:
            raise Permanent(f"the mailbox of {address} is being purged: it cannot be brought back")
        raise Permanent(f"no account {address} was removed of late")

    return decide


def note_removal(entry: RemovedEntry) -> Decider:
    """What is known of the purge now, if the removal is remembered and was not undone.

    Several may purge at once: each step is taken from whoever took it first.
    """

    def decide(state: DirectoryState) -> list[DirectoryChange]:
        old = same_removal(state, entry)
        if old is None:
            return []
        purging = old.purging or entry.purging
        new = msgspec.structs.replace(
            old,
            account=None if purging else old.account,
            purging=purging,
            closed=old.closed or entry.closed,
            closed_at=old.closed_at or entry.closed_at,
            emptied_at=max(old.emptied_at, entry.emptied_at),
        )
        return [RemovalSet(new)] if new != old else []

    return decide


def forget_removal(entry: RemovedEntry) -> Decider:
    """Nothing is left of it."""
    return lambda state: [RemovalForgotten(entry.id)] if same_removal(state, entry) else []


def same_removal(state: DirectoryState, entry: RemovedEntry) -> RemovedEntry | None:
    """What is known of this removal; None if it was undone, even if the account was removed again since."""
    found = state.removed.get(entry.id)
    return found if found is not None and found.at == entry.at else None


def removals_of(state: DirectoryState, address: str) -> list[RemovedEntry]:
    """The removals of accounts of this name, the latest last."""
    key = key_of(address)
    found = [entry for entry in state.removed.values() if key_of(entry.address) == key]
    return sorted(found, key=lambda entry: entry.at)
