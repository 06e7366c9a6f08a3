"""What SEARCH, SORT and THREAD ask for: a tree of frozen keys (RFC 9051 section 6.4.4).

Made by `grammar.searching`, evaluated by the view.  ANDs and ORs are flat: an OR of ORs is one `Or` of many keys.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from msgspec import Struct

from access.imap.wire.sequence import SequenceSet


class All(Struct, frozen=True, gc=False):
    """Every message."""


class And(Struct, frozen=True, gc=False):
    keys: tuple[Key, ...]


class Or(Struct, frozen=True, gc=False):
    keys: tuple[Key, ...]


class Not(Struct, frozen=True, gc=False):
    key: Key


class Flagged(Struct, frozen=True, gc=False):
    """Has the flag or keyword: ANSWERED, KEYWORD …; their opposites come as `Not`."""

    flag: str


class Recent(Struct, frozen=True, gc=False):
    """RFC 3501 section 6.4.4.  NEW and OLD are made of it."""


class Text(Struct, frozen=True, gc=False):
    """Contains `value`.  `where` is BODY or TEXT, or the header field of FROM, TO, CC, BCC or SUBJECT."""

    where: Literal["BODY", "TEXT", "FROM", "TO", "CC", "BCC", "SUBJECT"]
    value: str


class Header(Struct, frozen=True, gc=False):
    """A field of this name contains `value`; an empty `value` asks for the field alone."""

    name: str
    value: str


class Date(Struct, frozen=True, gc=False):
    """`of` is which date: INTERNALDATE, the Date field, or the date saved (RFC 8514); times and zones do not count."""

    of: Literal["internal", "sent", "saved"]
    when: Literal["before", "on", "since"]
    day: date


class SaveDateSupported(Struct, frozen=True, gc=False):
    """RFC 8514 section 4.3: all messages where dates of saving are kept."""


class Age(Struct, frozen=True, gc=False):
    """OLDER and YOUNGER (RFC 5032)."""

    older: bool
    seconds: int


class Size(Struct, frozen=True, gc=False):
    """LARGER or SMALLER than so many bytes."""

    larger: bool
    size: int


class Messages(Struct, frozen=True, gc=False):
    """These sequence numbers, or UIDs if `uid`."""

    messages: SequenceSet
    uid: bool = False


class Modseq(Struct, frozen=True, gc=False):
    """Changed at or after this MODSEQ (RFC 7162 section 3.1.5); `entry` may name a flag that is meant."""

    modseq: int
    entry: str = ""


class EmailId(Struct, frozen=True, gc=False):
    """RFC 8474 section 5.4."""

    id: str


class ThreadId(Struct, frozen=True, gc=False):
    """RFC 8474 section 5.4."""

    id: str


Key = (
    All
    | And
    | Or
    | Not
    | Flagged
    | Recent
    | Text
    | Header
    | Date
    | SaveDateSupported
    | Age
    | Size
    | Messages
    | Modseq
    | EmailId
    | ThreadId
)
