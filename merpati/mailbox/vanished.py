"""Which UIDs of a folder have been expunged, and when: what QRESYNC tells a client that was away (RFC 7162).

Bounded: beyond MAX_RANGES the oldest are forgotten, and who asks about a time before that is told of every UID that is
not there, as RFC 7162 section 3.2.6 allows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from merpati.mailbox.changes import Ranges
from merpati.mailbox.growing import Growing

MAX_RANGES = 5000
KEPT_RANGES = 2500


@dataclass(frozen=True, slots=True)
class Vanished:
    """(MODSEQ, first UID, last UID) in the order of their commits; complete for what came after `since`."""

    entries: Growing[tuple[int, int, int]] = field(default_factory=Growing)
    since: int = 0

    def with_ranges(self, uids: Ranges, modseq: int) -> Vanished:
        """These UIDs went with the commit `modseq`."""
        grown = self.entries.grown((modseq, first, last) for first, last in uids)
        if len(grown) <= MAX_RANGES:
            return Vanished(grown, self.since)
        kept = list(grown.tail(len(grown) - KEPT_RANGES))
        # what remains may begin in the middle of a commit: count that one as forgotten
        return Vanished(Growing(kept), kept[0][0])

    def after(self, modseq: int, uids: Sequence[int], uidnext: int) -> list[tuple[int, int]]:
        """UIDs expunged after `modseq`, as ascending ranges that do not touch; `uids` are those that are there."""
        if modseq < self.since:
            return _gaps(uids, uidnext)
        start = bisect_right(self.entries, modseq, key=lambda entry: entry[0])
        return _joined(sorted((first, last) for _, first, last in self.entries.tail(start)))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _gaps(uids: Sequence[int], uidnext: int) -> list[tuple[int, int]]:
    gaps, expected = [], 1
    for uid in uids:
        if uid > expected:
            gaps.append((expected, uid - 1))
        expected = uid + 1
    if uidnext > expected:
        gaps.append((expected, uidnext - 1))
    return gaps
