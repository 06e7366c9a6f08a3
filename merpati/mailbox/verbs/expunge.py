"""EXPUNGE, UID EXPUNGE, and the removal at the end of a POP3 session."""

from __future__ import annotations

from collections.abc import Sequence

from merpati.log.api import Decision
from merpati.mailbox.changes import Change, Expunged, ranges_of
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.types import Uid
from merpati.mailbox.values import DELETED, SEEN, FolderId
from merpati.mailbox.verbs.born import Decider, with_birth


def expunge(
    which: str | FolderId, uids: Sequence[int] | None, now: float, *, only_deleted: bool = True
) -> Decider[tuple[Uid, ...]]:
    """Messages with \\Deleted, of `uids` or of all (RFC 9051 sections 6.4.3, 6.4.9); or just `uids`."""

    def decide(state: MailState) -> Decision[Change, tuple[Uid, ...]]:
        folder = state.find(which)
        columns = folder.columns
        if only_deleted and uids is None and not folder.deleted:
            return Decision(())
        rows: Sequence[int] = range(columns.length) if uids is None else rows_of(folder, uids)
        if only_deleted:
            rows = [row for row in rows if columns.flags[row] & DELETED]
        if not rows:
            return Decision(())
        return Decision(tuple(Uid(columns.uids[row]) for row in rows), [removing(folder, rows)])

    return with_birth(decide, now)


def rows_of(folder: Folder, uids: Sequence[int]) -> list[int]:
    """The rows of those UIDs that are there, ascending, each once."""
    columns = folder.columns
    if isinstance(uids, range) and uids.step == 1:
        return list(columns.span(uids.start, uids.stop - 1))
    return sorted({row for uid in uids if (row := columns.row(uid)) >= 0})


def removing(folder: Folder, rows: Sequence[int]) -> Expunged:
    """The change that removes the messages at `rows` (ascending)."""
    columns = folder.columns
    deleted = [columns.sizes[row] for row in rows if columns.flags[row] & DELETED]
    return Expunged(
        folder.id,
        ranges_of(columns.uids, rows),
        len(rows),
        sum(not columns.flags[row] & SEEN for row in rows),
        len(deleted),
        sum(columns.sizes[row] for row in rows),
        sum(deleted),
    )
