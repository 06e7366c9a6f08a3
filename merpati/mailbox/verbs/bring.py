"""Bringing a folder in from an archive with its UIDs: filled aside, then put into its place by one commit.

Whoever has the folder open never sees a UID below those it was told of; and who has read half of an archive has the
half in a folder of its own, where the next attempt goes on.  A mark among the annotations says what was brought: each
folder of an archive comes into an account once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from merpati.log.api import Decision
from merpati.mailbox.changes import Added, Annotated, Change, Keyworded, Placed, Removed, Row, Subscribed
from merpati.mailbox.flags import bits_of, new_keywords
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import checked_name
from merpati.mailbox.state import MailState
from merpati.mailbox.values import MailboxLimits, NoSuchFolder
from merpati.mailbox.verbs.append import Prepared
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.copying import moving
from merpati.mailbox.verbs.folders import making

MARK = "/private/vendor/merpati/brought/"
"""An annotation of this name and an `Origin`'s key stands in the folder that it was brought into."""
MOVED = 1000
"""Messages that one commit moves into a folder that is in use."""
MAX_AHEAD = 366 * 86_400
"""Seconds by which a UIDVALIDITY may be ahead of the clock; else there would soon be no greater one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A folder as the archive has it."""

    archive: str
    """What tells archives apart, in hexadecimal digits."""
    number: int
    """The folder's in the archive."""
    name: str
    uidvalidity: int
    uidnext: int
    special_use: str = ""
    subscribed: bool = False
    keywords: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.archive[:32]}-{self.number}"

    @property
    def aside(self) -> str:
        """The folder that is filled first."""
        return f"Import {self.archive[:8]}-{self.number}"


@dataclass(frozen=True, slots=True)
class Bringing:
    """Where a folder of an archive stands: `done`, or being filled."""

    folder: int = 0
    uidnext: int = 1
    """Messages with lesser UIDs have been brought."""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Brought:
    """A message with the UID that it is to keep."""

    uid: int
    message: Prepared


@dataclass(frozen=True, slots=True)
class Place:
    """What became of a folder.  `kept`: it has the UIDs it had, and `uidvalidity` says under which UIDVALIDITY."""

    kept: bool
    uidvalidity: int
    left: int = 0
    """Messages that are still aside: ask again."""
    moved: int = 0
    """Messages that have new UIDs, for they went into a folder that was there."""
    merged: bool = False
    """Its messages went into a folder that was there."""


def begin(origin: Origin, now: float, limits: MailboxLimits) -> Decider[Bringing]:
    """Make the folder that is filled, or find it.  Raises `BadName`, `TooMany`."""

    def decide(state: MailState) -> Decision[Change, Bringing]:
        checked_name(origin.name, limits)
        marked = _marked(state, origin)
        if marked is not None:
            return Decision(Bringing(marked.id, marked.uidnext, done=marked.name != origin.aside))
        after, changes = making(state, origin.aside, now, limits)
        folder = after.find(origin.aside)
        changes.append(_mark(folder, origin))
        if keywords := new_keywords(origin.keywords, (), strict=False):
            changes.append(Keyworded(folder.id, keywords))
        return Decision(Bringing(folder.id), changes)

    return with_birth(decide, now)


def fill(origin: Origin, messages: Sequence[Brought], now: float) -> Decider[tuple[int, int]]:
    """Put messages, ascending by UID, into the folder aside; answers how many came, and how many were there.

    There are those that an earlier attempt brought.
    """

    def decide(state: MailState) -> Decision[Change, tuple[int, int]]:
        aside = _marked(state, origin)
        if aside is None:
            raise NoSuchFolder("the folder that is being filled has been removed", folder=origin.aside)
        if aside.name != origin.aside:  # another import of the same archive has finished
            return Decision((0, len(messages)))
        new = [each for each in messages if each.uid >= aside.uidnext]
        if not new:
            return Decision((0, len(messages)))
        changes, bodies = _adding(aside, new)
        return Decision((len(new), len(messages) - len(new)), changes, bodies)

    return with_birth(decide, now)


