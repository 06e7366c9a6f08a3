"""STORE: flags of messages set, added or removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from merpati.log.api import Decision
from merpati.mailbox.changes import Change, Flagged, Keyworded, ranges_of
from merpati.mailbox.flags import bits_of, new_keywords
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.types import ModSeq, Uid
from merpati.mailbox.values import DELETED, SEEN, FolderId, Stored
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.expunge import rows_of

EVERY_FLAG = (1 << 63) - 1

Mode = Literal["set", "add", "remove"]


def store(
    which: str | FolderId,
    uids: Sequence[int],
    flags: Sequence[str],
    mode: Mode,
    unchanged_since: int | None,
    now: float,
) -> Decider[Stored]:
    """Messages that have the flags already are left alone, and keep their MODSEQ (RFC 7162 section 3.1.3).

    The answer's `modseq` is that of the folder before; whoever commits puts the commit's number there.
    """

    def decide(state: MailState) -> Decision[Change, Stored]:
        folder = state.find(which)
        new = new_keywords(flags, folder.keywords, strict=True) if mode != "remove" else ()
        bits = bits_of(flags, folder.keywords + new)
        add, remove = (0, bits) if mode == "remove" else (bits, EVERY_FLAG if mode == "set" else 0)
        rows, modified = _split(folder, rows_of(folder, uids), unchanged_since)
        columns, keep = folder.columns, ~remove
        changed = [row for row in rows if columns.flags[row] & keep | add != columns.flags[row]]
        present = columns.uids
        answer = Stored(
            ModSeq(folder.modseq),
            tuple(Uid(present[row]) for row in changed),
            tuple(Uid(present[row]) for row in modified),
        )
        if not changed:
            return Decision(answer)
        changes: list[Change] = [Keyworded(folder.id, new)] if new else []
        return Decision(answer, [*changes, _flagged(folder, changed, add, remove)])

    return with_birth(decide, now)


def _split(folder: Folder, rows: list[int], unchanged_since: int | None) -> tuple[list[int], list[int]]:
    """The rows that may be changed, and those that somebody else has changed since."""
    if unchanged_since is None or unchanged_since >= folder.modseq:
        return rows, []
    modseqs = folder.columns.modseqs
    return (
        [row for row in rows if modseqs[row] <= unchanged_since],
        [row for row in rows if modseqs[row] > unchanged_since],
    )


def _flagged(folder: Folder, rows: list[int], add: int, remove: int) -> Flagged:
    columns, keep = folder.columns, ~remove
    unseen = deleted = deleted_size = 0
    if (add | remove) & (SEEN | DELETED):
        for row in rows:
            old = columns.flags[row]
            new = old & keep | add
            unseen += (not new & SEEN) - (not old & SEEN)
            gone = bool(new & DELETED) - bool(old & DELETED)
            deleted += gone
            deleted_size += gone * columns.sizes[row]
    return Flagged(folder.id, ranges_of(columns.uids, rows), add, remove, unseen, deleted, deleted_size)
