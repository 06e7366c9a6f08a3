"""The tree of folders: making, removing, renaming, subscribing, annotating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from merpati.log.api import Decision
from merpati.mailbox.changes import Annotated, Change, Made, Removed, Renamed, Subscribed
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import INBOX, above, checked_name, is_below, normalised
from merpati.mailbox.state import MailState, apply_to_tree
from merpati.mailbox.values import BadName, FolderExists, FolderId, Forbidden, MailboxLimits, TooMany
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.copying import moving


def making(
    state: MailState, name: str, now: float, limits: MailboxLimits, special_use: str = ""
) -> tuple[MailState, list[Change]]:
    """The changes that make a folder and those above it, and the state they lead to."""
    name = checked_name(name, limits)
    missing = [folder for folder in above(name) if folder not in state.names]
    changes: list[Change] = []
    for each, use in [*((folder, "") for folder in missing), (name, special_use)]:
        if len(state.folders) >= limits.max_folders:
            raise TooMany("this account has too many folders")
        made = Made(each, state.new_uidvalidity(now), use)
        state = apply_to_tree(state, made, state.number)
        changes.append(made)
    return state, changes


def create(name: str, special_use: str, now: float, limits: MailboxLimits) -> Decider[FolderId]:
    """RFC 9051 section 6.3.4: a folder, and those above it that are missing."""

    def decide(state: MailState) -> Decision[Change, FolderId]:
        checked = checked_name(name, limits)
        if checked in state.names:
            raise FolderExists("there is a folder of that name already")
        if special_use and any(folder.special_use == special_use for folder in state.folders.values()):
            # RFC 6154 section 3: a server may refuse a second one
            raise Forbidden("another folder has that special use")
        after, changes = making(state, checked, now, limits, special_use)
        return Decision(after.find(checked).id, changes)

    return with_birth(decide, now)


def delete(name: str, now: float) -> Decider[FolderId]:
    """RFC 9051 section 6.3.5: the folder and its messages go; folders below it stay, and so does the subscription."""

    def decide(state: MailState) -> Decision[Change, FolderId]:
        folder = state.find(name)
        if folder.name == INBOX:
            raise Forbidden("INBOX cannot be deleted")
        return Decision(folder.id, [Removed(folder.id)])

    return with_birth(decide, now)


def rename(old: str, new: str, now: float, limits: MailboxLimits) -> Decider[None]:
    """RFC 9051 section 6.3.6: a folder and those below it; of INBOX the messages.

    A name that only has folders below it (RFC 3501 section 6.3.5: one that was deleted) is renamed with them.
    """

    def decide(state: MailState) -> Decision[Change, None]:
        before, name = normalised(old), checked_name(new, limits)
        below = [each for each in state.folders.values() if is_below(each.name, before)]
        moved = below if below and before not in state.names else [state.find(old), *below]
        if name in state.names:
            raise FolderExists("there is a folder of that name already")
        if before == INBOX:
            return _rename_inbox(state, moved[0], name, now, limits)
        if is_below(name, before):
            raise BadName("a folder cannot go below itself")
        return Decision(None, _renaming(state, moved, before, name, now, limits))

    return with_birth(decide, now)


def _renaming(
    state: MailState, moved: Sequence[Folder], before: str, name: str, now: float, limits: MailboxLimits
) -> list[Change]:
    changes: list[Change] = []
    missing = [each for each in above(name) if each not in state.names]
    if missing:
        state, changes = making(state, missing[-1], now, limits)
    for each in moved:
        target = checked_name(name + each.name[len(before) :], limits)
        if target in state.names:
            raise FolderExists("there is a folder of that name already", folder=target)
        uidvalidity = 0
        if state.retired_uidvalidity(target) >= each.uidvalidity:
            # RFC 9051 section 2.3.1.1: under one name, a later UIDVALIDITY must be greater
            uidvalidity = state.new_uidvalidity(now)
        change = Renamed(each.id, target, uidvalidity)
        state = apply_to_tree(state, change, state.number)
        changes.append(change)
        if each.name in state.subscriptions:
            changes.append(Subscribed(target, True))
    return changes


def _rename_inbox(
    state: MailState, inbox: Folder, name: str, now: float, limits: MailboxLimits
) -> Decision[Change, None]:
    """RFC 9051 section 6.3.6: its messages move to a new folder; INBOX stays the same one (RFC 8474 section 4)."""
    after, changes = making(state, name, now, limits)
    moves, _ = moving(after, inbox, list(range(inbox.columns.length)), after.find(name))
    return Decision(None, [*changes, *moves])


def subscribe(name: str, on: bool, now: float, limits: MailboxLimits) -> Decider[None]:
    """RFC 9051 sections 6.3.7 and 6.3.8; the folder need not exist."""

    def decide(state: MailState) -> Decision[Change, None]:
        wanted = checked_name(name, limits) if on else normalised(name)
        if (wanted in state.subscriptions) == on:
            return Decision(None)
        if on and len(state.subscriptions) >= 2 * limits.max_folders:
            raise TooMany("this account has too many subscriptions")
        return Decision(None, [Subscribed(wanted, on)])

    return with_birth(decide, now)


def annotate(folder: str, entries: Mapping[str, bytes | None], now: float, limits: MailboxLimits) -> Decider[None]:
    """RFC 5464 section 4.3: set annotations, or remove them with None."""

    def decide(state: MailState) -> Decision[Change, None]:
        key = state.find(folder).id if folder else 0
        before = state.metadata.get(key, {})
        changed = tuple((name, value) for name, value in entries.items() if before.get(name) != value)
        if not changed:
            return Decision(None)
        after = apply_to_tree(state, Annotated(key, changed), state.number)
        total = sum(len(name) + len(value) for each in after.metadata.values() for name, value in each.items())
        if total > limits.max_metadata:
            raise TooMany("this account has too many annotations")
        return Decision(None, [Annotated(key, changed)])

    return with_birth(decide, now)
