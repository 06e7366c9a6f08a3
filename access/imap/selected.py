"""The selected mailbox as its client was told of it: the one file that knows that EXPUNGE renumbers.

A session holds one while a mailbox is selected.  `view` is the newest state the session has looked at; `uids` is what
the client counts by.  The two differ by messages that are gone and that the client could not be told of yet: commands
still find those, as their bytes outlive them (RFC 2180 section 4.1.3).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from access.imap.wire import codes, responses
from access.imap.wire.sequence import SequenceSet
from merpati.mailbox.api import MAX_KEYWORDS, SYSTEM_FLAGS, Account, FolderId, FolderView
from merpati.mailbox.types import ModSeq, SeqNum, Uid

MAX_UID = (1 << 32) - 1
NOTHING: Mapping[int, int] = {}
Found = tuple[int, FolderView, int]
"""A message: its sequence number, the view that has it, its row there."""


class Selected:
    """What SELECT or EXAMINE opened."""

    def __init__(self, account: Account, view: FolderView, *, read_only: bool) -> None:
        self.account = account
        self.view = view
        self.read_only = read_only
        self.saved: tuple[int, ...] = ()
        """UIDs of the last SEARCH with SAVE (RFC 9051 section 6.4.4.1)."""
        self.uids: array[int] = view.uids
        self._ghosts: dict[int, tuple[FolderView, int]] = {}
        self._told_keywords = len(view.keywords)

    @property
    def folder(self) -> FolderId:
        return self.view.info.id

    def opening(self, *, condstore: bool = True) -> bytes:
        """The untagged responses to SELECT (RFC 9051 section 6.3.2, RFC 3501 section 6.3.1)."""
        info = self.view.info
        flags = (*SYSTEM_FLAGS, *self.view.keywords)
        # RFC 9051 section 7.1: \\* only while the client may make keywords
        room = not self.read_only and len(self.view.keywords) < MAX_KEYWORDS
        permanent = codes.permanent_flags(() if self.read_only else flags, keywords=room)
        lines = [
            responses.flags(flags),
            responses.exists(len(self.uids)),
            # \Recent cannot be told apart by devices in step and is gone from IMAP4rev2; rev1 asks for the line
            responses.recent(0),
            responses.ok("flags that stay", permanent),
            responses.ok("UIDs valid", codes.uid_validity(info.uidvalidity)),
            responses.ok("next UID", codes.uid_next(info.uidnext)),
            responses.ok("a mailbox id", codes.mailbox_id(info.mailbox_id)),
        ]
        if (first := self._first_unseen()) is not None:
            lines.append(responses.ok("first unseen", codes.unseen(first)))
        if condstore:
            lines.append(responses.ok("highest", codes.highest_modseq(info.highestmodseq)))
        return b"".join(lines)

    def _first_unseen(self) -> int | None:
        if not self.view.info.unseen:
            return None
        return next((row + 1 for row, bits in enumerate(self.view.flags) if not bits & 1), None)

    # Numbers

    def find(self, messages: SequenceSet, *, uid: bool) -> list[Found]:
        """The messages a client names, ascending; with `uid` by UID, unknown ones passed over."""
        if messages.saved:
            wanted = self.saved
            rows: Iterable[int] = (row for row in map(self._row_of, wanted) if row >= 0)
        elif uid:
            rows = (row for begin, end in messages.slices(self.uids) for row in range(begin, end))
        else:
            numbers = range(1, len(self.uids) + 1)
            rows = (row for begin, end in messages.slices(numbers) for row in range(begin, end))
        if not self._ghosts:
            view = self.view
            if self.uids is view.uids:
                return [(row + 1, view, row) for row in rows]
        return [self._locate(row) for row in rows]

    def _row_of(self, uid: int) -> int:
        row = bisect_left(self.uids, uid)
        return row if row < len(self.uids) and self.uids[row] == uid else -1

    def _locate(self, row: int) -> Found:
        uid = self.uids[row]
        ghost = self._ghosts.get(uid)
        return (row + 1, *ghost) if ghost else (row + 1, self.view, self.view.row(uid))

    def seq(self, uid: int) -> SeqNum:
        """The sequence number that the client knows a UID by; 0 if it does not."""
        return SeqNum(self._row_of(uid) + 1)

    def seqs(self, uids: Iterable[int]) -> list[int]:
        """Sequence numbers of UIDs, unknown ones passed over."""
        return [row + 1 for row in map(self._row_of, uids) if row >= 0]

    # Telling

    async def news(self, *, expunges: bool, modseq: bool = False, silent: Mapping[int, int] = NOTHING) -> bytes:
        """What has changed since the client was last told, as responses, in the order they must come.

        `expunges`: EXPUNGE may be sent now; else those messages stay numbered until it may.  `modseq`: tell MODSEQs
        (CONDSTORE).  `silent`: UIDs, and the flag bits that the client just gave them itself with .SILENT.
        """
        before, now = self.view, await self.account.folder(self.folder)
        lines: list[bytes] = []
        if now.number > before.number:
            self._remember_gone(before, now)
            self.view = now
        if expunges and self._ghosts:
            lines.append(self._expunged())
        if now.number > before.number:
            lines.append(self._arrived(now))
            lines.append(self._flagged(before, now, silent, modseq=modseq))
        if not self._ghosts and len(self.uids) == self.view.exists:
            self.uids = self.view.uids  # in step: share the view's column
        return b"".join(lines)

    def _remember_gone(self, before: FolderView, now: FolderView) -> None:
        for low, high in now.vanished_since(before.number):
            for row in before.rows(low, high):
                uid = before.uids[row]
                if uid not in self._ghosts and self._row_of(uid) >= 0:
                    self._ghosts[uid] = (before, row)

    def _expunged(self) -> bytes:
        gone = self._ghosts.keys()
        rows = [self._row_of(uid) for uid in sorted(gone)]
        self.uids = array(self.uids.typecode, [uid for uid in self.uids if uid not in gone])
        self._ghosts = {}
        # from the highest down, so that each number is still what the client counts by
        return b"".join([responses.expunge(SeqNum(row + 1)) for row in reversed(rows)])

    def _arrived(self, now: FolderView) -> bytes:
        last = self.uids[-1] if len(self.uids) else 0
        new = now.rows(last + 1, MAX_UID)
        if not len(new):
            return b""
        self.uids = array(self.uids.typecode, self.uids) + now.uids[new.start : new.stop]
        return responses.exists(len(self.uids))

    def _flagged(self, before: FolderView, now: FolderView, silent: Mapping[int, int], *, modseq: bool) -> bytes:
        lines = []
        if len(now.keywords) > self._told_keywords:
            self._told_keywords = len(now.keywords)
            lines.append(responses.flags((*SYSTEM_FLAGS, *now.keywords)))
        known = before.info.uidnext
        for row in now.changed_since(before.number):
            uid = now.uids[row]
            if uid >= known or not (seq := self.seq(uid)):
                continue
            if silent.get(uid) != now.flags[row]:
                lines.append(flags_line(seq, uid, now, row, modseq=modseq))
            elif modseq:
                # RFC 7162 section 3.1.3: .SILENT does not keep the MODSEQ from being told
                lines.append(b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (seq, uid, now.modseqs[row]))
        return b"".join(lines)


def flags_line(seq: int, uid: int, view: FolderView, row: int, *, modseq: bool = False) -> bytes:
    """FETCH of UID and FLAGS: with its UID a client need not trust its numbering."""
    if modseq:
        flags = view.flags_text(view.flags[row])
        return b"* %d FETCH (UID %d FLAGS (%b) MODSEQ (%d))\r\n" % (seq, uid, flags, view.modseqs[row])
    return b"* %d FETCH (UID %d FLAGS (%b))\r\n" % (seq, uid, view.flags_text(view.flags[row]))


def uids_of(found: Sequence[Found]) -> list[Uid]:
    """The UIDs of messages."""
    return [Uid(view.uids[row]) for _, view, row in found]


def highest(found: Sequence[Found]) -> ModSeq | None:
    """The greatest MODSEQ among messages."""
    return ModSeq(max(view.modseqs[row] for _, view, row in found)) if found else None


def by_view(found: Sequence[Found], most: int) -> Iterator[tuple[FolderView, Sequence[Found]]]:
    """Runs of messages of one view, in order, none longer than `most`."""
    start = 0
    for at in range(1, len(found) + 1):
        if at == len(found) or found[at][1] is not found[start][1] or at - start == most:
            yield found[start][1], found[start:at]
            start = at
