"""An account's whole state, and what each change does to it.  Pure; folded by `fold`, decided upon by the verbs.

States are values that share what did not change.  ValueError: the change cannot follow, so the log is damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from merpati.log.api import EMPTY, Attachment, Commit, Damaged
from merpati.mailbox.bodies import LARGE, LargeBodies, LargePlace
from merpati.mailbox.causes import Causes, Place
from merpati.mailbox.changes import (
    Added,
    Annotated,
    Born,
    Change,
    Closed,
    Copied,
    Expunged,
    Flagged,
    Keyworded,
    Made,
    Placed,
    Removed,
    Renamed,
    Row,
    Subscribed,
)
from merpati.mailbox.columns import NewRow
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import normalised
from merpati.mailbox.placing import placed
from merpati.mailbox.runs import Summary, SummaryRun
from merpati.mailbox.values import FolderId, NoSuchAccount, NoSuchFolder

CAUSES_KEPT = 14 * 86_400.0
"""Seconds for which a cause is remembered: beyond the week that `mail.local` keeps.  Part of the fold: equal on all."""
SHARED = ("tree", "causes", "larges")
"""What a state has beside its folders, as far as it can be shut."""
MAX_RETIRED = 1000
"""Names whose last UIDVALIDITY is remembered one by one."""


class Shut(msgspec.Struct, frozen=True):
    """Why a part of a state cannot be had (rule R6), and what is known of it all the same; `rebuild` opens it."""

    damage: Damaged
    lost: int = 0
    """Messages of a folder whose places are lost."""
    unflagged: int = 0
    """Messages whose flags are lost."""
    runs: tuple[SummaryRun, ...] = ()
    """Where the summaries of the lost ones are."""


class MailState(msgspec.Struct, frozen=True):
    """All of an account at one commit."""

    number: int = EMPTY
    folders: Mapping[int, Folder] = msgspec.field(default_factory=dict)
    names: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Name to id."""
    subscriptions: frozenset[str] = frozenset()
    next_folder: int = 1
    last_uidvalidity: int = 0
    retired: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The last UIDVALIDITY that was seen under a name which its folder has left."""
    retired_all: int = 0
    """The same for all names that are no longer remembered."""
    causes: Causes = msgspec.field(default_factory=Causes)
    larges: LargeBodies = msgspec.field(default_factory=LargeBodies)
    metadata: Mapping[int, Mapping[str, bytes]] = msgspec.field(default_factory=dict)
    closed: float = 0.0
    """When the account was closed for good; 0 as long as it lives."""
    shut: Mapping[int | str, Shut] = msgspec.field(default_factory=dict)
    """Folders, and parts of the whole account (`SHARED`), that are damaged."""

    @property
    def messages(self) -> int:
        return sum(folder.exists for folder in self.folders.values())

    @property
    def size(self) -> int:
        """Bytes of all messages: what a quota counts."""
        return sum(folder.size for folder in self.folders.values())

    @property
    def born(self) -> bool:
        """Whether the account has its first folders."""
        return bool(self.folders)

    def find(self, which: str | int) -> Folder:
        """A folder by name or id.  Raises `NoSuchFolder`, and `Damaged` if it is shut (R6)."""
        key = self.names.get(normalised(which)) if isinstance(which, str) else which
        folder = self.folders.get(key) if key is not None else None
        if folder is None:
            raise NoSuchFolder("there is no such folder", folder=which)
        if folder.id in self.shut:
            raise told("this folder is damaged in the store", self.shut[folder.id].damage)
        return folder

    def check_writable(self) -> None:
        """R6: an account of which a shared part is damaged is only read.  Raises `Damaged`."""
        for part in SHARED:
            if part in self.shut:
                raise told("this mailbox is damaged in the store", self.shut[part].damage)

    def check_whole(self) -> None:
        """R6: no snapshot is made, and nothing is removed, of a state that lacks a part.  Raises `Damaged`."""
        for shut in self.shut.values():
            raise told("this mailbox is damaged in the store", shut.damage)

    def new_uidvalidity(self, now: float) -> int:
        """One that no folder of this account ever had (RFC 9051 section 2.3.1.1: it must be greater)."""
        return max(self.last_uidvalidity + 1, int(now))

    def retired_uidvalidity(self, name: str) -> int:
        """The greatest that may have been seen under this name, its folder being gone from there."""
        return max(self.retired.get(name, 0), self.retired_all)


def told(words: str, damage: Damaged) -> Damaged:
    """The same damage in words for who met it; key and rule stay."""
    return Damaged(words, **{**damage.facts, "reason": damage.public})  # type: ignore[arg-type]


def applied(state: MailState, commit: Commit[Change]) -> MailState:
    """The state after a commit.  Raises `NoSuchAccount` if the log has ended: D2, whatever is to be written."""
    must_live(state)
    for part in commit.parts:
        for change in part.changes:
            state = _apply(state, change, commit, part.attachments)
    return replace(state, number=commit.number)


def _apply(state: MailState, change: Change, commit: Commit[Change], attachments: Sequence[Attachment]) -> MailState:
    match change:
        case Added():
            return _added(state, change, commit, attachments)
        case Flagged():
            return _changed(state, _folder(state, change.folder).with_flags(change, commit.number))
        case Expunged():
            return _changed(state, _folder(state, change.folder).without(change, commit.number))
        case Copied():
            return _copied(state, change, commit.number)
        case Keyworded():
            folder = _folder(state, change.folder)
            return _changed(state, replace(folder, keywords=folder.keywords + change.names))
        case _:
            return apply_to_tree(state, change, commit.number)


def must_live(state: MailState) -> None:
    """Raises `NoSuchAccount` if the account was closed for good."""
    if state.closed:
        raise NoSuchAccount("there is no such account any more")


def apply_to_tree(state: MailState, change: Change, number: int) -> MailState:
    """A change to folders, subscriptions or annotations; deciders use it to see where several of them lead."""
    match change:
        case Born():
            for name, special_use, uidvalidity in change.folders:
                state = _made(state, Made(name, uidvalidity, special_use), number)
            return replace(state, subscriptions=frozenset(state.names))
        case Made():
            return _made(state, change, number)
        case Removed():
            return _removed(state, _folder(state, change.folder))
        case Renamed():
            return _renamed(state, change)
        case Placed():
            return placed(state, change)
        case Subscribed():
            names = state.subscriptions | {change.name} if change.on else state.subscriptions - {change.name}
            return replace(state, subscriptions=names)
        case Annotated():
            return _annotated(state, change)
        case Closed():
            return MailState(number=number, closed=change.at)
    raise ValueError(f"no change of a mailbox: {change!r}")


def _folder(state: MailState, folder: int) -> Folder:
    try:
        return state.folders[folder]
    except KeyError:
        raise ValueError(f"a change to folder {folder}, which is not there") from None


def _changed(state: MailState, folder: Folder) -> MailState:
    return replace(state, folders={**state.folders, folder.id: folder})


def _added(state: MailState, change: Added, commit: Commit[Change], attachments: Sequence[Attachment]) -> MailState:
    folder = _folder(state, change.folder)
    uid, larges = folder.uidnext, state.larges
    rows: list[NewRow] = []
    places: dict[bytes, Place] = {}
    for row in change.rows:
        if row.uid and row.uid < uid:
            raise ValueError(f"UID {row.uid} of folder {folder.id} was given before")
        uid = row.uid or uid
        offset, check, larges = _address(row, commit.number, attachments, larges)
        if row.cause:
            places[row.cause] = (folder.id, uid, commit.at)
        rows.append(
            NewRow(uid, row.flags, commit.number, row.size, row.date, commit.number, offset, check, row.summary)
        )
        uid += 1
    causes = state.causes.with_places(places, commit.at - CAUSES_KEPT) if places else state.causes
    folders = {**state.folders, folder.id: folder.with_rows(rows, commit.number)}
    return replace(state, folders=folders, causes=causes, larges=larges)


def _address(
    row: Row, commit: int, attachments: Sequence[Attachment], larges: LargeBodies
) -> tuple[int, int, LargeBodies]:
    """Offset and check of a new message's body, and the large bodies with it."""
    try:
        attachment = attachments[row.body] if row.body >= 0 else None
    except IndexError:
        raise ValueError(f"attachment {row.body} is not in the commit") from None
    if row.large is None:
        if attachment is None or attachment.length != row.size:
            raise ValueError("a message whose body is not in the commit")
        return attachment.offset, int.from_bytes(attachment.digest[:8], "big"), larges
    offset, length = (attachment.offset, attachment.length) if attachment else (0, 0)
    place = LargePlace(commit, larges.next_number(commit), offset, length, row.large)
    return place.number, 0, larges.with_place(place)


