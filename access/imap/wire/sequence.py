"""Sequence sets (RFC 9051 section 9, sequence-set): `1:4,7,12:*`, parsed once into few, sorted ranges.

The grammar parses them, commands look numbers up in them, responses (COPYUID, VANISHED, ESEARCH) write them.  Numbers
may be UIDs or sequence numbers; which one they are, the command knows.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from access.imap.wire.refused import Refused

STAR = 1 << 32
"""`*`, the largest number in use: above every number there is, so ranges sort."""

Range = tuple[int, int]

_ONE = re.compile(rb"([1-9][0-9]{0,9})(?::([1-9][0-9]{0,9}|\*))?\Z")


class SequenceSet(Struct, frozen=True, gc=False):
    """Ascending ranges, both ends included, neighbours joined; the last one may end in, or be, `STAR`.

    `saved` is the result of the last SEARCH, written `$` (RFC 9051 section 6.4.4.1); then there are no ranges.
    """

    ranges: tuple[Range, ...]
    saved: bool = False

    def resolve(self, largest: int) -> list[Range]:
        """The ranges where `*` means `largest`; of an empty mailbox (0) none that names `*` remains."""
        if not self.ranges or self.ranges[-1][1] != STAR:
            return list(self.ranges)
        *explicit, (low, _) = self.ranges
        if not largest:
            return explicit
        # RFC 9051 section 9: `*:4` and `4:*` are the same, and name the last message even if 4 is beyond it
        return _joined(sorted([*explicit, (min(low, largest), largest)]))

    def slices(self, numbers: Sequence[int]) -> list[Range]:
        """Where in the ascending `numbers` the set's members are: half-open index ranges, ascending, disjoint."""
        found: list[Range] = []
        start = 0
        for low, high in self.resolve(numbers[-1] if len(numbers) else 0):
            begin = bisect_left(numbers, low, start)
            start = bisect_right(numbers, high, begin)
            if begin < start:
                found.append((begin, start))
        return found

    def members(self, numbers: Sequence[int]) -> list[int]:
        """Those of the ascending `numbers` that are in the set."""
        return [number for begin, end in self.slices(numbers) for number in numbers[begin:end]]

    def beyond(self, largest: int) -> bool:
        """Whether a sequence number is named that no message has, which is BAD (RFC 9051 section 9, seq-number).

        As Dovecot has it: in an empty mailbox every number is; of `n:*` only n is asked for.
        """
        if not self.ranges:
            return False
        if not largest:
            return True
        low, high = self.ranges[-1]
        return high > largest if high != STAR else low > largest and low != STAR

    def contains(self, number: int, largest: int) -> bool:
        """Whether `number` is in the set, `*` being `largest`."""
        ranges = self.resolve(largest)
        at = bisect_right(ranges, (number, STAR)) - 1
        return at >= 0 and ranges[at][0] <= number <= ranges[at][1]

    def render(self) -> bytes:
        """The set as the grammar writes it."""
        return b"$" if self.saved else b",".join(map(_rendered, self.ranges))


SAVED = SequenceSet((), saved=True)


def sequence_set(text: bytes, max_ranges: int) -> SequenceSet:
    """The set written in `text`.  Raises `Refused`."""
    if text == b"$":
        return SAVED
    if b"," not in text:
        return SequenceSet((_range(text),))
    # parts that repeat cost one parse: `1,1,1,…`
    ranges = _joined(sorted(map(_range, dict.fromkeys(text.split(b",")))))
    if len(ranges) > max_ranges:
        raise Refused("Too many ranges in the sequence set", code=b"LIMIT")
    return SequenceSet(tuple(ranges))


def set_of(numbers: Iterable[int]) -> SequenceSet:
    """The set of the given numbers, in any order."""
    return SequenceSet(tuple(_joined(_pairs(sorted(numbers)))))


def _pairs(numbers: Iterable[int]) -> Iterator[Range]:
    return ((number, number) for number in numbers)


def _range(text: bytes) -> Range:
    if text.isdigit() and 0 < len(text) < 10 and text[0] != 0x30:
        number = int(text)
        return number, number
    found = _ONE.match(text)
    if found is None:
        return _starred(text)
    low = int(found[1])
    high = low if found[2] is None else STAR if found[2] == b"*" else int(found[2])
    if low >= STAR or (high >= STAR and found[2] != b"*"):
        raise Refused("A number of the sequence set is beyond 32 bits")
    return (low, high) if low <= high else (high, low)


def _starred(text: bytes) -> Range:
    if text in (b"*", b"*:*"):
        return STAR, STAR
    if text.startswith(b"*:") and b"*" not in text[2:] and b":" not in text[2:]:
        return _range(text[2:])[0], STAR
    raise Refused("Not a sequence set")


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """Ascending ranges with those that overlap or touch made one."""
    joined: list[Range] = []
    begin, end = 0, -2
    for low, high in ranges:
        # 4294967295 and `*` do not touch: what `*` is, is not known yet
        if low <= end + 1 and (low != STAR or end == STAR):
            end = max(end, high)
        else:
            if end > 0:
                joined.append((begin, end))
            begin, end = low, high
    if end > 0:
        joined.append((begin, end))
    return joined


def _rendered(one: Range) -> bytes:
    low, high = one
    if low == high:
        return b"*" if low == STAR else b"%d" % low
    return b"%d:*" % low if high == STAR else b"%d:%d" % one
