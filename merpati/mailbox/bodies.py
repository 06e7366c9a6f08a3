"""Where the bytes of messages are: addresses that hold for ever, and the large bodies that lie outside the log.  Pure.

The address of a body is the commit it came with and its offset there; copies share it, so it is the EMAILID too.  A
large body has an offset from LARGE on, and its place stands in a table of the account.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merpati.mailbox.api import BodyRef
from merpati.mailbox.changes import LargeBody
from merpati.mailbox.growing import Growing

if TYPE_CHECKING:
    from merpati.mailbox.state import MailState

LARGE = 1 << 31
"""Offsets from here on are numbers of large bodies within their commit."""


@dataclass(frozen=True, slots=True)
class LargePlace:
    """A large body: `length` bytes at `offset` of its commit, then the object without some ranges."""

    commit: int
    number: int
    """LARGE and up."""
    offset: int
    length: int
    body: LargeBody


@dataclass(frozen=True, slots=True)
class Address:
    """`merpati.mailbox.api.BodyRef`: where one message's bytes are, how many, and what they must hash to."""

    commit: int
    offset: int
    size: int
    check: int
    """The first eight bytes of the BLAKE2b-256 of the attachment; 0 for a large body, which has a digest of its own."""
    large: LargePlace | None = None

    @property
    def email_id(self) -> str:
        """EMAILID (RFC 8474 section 5.1): every copy has it, no other message ever will."""
        return f"M{self.commit:x}_{self.offset:x}"


def address_of(ref: BodyRef) -> Address:
    """The address behind a reference that a view gave out; TypeError if it comes from elsewhere."""
    if not isinstance(ref, Address):
        raise TypeError(f"no body of a mailbox: {ref!r}")
    return ref


def addresses(state: MailState) -> Iterator[tuple[int, int]]:
    """Where the attachments stand that a state's messages need, as commit and offset.  Raises `Damaged` (R6)."""
    state.check_whole()
    for folder in state.folders.values():
        columns = folder.columns
        for row in range(columns.length):
            commit, offset = columns.commits[row], columns.offsets[row]
            place = state.larges.get(commit, offset) if offset >= LARGE else None
            yield commit, place.offset if place else offset


class LargeBodies:
    """The large bodies of an account, in the order of their addresses.  Immutable."""

    __slots__ = ("_places",)

    def __init__(self, places: Growing[LargePlace] | None = None) -> None:
        self._places = places if places is not None else Growing()

    def __len__(self) -> int:
        return len(self._places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LargeBodies) and self._places == other._places

    __hash__ = None  # type: ignore[assignment]

    def all(self) -> Sequence[LargePlace]:
        """Every one of them."""
        return self._places.tail(0)

    def get(self, commit: int, number: int) -> LargePlace | None:
        """The place of a large body."""
        row = self._row(commit, number)
        if row < len(self._places) and (place := self._places[row]).commit == commit and place.number == number:
            return place
        return None

    def next_number(self, commit: int) -> int:
        """The number that the next large body of `commit` gets."""
        last = self._places[-1] if len(self._places) else None
        return last.number + 1 if last is not None and last.commit == commit else LARGE

    def with_place(self, place: LargePlace) -> LargeBodies:
        """One more; usually the newest, but a restored one may belong between others.

        One that is known may come back as another object with the same bytes (rule V7): from then on that one is read.
        """
        known = self.get(place.commit, place.number)
        if known == place:
            return self
        row = self._row(place.commit, place.number)
        if row == len(self._places):
            return LargeBodies(self._places.grown((place,)))
        places = list(self._places)
        places[row : row + (known is not None)] = [place]
        return LargeBodies(Growing(places))

    def _row(self, commit: int, number: int) -> int:
        return bisect_left(self._places, (commit, number), key=lambda place: (place.commit, place.number))
