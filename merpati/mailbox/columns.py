"""The messages of a folder as columns: arrays side by side, one element a message, ascending by UID.  Pure.

Values: every operation gives new columns and leaves the old ones reading as they did.  So that an append costs no copy,
columns that end where the arrays end lend them to their successor, which grows them; each column knows its own length
and never looks beyond it.  Whoever appends to older columns copies.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from merpati.mailbox.changes import Ranges

if TYPE_CHECKING:
    from merpati.mailbox.runs import SummaryRun

A = TypeVar("A", "array[int]", "list[bytes | SummaryRun]")

ROW = 100
"""Bytes of memory a message takes here, beside the bytes of its summary."""


class NewRow(NamedTuple):
    """One message to be added."""

    uid: int
    flags: int
    modseq: int
    size: int
    date: int
    commit: int
    offset: int
    check: int
    summary: bytes | SummaryRun


class Columns(msgspec.Struct, frozen=True):
    """Arrays of at least `length` elements; what lies beyond belongs to others."""

    length: int
    uids: array[int]
    flags: array[int]
    modseqs: array[int]
    sizes: array[int]
    dates: array[int]
    commits: array[int]
    """The body's address: the commit it came with …"""
    offsets: array[int]
    """… and its offset there; from LARGE on, the number of a large body of that commit."""
    checks: array[int]
    """The first eight bytes of the body's digest."""
    summaries: list[bytes | SummaryRun]
    """What was rendered, packed; or the run of a snapshot that has it.  The one takes the place of the other."""
    inline: int = 0
    """Bytes of the summaries that were added since it was read; some may have gone, or be in a run by now."""

    def row(self, uid: int) -> int:
        """The row of a UID, or -1."""
        row = bisect_left(self.uids, uid, 0, self.length)
        return row if row < self.length and self.uids[row] == uid else -1

    def span(self, first: int, last: int) -> range:
        """The rows of the UIDs from `first` to `last`."""
        return range(bisect_left(self.uids, first, 0, self.length), bisect_right(self.uids, last, 0, self.length))

    def with_rows(self, rows: Sequence[NewRow]) -> Columns:
        """These messages added at the end."""
        if not rows:
            return self
        uids, flags, modseqs, sizes, dates, commits, offsets, checks, summaries = zip(*rows, strict=True)
        n = self.length
        return Columns(
            n + len(rows),
            _grown(self.uids, n, uids),
            _grown(self.flags, n, flags),
            _grown(self.modseqs, n, modseqs),
            _grown(self.sizes, n, sizes),
            _grown(self.dates, n, dates),
            _grown(self.commits, n, commits),
            _grown(self.offsets, n, offsets),
            _grown(self.checks, n, checks),
            _grown(self.summaries, n, summaries),
            self.inline + sum(len(summary) for summary in summaries if isinstance(summary, bytes)),
        )

    def with_flags(self, uids: Ranges, add: int, remove: int, modseq: int) -> Columns:
        """Flags of some messages changed, by the commit `modseq`."""
        flags, modseqs = self.flags[: self.length], self.modseqs[: self.length]
        keep = ~remove
        for first, last in uids:
            span = self.span(first, last)
            for row in span:
                flags[row] = flags[row] & keep | add
            modseqs[span.start : span.stop] = array("Q", [modseq]) * len(span)
        return replace(self, flags=flags, modseqs=modseqs)

    def without(self, uids: Ranges) -> Columns:
        """Some messages gone."""
        kept, start = [], 0
        for first, last in uids:
            span = self.span(first, last)
            kept.append((start, span.start))
            start = span.stop
        kept.append((start, self.length))
        return Columns(
            sum(stop - start for start, stop in kept),
            _parts(self.uids, kept),
            _parts(self.flags, kept),
            _parts(self.modseqs, kept),
            _parts(self.sizes, kept),
            _parts(self.dates, kept),
            _parts(self.commits, kept),
            _parts(self.offsets, kept),
            _parts(self.checks, kept),
            _parts(self.summaries, kept),
            self.inline,
        )

    def new_row(self, row: int, uid: int, modseq: int, flags: int) -> NewRow:
        """The message at `row`, as a row for other columns."""
        return NewRow(
            uid,
            flags,
            modseq,
            self.sizes[row],
            self.dates[row],
            self.commits[row],
            self.offsets[row],
            self.checks[row],
            self.summaries[row],
        )


def no_messages() -> Columns:
    """Columns of an empty folder."""
    return Columns(
        0,
        array("I"),
        array("Q"),
        array("Q"),
        array("I"),
        array("q"),
        array("Q"),
        array("I"),
        array("Q"),
        [],
    )


def _grown(column: A, length: int, values: Sequence[object]) -> A:
    if len(column) != length:  # somebody else grew it: theirs is another history
        column = column[:length]
    column.extend(values)  # type: ignore[arg-type]
    return column


def _parts(column: A, kept: Sequence[tuple[int, int]]) -> A:
    result = column[:0]
    for start, stop in kept:
        result += column[start:stop]
    return result
