"""A state made of what is left of a mailbox: what a lost commit hid is passed over, and no identity is given twice.

Called by `rebuilding`.  Pure.  Behind a lost commit it is not known which UIDs, keywords and folders it gave; so what
came later is taken as it is only where it names what was there before, and new messages get UIDs that nobody can have
seen (RFC 9051 section 2.3.1.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from merpati.log.api import Commit, Part
from merpati.mailbox.bodies import LARGE
from merpati.mailbox.changes import (
    Added,
    Annotated,
    Born,
    Change,
    Copied,
    Expunged,
    Flagged,
    Made,
    Ranges,
    Removed,
    Renamed,
    Subscribed,
)
from merpati.mailbox.columns import NewRow
from merpati.mailbox.folder import Folder
from merpati.mailbox.growing import Growing
from merpati.mailbox.loading import SPARE_FOLDERS
from merpati.mailbox.state import MailState, applied
from merpati.mailbox.types import Uid
from merpati.mailbox.values import DELETED, SEEN, SYSTEM_FLAGS
from merpati.mailbox.vanished import Vanished
from merpati.mailbox.verbs.born import birth
from merpati.mailbox.verbs.restore import NOWHERE

SPARE_UIDS = 1 << 20
"""UIDs of a folder that are passed over for each lost commit: more than one commit can give."""
FOUND = "Recovered"
"""The folder of messages of which it is not known where they were."""


@dataclass(slots=True)
class Salvage:
    """A state in the making: `pass_over` for each lost commit, `take` for each that is there, then `settled`."""

    state: MailState
    astray: int = 0
    """Messages that went into FOUND."""
    dropped: int = 0
    """Changes that could not be taken: flags, removals and copies of messages that nobody can name any more."""
    _known: dict[int, int] = field(default_factory=dict)
    """UIDNEXT of each folder before the first lost commit: below it, a UID is what it was."""
    _sure: bool = True

    @property
    def exact(self) -> bool:
        """Whether every commit was there."""
        return self._sure

    def pass_over(self, now: float) -> None:
        """A commit is lost: it is not known what it gave, but for the first folders, which every account has."""
        state = self.state
        if not state.born:
            state = applied(state, Commit(state.number + 1, b"", b"", now, (Part((birth(state, now),)),)))
        if self._sure:
            self._known = {key: folder.uidnext for key, folder in state.folders.items()}
            self._sure = False
        folders = {
            key: replace(folder, uidnext=Uid(min(folder.uidnext + SPARE_UIDS, 0xFFFF_FFF0)))
            for key, folder in state.folders.items()
        }
        self.state = replace(state, folders=folders, next_folder=state.next_folder + SPARE_FOLDERS)

    def take(self, commit: Commit[Change], now: float) -> None:
        """A commit that is there; behind a lost one, as far as it can be understood."""
        if self._sure:
            try:
                self.state = applied(self.state, commit)
                return
            except ValueError:
                self.pass_over(now)
        for part in commit.parts:
            for change in part.changes:
                known = self._understood(change, now)
                if known is None or not self._applied(known, commit, part):
                    self.dropped += 1

    def _applied(self, change: Change, commit: Commit[Change], part: Part[Change]) -> bool:
        """Whether the state took a change."""
        alone = Commit(commit.number, commit.id, b"", commit.at, (Part((change,), part.attachments),))
        try:
            self.state = applied(self.state, alone)
        except ValueError:
            return False
        return True

    def add(self, folder: int, rows: Iterable[NewRow]) -> int:
        """Messages of a folder whose places were found again; how many."""
        into = self.state.folders[folder]
        new = [row._replace(uid=uid) for uid, row in enumerate(rows, into.uidnext)]
        if new:
            into = into.with_rows(new, self.state.number)
            self.state = replace(self.state, folders={**self.state.folders, folder: into})
        return len(new)

    def bring(self, rows: list[NewRow], now: float) -> None:
        """Messages of which only the bytes are left go into FOUND."""
        if rows:
            self.add(self._found(len(rows), now), rows)

    def settled(self, number: int) -> MailState:
        """The state as of commit `number`: whoever was away is told of every message and flag anew.

        RFC 7162 section 3.2.6: of an older MODSEQ, all UIDs that are not there count as vanished.
        """
        folders = {key: _settled(folder, number) for key, folder in self.state.folders.items()}
        return replace(self.state, number=number, folders=folders, shut={})

    def _understood(self, change: Change, now: float) -> Change | None:
        """The change as it can be taken on a state that lacks a commit."""
        match change:
            case Born():
                return change if not self.state.born else None
            case Added():
                return self._added(change, now)
            case Copied():
                return self._copied(change, now)
            case Flagged():
                bits = self._bits(change.folder)
                uids = self._certain(change.folder, change.uids)
                return replace(change, uids=uids, add=change.add & bits, remove=change.remove & bits) if uids else None
            case Expunged():
                uids = self._certain(change.folder, change.uids)
                return replace(change, uids=uids) if uids else None
            case Made():
                return replace(change, uidvalidity=self.state.new_uidvalidity(now))
            case Removed() | Renamed():
                return change if change.folder in self._known else None
            case Annotated():
                return change if change.folder in self._known or not change.folder else None
            case Subscribed():
                return change
        return None

    def _added(self, change: Added, now: float) -> Added:
        folder, bits = self._home(change.folder, len(change.rows), now), self._bits(change.folder)
        rows = [replace(row, flags=row.flags & bits, uid=0) for row in change.rows]
        return Added(folder, tuple(rows))

    def _copied(self, change: Copied, now: float) -> Copied | None:
        """A copy needs no origin, and its summary is made anew; a large body is needed."""
        rows = [
            replace(row, flags=row.flags & self._bits(change.folder), origin=NOWHERE, summary=row.summary or b"")
            for row in change.rows
            if row.offset < LARGE or row.large or self.state.larges.get(row.commit, row.offset)
        ]
        self.dropped += len(change.rows) - len(rows)
        return Copied(self._home(change.folder, len(rows), now), tuple(rows)) if rows else None

    def _home(self, folder: int, messages: int, now: float) -> int:
        """The folder, or if it is not known which one that is, FOUND."""
        if folder in self._known and folder in self.state.folders:
            return folder
        return self._found(messages, now)

    def _found(self, messages: int, now: float) -> int:
        self.astray += messages
        if FOUND not in self.state.names:
            made = (Made(FOUND, self.state.new_uidvalidity(now)), Subscribed(FOUND, True))
            self.state = applied(self.state, Commit(self.state.number, b"", b"", now, (Part(made),)))
        return self.state.names[FOUND]

    def _bits(self, folder: int) -> int:
        """The flags whose names are known."""
        there = self.state.folders.get(folder) if folder in self._known else None
        return (1 << len(SYSTEM_FLAGS) + (len(there.keywords) if there else 0)) - 1

    def _certain(self, folder: int, uids: Ranges) -> Ranges:
        """Of ranges of UIDs, what was given before a commit was lost."""
        below = self._known.get(folder, 0)
        return tuple((first, min(last, below - 1)) for first, last in uids if first < below)


def _settled(folder: Folder, number: int) -> Folder:
    columns, n = folder.columns, folder.columns.length
    flags, sizes = columns.flags[:n], columns.sizes[:n]
    deleted = [size for size, bits in zip(sizes, flags, strict=True) if bits & DELETED]
    modseqs = columns.modseqs[:0]
    modseqs.extend([number] * n)
    return replace(
        folder,
        modseq=number,
        exists=n,
        unseen=sum(not bits & SEEN for bits in flags),
        deleted=len(deleted),
        size=sum(sizes),
        deleted_size=sum(deleted),
        columns=replace(columns, modseqs=modseqs),
        vanished=Vanished(Growing(), number),
    )