def _copied(state: MailState, change: Copied, number: int) -> MailState:
    folder, larges = _folder(state, change.folder), state.larges
    rows = []
    for uid, kept in enumerate(change.rows, folder.uidnext):
        if kept.large is not None:
            offset, length, body = kept.large
            larges = larges.with_place(LargePlace(kept.commit, kept.offset, offset, length, body))
        elif kept.offset >= LARGE and not (larges.get(kept.commit, kept.offset) or "larges" in state.shut):
            raise ValueError("a copy of a large body that is not there")
        summary = kept.summary or _summary_at(state, kept.origin)
        rows.append(
            NewRow(uid, kept.flags, number, kept.size, kept.date, kept.commit, kept.offset, kept.check, summary)
        )
    folders = {**state.folders, folder.id: folder.with_rows(rows, number)}
    return replace(state, folders=folders, larges=larges)


def _summary_at(state: MailState, origin: tuple[int, int]) -> Summary:
    if origin == (0, 0):  # nobody knows: it is made anew of the message
        return b""
    folder, uid = origin
    columns = _folder(state, folder).columns
    row = columns.row(uid)
    if row < 0 and folder in state.shut:
        return b""
    if row < 0:
        raise ValueError(f"a copy of UID {uid} of folder {folder}, which is not there")
    return columns.summaries[row]


