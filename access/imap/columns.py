"""FETCH by column: each item gives a piece of a format and a column of values, and the lines are made in one sweep.

For items that need no message bytes: everything was rendered when the message was appended, so a line is one formatting
of values that are there.  Items that need bytes are in `bodies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from access.imap.selected import Found
from access.imap.wire.fetch import Att, Item
from access.imap.wire.render import internal_date
from merpati.mailbox.api import FolderView

Column = tuple[bytes, Iterable[object]]
"""A piece of the format with one conversion, and its values."""

PLAIN: dict[Att, tuple[bytes, Callable[[FolderView, Sequence[int]], Iterable[object]]]] = {
    Att.UID: (b"UID %d", lambda view, rows: map(view.uids.__getitem__, rows)),
    Att.FLAGS: (b"FLAGS (%b)", lambda view, rows: map(view.flags_text, map(view.flags.__getitem__, rows))),
    Att.INTERNALDATE: (b"INTERNALDATE %b", lambda view, rows: map(internal_date, map(view.dates.__getitem__, rows))),
    Att.SAVEDATE: (b"SAVEDATE %b", lambda view, rows: (b"NIL" for _ in rows)),
    Att.SIZE: (b"RFC822.SIZE %d", lambda view, rows: map(view.sizes.__getitem__, rows)),
    Att.MODSEQ: (b"MODSEQ (%d)", lambda view, rows: map(view.modseqs.__getitem__, rows)),
    Att.EMAILID: (b"EMAILID (%b)", lambda view, rows: (view.email_id(row).encode() for row in rows)),
    # RFC 8474 section 5.2: NIL where threads are not kept
    Att.THREADID: (b"THREADID %b", lambda view, rows: (b"NIL" for _ in rows)),
}
RENDERED = frozenset({Att.ENVELOPE, Att.BODY, Att.BODYSTRUCTURE})


def needs_bytes(items: Iterable[Item]) -> bool:
    """Whether any item needs the message itself."""
    return any(item not in PLAIN and item not in RENDERED for item in items)


async def lines(view: FolderView, found: Sequence[Found], items: Sequence[Item]) -> bytes:
    """The FETCH responses for messages that are all of `view`."""
    rows = [row for _, _, row in found]
    columns = [await _column(view, rows, item) for item in items]
    shape = b"* %d FETCH (" + b" ".join(piece for piece, _ in columns) + b")\r\n"
    values = zip([seq for seq, _, _ in found], *(column for _, column in columns), strict=True)
    return b"".join([shape % line for line in values])


async def _column(view: FolderView, rows: Sequence[int], item: Item) -> Column:
    match item:
        case Att.ENVELOPE:
            return b"ENVELOPE %b", await view.envelopes(rows)
        case Att.BODYSTRUCTURE:
            return b"BODYSTRUCTURE %b", await view.bodystructures(rows)
        case Att.BODY:
            return b"BODY %b", [summary.body for summary in await view.summaries(rows)]
        case Att():
            piece, values = PLAIN[item]
            return piece, values(view, rows)
    raise AssertionError(f"{item} needs the message's bytes")


def one(view: FolderView, row: int, item: Att) -> bytes:
    """A plain item of one message, with its name."""
    piece, values = PLAIN[item]
    return piece % next(iter(values(view, (row,))))