def place(origin: Origin, now: float, limits: MailboxLimits) -> Decider[Place]:
    """Put the folder that was filled into its place.

    If no folder of that name has ever held a message it becomes that folder, with its UIDs.  Else its messages move
    into the one that is there, under new UIDs (RFC 9051 section 2.3.1.1), some with each commit.
    """

    def decide(state: MailState) -> Decision[Change, Place]:
        aside = _marked(state, origin)
        if aside is None:
            raise NoSuchFolder("the folder that is being filled has been removed", folder=origin.aside)
        if aside.name != origin.aside:
            return Decision(Place(aside.uidvalidity == origin.uidvalidity, aside.uidvalidity))
        target = state.folders.get(state.names.get(checked_name(origin.name, limits), 0))
        if target is None or target.uidnext == 1:
            return _becoming(state, origin, aside, target, now)
        return _merging(state, origin, aside, target)

    return with_birth(decide, now)


def _marked(state: MailState, origin: Origin) -> Folder | None:
    """The folder that has been brought, or is being."""
    name = MARK + origin.key
    for key, entries in state.metadata.items():
        if name in entries and key in state.folders:
            return state.folders[key]
    return None


def _mark(folder: Folder, origin: Origin) -> Annotated:
    return Annotated(folder.id, ((MARK + origin.key, b"1"),))


def _adding(aside: Folder, new: Sequence[Brought]) -> tuple[list[Change], list[bytes]]:
    flags = [name for each in new for name in each.message.flags]
    keywords = new_keywords(flags, aside.keywords, strict=False)
    table = aside.keywords + keywords
    rows: list[Row] = []
    bodies: list[bytes] = []
    for each in new:
        message, body = each.message, -1
        if message.body or message.large is None:
            body = len(bodies)
            bodies.append(message.body)
        bits = bits_of(message.flags, table)
        date = int(message.date or 0)
        rows.append(Row(bits, date, message.size, message.summary, body, message.large, message.cause, each.uid))
    changes: list[Change] = [Keyworded(aside.id, keywords)] if keywords else []
    return [*changes, Added(aside.id, tuple(rows))], bodies


def _becoming(
    state: MailState, origin: Origin, aside: Folder, target: Folder | None, now: float
) -> Decision[Change, Place]:
    """The folder takes the place of one that never held a message, or of none."""
    changes: list[Change] = []
    # a folder above it that the archive has not is not made: it had been deleted (RFC 9051 section 6.3.5)
    special_use = origin.special_use or (target.special_use if target is not None else "")
    if target is not None:
        changes += _kept_entries(state.metadata.get(target.id, {}), state.metadata.get(aside.id, {}), aside)
        changes.append(Removed(target.id))
    holder = _holder(state, special_use, aside, target)
    if holder is not None and holder.uidnext == 1:
        changes.append(Placed(holder.id, holder.name, holder.uidvalidity, holder.uidnext))
    elif holder is not None:
        special_use = ""
    uidvalidity = _uidvalidity(state, origin, now)
    changes.append(Placed(aside.id, origin.name, uidvalidity, max(origin.uidnext, aside.uidnext), special_use))
    if (origin.name in state.subscriptions) != origin.subscribed:
        changes.append(Subscribed(origin.name, origin.subscribed))
    return Decision(Place(uidvalidity == origin.uidvalidity, uidvalidity), changes)


def _uidvalidity(state: MailState, origin: Origin, now: float) -> int:
    """RFC 9051 section 2.3.1.1: UIDs that were seen under this name must not come again with other messages.

    A folder that is there and never held a message has no UIDs that anyone could have seen.
    """
    fine = state.retired_uidvalidity(origin.name) < origin.uidvalidity <= now + MAX_AHEAD
    return origin.uidvalidity if fine else state.new_uidvalidity(now)


def _holder(state: MailState, special_use: str, *but: Folder | None) -> Folder | None:
    """Who else has the special use."""
    others = [folder for folder in state.folders.values() if all(folder.id != each.id for each in but if each)]
    return next((folder for folder in others if special_use and folder.special_use == special_use), None)


def _kept_entries(old: Mapping[str, bytes], new: Mapping[str, bytes], aside: Folder) -> list[Change]:
    kept = tuple((name, value) for name, value in old.items() if name not in new)
    return [Annotated(aside.id, kept)] if kept else []


def _merging(state: MailState, origin: Origin, aside: Folder, target: Folder) -> Decision[Change, Place]:
    rows = range(min(aside.columns.length, MOVED))
    changes, _ = moving(state, aside, rows, target)
    left = aside.columns.length - len(rows)
    if not left:
        changes += [_mark(target, origin), Removed(aside.id)]
    return Decision(Place(False, target.uidvalidity, left, len(rows), merged=True), changes)