def _made(state: MailState, change: Made, number: int) -> MailState:
    if change.name in state.names:
        raise ValueError("a folder of this name is there already")
    folder = Folder(
        FolderId(state.next_folder),
        change.name,
        change.uidvalidity,
        number,
        uidnext=change.uidnext,
        special_use=change.special_use,
    )
    return replace(
        state,
        folders={**state.folders, folder.id: folder},
        names={**state.names, folder.name: folder.id},
        next_folder=state.next_folder + 1,
        last_uidvalidity=max(state.last_uidvalidity, change.uidvalidity),
    )


def _removed(state: MailState, folder: Folder) -> MailState:
    return replace(
        _left(state, folder),
        folders={key: each for key, each in state.folders.items() if key != folder.id},
        metadata={key: entries for key, entries in state.metadata.items() if key != folder.id},
    )


def _renamed(state: MailState, change: Renamed) -> MailState:
    folder = _folder(state, change.folder)
    if change.name in state.names:
        raise ValueError("a folder of this name is there already")
    state = _left(state, folder)
    renamed = replace(folder, name=change.name, uidvalidity=change.uidvalidity or folder.uidvalidity)
    return replace(
        state,
        folders={**state.folders, folder.id: renamed},
        names={**state.names, change.name: folder.id},
        last_uidvalidity=max(state.last_uidvalidity, renamed.uidvalidity),
    )


def _left(state: MailState, folder: Folder) -> MailState:
    """A folder leaves its name; what was seen under it is remembered, so that it never comes back with less."""
    names = {name: key for name, key in state.names.items() if key != folder.id}
    retired = {name: seen for name, seen in state.retired.items() if name != folder.name}
    retired[folder.name] = max(folder.uidvalidity, state.retired.get(folder.name, 0))
    everywhere = state.retired_all
    while len(retired) > MAX_RETIRED:
        everywhere = max(everywhere, retired.pop(next(iter(retired))))
    return replace(state, names=names, retired=retired, retired_all=everywhere)


def _annotated(state: MailState, change: Annotated) -> MailState:
    entries = dict(state.metadata.get(change.folder, {}))
    for name, value in change.entries:
        if value is None:
            entries.pop(name, None)
        else:
            entries[name] = value
    return replace(state, metadata={**state.metadata, change.folder: entries})
